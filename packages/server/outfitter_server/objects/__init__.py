"""Pure rules of the object store: keys, ranges, checksums, listings."""
