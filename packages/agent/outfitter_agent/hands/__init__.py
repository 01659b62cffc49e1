"""The adapters that touch the world: network, files, processes, the machine."""
