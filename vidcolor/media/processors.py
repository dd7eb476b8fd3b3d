"""How many processors there are, and what has an encoder work as if there were another number of them."""

from __future__ import annotations

import os
from collections.abc import Mapping

_MOST_THREADS = 128  # that x264 takes
_LOOKS_TWICE = 8
"""Processors from which on x264 of itself looks ahead with more than one thread."""
_FEWEST_LINES = 256
"""Lines that x264 thinks two threads that look ahead worth their while for."""
_INDEPENDENT = frozenset(["libsvtav1", "libvpx-vp9", "mpeg2video", "mpeg4", "ffv1", "prores_ks"])
"""Encoders whose packets were the same with 1 to 16 threads."""


def processors() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def goes_anywhere(codec: str, extra: Mapping[str, str]) -> bool:
    """Whether an encoder can go on with a film that was begun on a machine with other processors.

    Not x265 (frames at a time and the size of its pool follow from processors, picture and other settings),
    nor VP8, nor what has not been tried; and not where ``extra``, the options that were asked for, choose the
    kind of threads.
    """
    asked = " ".join(f"{key}={value}" for key, value in extra.items())
    if "thread_type" in asked or "sliced" in asked:
        return False
    return codec.startswith("libx264") or codec in _INDEPENDENT


def settings_of(codec: str, count: int, height: int, settings: Mapping[str, str]) -> dict[str, str]:
    """Settings with which x264 does what it would do of itself on a machine of ``count`` processors.

    Its output depends on the number of its threads, of which it takes three for two processors, and one for
    32 lines at most.

    Args:
        height: of the picture that is encoded.
        settings: what it is going to be told besides, which goes before what is added.
    """
    if not codec.startswith("libx264"):
        return dict(settings)
    most = min((height + 15) // 16 // 2, _MOST_THREADS)
    return {"threads": str(max(1, min(count * 3 // 2, most))), **settings}


def lookahead_of(codec: str, count: int, height: int) -> dict[str, str]:
    """Settings with which x264 looks ahead with two threads where it would with one.

    Nothing is encoded until it has looked at the first 40 frames: of two processors one waited meanwhile, a
    third of a second in each segment of a film of 1080 lines. Packets depend on it, by as little as on the
    number of threads.

    Args:
        count: of processors; ``height`` is that of the picture that is encoded.
    """
    if not codec.startswith("libx264") or not 1 < count < _LOOKS_TWICE or height < _FEWEST_LINES:
        return {}
    return {"x264-params": "lookahead-threads=2"}
