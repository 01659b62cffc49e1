"""The stage on which demonstration and benchmarks play: real processes, real credentials, a folder that goes away."""
