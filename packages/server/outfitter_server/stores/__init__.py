"""Cellar: durable state behind the Store port, one adapter a database."""
