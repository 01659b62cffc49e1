"""The rules of the file store: names, URLs, ranges, conditions, listings, checksums, CORS, policies. Pure."""
