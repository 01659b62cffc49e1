"""The power-cut proof: the agent's own code on a disk that forgets what was not synced, stopped dead at every step."""
