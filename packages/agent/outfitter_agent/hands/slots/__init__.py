"""Where installed software lives."""
