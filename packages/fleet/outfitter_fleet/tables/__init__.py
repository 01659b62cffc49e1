"""Files that are made from the source and kept in the tree: tests refuse them when they are stale."""
