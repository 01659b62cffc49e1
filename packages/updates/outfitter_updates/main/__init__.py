"""Wiring and the entry of the command."""
