"""The update application of Outfitter: command line, function and console over the public AWS APIs."""
