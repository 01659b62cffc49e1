"""What every room may use: identifiers, names, pages, refusals."""
