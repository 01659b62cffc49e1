"""The update function: what the page calls, for AWS Lambda and for Outfitter's own functions alike."""
