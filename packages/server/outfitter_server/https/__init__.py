"""The door for people, functions and SDKs: one port, all services."""
