"""Memory that training on a CPU takes again every step."""

from __future__ import annotations

import ctypes
import os

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed for what is asked for next; for commands that train.

    By default it gives blocks above 32 MB back at once, and every step the kernel fills them with zeros anew, page by page.
    Memory of the process then stays at its peak.

    :return: whether it was done: not without glibc, nor where the user sets one of its MALLOC_ variables.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    return bool(mallopt and mallopt(_MMAP_THRESHOLD, 2**30) and mallopt(_TRIM_THRESHOLD, 2**31 - 1))
