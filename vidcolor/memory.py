"""Memory that is not given back: what is used again soon, and what FFmpeg frees by itself."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
_LARGE = (1 << 31) - 1


def keep_freed_memory() -> None:
    """Ask the C library to serve large blocks from one heap and to keep them; glibc alone understands.

    Otherwise the system maps and clears the memory of each picture and tensor anew. With a heap for each
    thread, what one has freed is of no use to the others: with 10 bits of 1080p that took 2.2 GB instead of
    1.6, and no less time.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, _LARGE)
    mallopt(_M_TOP_PAD, 64 << 20)
    mallopt(_M_ARENA_MAX, 1)


def never_free(held: object) -> None:
    """Keep an object of PyAV's for good: with it PyAV would free what FFmpeg frees, too, and end the process.

    Each call costs a few bytes that do not come back.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(held))
