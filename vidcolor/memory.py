"""Memory that is not given back, for it is used again soon or FFmpeg frees it, and what is."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import cast

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
_LARGE = (1 << 31) - 1


def keep_freed_memory() -> None:
    """Ask the C library to serve large blocks from one heap and to keep them; glibc alone understands.

    Otherwise the system maps and clears the memory of each picture and tensor anew. With a heap for each
    thread, what one has freed is of no use to the others: with 10 bits of 1080p that took 2.2 GB instead of
    1.6, and no less time.
    """
    mallopt = _c_function("mallopt")
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _LARGE)
        mallopt(_M_TOP_PAD, 64 << 20)
        mallopt(_M_ARENA_MAX, 1)


def give_back_freed_memory() -> None:
    """Ask the C library to give the system what is free by now; glibc alone understands.

    For where much has been freed that is of no use to what follows: x264 wants its pictures to begin at
    multiples of 2 MB, and between the places of those of a closed encoder the next one finds too little room.
    """
    trim = _c_function("malloc_trim")
    if trim is not None:
        trim(0)


def _c_function(name: str) -> Callable[..., int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        return cast("Callable[..., int]", getattr(ctypes.CDLL(None), name))
    except (OSError, AttributeError):
        return None


def never_free(held: object) -> None:
    """Keep an object of PyAV's for good: with it PyAV would free what FFmpeg frees, too, and end the process.

    Each call costs a few bytes that do not come back.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(held))
