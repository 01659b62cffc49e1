"""Cellar: the installation's certificate authority and server certificates on disk."""
