"""Pure rules of identity: signatures, policies, certificates."""
