"""MQTT as values: packets, topics, sessions; no I/O."""
