"""The rules of functions, pure: names, limits, permissions, events of function URLs, retries, reports."""
