"""The benchmarks: a generator in a process of its own against a real server, figures in one table."""
