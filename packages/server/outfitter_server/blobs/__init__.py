"""The bytes of objects: adapters of the Blobs port."""
