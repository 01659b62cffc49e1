"""The embedded default: SQLite in WAL mode with synchronous=FULL."""
