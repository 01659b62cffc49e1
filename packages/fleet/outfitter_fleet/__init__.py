"""Virtual devices, the demonstration and the benchmarks of Outfitter (not published)."""
