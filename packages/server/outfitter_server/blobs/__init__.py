"""Cellar: object bytes behind the Blobs port."""
