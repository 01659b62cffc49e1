"""The page, built ahead from packages/updates/console into ``static``."""
