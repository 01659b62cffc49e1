"""The conformance tests against several servers, and the table of what came out."""
