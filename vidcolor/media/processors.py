"""How many processors there are, and what has an encoder work as if there were another number of them."""

from __future__ import annotations

import os
from collections.abc import Mapping

_MOST_THREADS = 128  # that x264 takes
_X265_FRAMES = ((32, 5), (16, 4), (8, 3), (4, 2))
"""From so many processors on, so many frames at a time."""
_TALL = 2000


def processors() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def settings_of(codec: str, count: int, height: int, settings: Mapping[str, str]) -> dict[str, str]:
    """Settings with which an encoder does what it would do of itself on a machine of ``count`` processors.

    Its output depends on that with x264, by the number of its threads, and with x265, by the frames that
    it codes at a time and by the size of its pool. (Tried with 1 to 16 threads; not so with SVT-AV1, VP9,
    MPEG-2, MPEG-4, FFV1 and ProRes.) The rules are those by which the two choose: x264 takes three threads
    for two processors, one for 32 lines at most; x265 looks into a table.

    Args:
        height: of the picture that is encoded.
        settings: what it is going to be told besides, which goes before what is returned.
    """
    if codec.startswith("libx264"):
        words = f"{settings.get('tune')} {settings.get('x264-params')} {settings.get('x264opts')}"
        slices = "zerolatency" in words or "sliced" in words
        most = min((height + 15) // 16 // 2, _MOST_THREADS)
        found = {"threads": str(max(1, min(count * (2 if slices else 3) // 2, most)))}
    elif codec == "libx265":
        at_once = next((frames for least, frames in _X265_FRAMES if count >= least), 1)
        at_once += count >= _X265_FRAMES[0][0] and height > _TALL
        found = {"threads": str(at_once), "x265-params": f"pools={count}"}
    else:
        return dict(settings)
    nested = {k: f"{v}:{settings[k]}" for k, v in found.items() if k.endswith("-params") and k in settings}
    return {**found, **settings, **nested}
