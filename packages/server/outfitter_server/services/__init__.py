"""Read, decide, write, publish: one module a noun; the committer that owns the only write transaction."""
