"""Memory that is free again goes back to the system, so that a large configuration leaves the agent as small as it was."""

import ctypes
import gc


def give_back() -> None:
    """Collect what refers to itself, then have the C library (glibc; others keep what they keep) return free pages."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
