"""The mission on an empty machine: a real server, real agents over TLS, real images, and a table of what happened."""
