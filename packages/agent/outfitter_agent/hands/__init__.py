"""What touches the world: the broker, downloads, slots, the journal, restarts."""
