"""The device side of Outfitter: installs software and configuration, and proves the result."""
