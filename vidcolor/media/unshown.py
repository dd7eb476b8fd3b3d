"""Frames that a decoder leaves out without an error, as FFmpeg's does with damaged H.265."""

from __future__ import annotations

import av
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

_SILENT = frozenset(["hevc"])
"""Codecs whose decoder gives neither a frame nor an error for packets in which it finds none."""


class Unshown:
    """Counts packets of which no frame came, once later ones have: frames come in the order of their times.

    What lies before the first frame does not count: a film may begin with pictures that need earlier ones.

    Args:
        stream: whose packets they are.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._active = stream.codec_context.name in _SILENT
        self._due: set[int] = set()
        self._first: int | None = None
        self._missing = self._told = 0

    def note(self, packet: Packet[Stream] | None, frames: list[av.VideoFrame], *, failed: bool) -> int:
        """Take a packet that was sent, and what came then; gives how many are newly known to be left out.

        Args:
            failed: whether there was an error, which is counted elsewhere.
        """
        if not self._active:
            return 0
        if packet is not None and packet.pts is not None and packet.size and not packet.is_discard:
            self._due.add(packet.pts)
        shown = [frame.pts for frame in frames if frame.pts is not None]
        self._told += failed
        if not shown:
            return 0
        first = self._first = min(shown) if self._first is None else self._first
        self._due.difference_update(shown)
        passed = {pts for pts in self._due if pts < max(shown)}
        self._due -= passed
        self._missing += sum(pts > first for pts in passed)
        silent = max(0, self._missing - self._told)
        self._told += silent
        return silent
