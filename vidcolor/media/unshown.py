"""Frames that a decoder leaves out without an error, as FFmpeg's does with damaged H.265."""

from __future__ import annotations

import av
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

_SILENT = frozenset(["hevc"])
"""Codecs whose decoder gives neither a frame nor an error for packets in which it finds none."""
_MOST_REORDERED = 16
"""Pictures that may be shown before one that comes before them in the stream."""


class Unshown:
    """Counts packets of which no frame came, once later ones have: frames come in the order of their times.

    What lies before the first frame does not count: a film may begin with pictures that need earlier ones.
    Packets without a time have a number, in the order of decoding, and frames bear that of theirs.

    Args:
        stream: whose packets they are.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._active = stream.codec_context.name in _SILENT
        self._due: set[int] = set()
        self._first: int | None = None
        self._missing = self._counted = 0
        self._numbers: set[int] = set()
        self._begun: list[int] = []  # lowest two that were shown: what lies between may need earlier pictures
        self._highest = 0

    def note(self, packet: Packet[Stream] | None, frames: list[av.VideoFrame], *, failed: bool) -> int:
        """Take a packet that was sent, and what came then; gives how many are newly known to be left out.

        Args:
            failed: whether there was an error, which is counted elsewhere.
        """
        if not self._active:
            return 0
        if packet is not None and packet.pts is not None and packet.size and not packet.is_discard:
            self._due.add(packet.pts)
        if packet is not None and packet.pts is None and isinstance(packet.opaque, int):
            self._numbers.add(packet.opaque)
        shown = [frame.pts for frame in frames if frame.pts is not None]
        self._counted += failed
        self._note_numbers(frames)
        self._miss({number for number in self._numbers if number < self._highest - _MOST_REORDERED})
        if not shown:
            return self._silent()
        first = self._first = min(shown) if self._first is None else self._first
        self._due.difference_update(shown)
        passed = {pts for pts in self._due if pts < max(shown)}
        self._due -= passed
        self._missing += sum(pts > first for pts in passed)
        return self._silent()

    def rest(self, found: list[av.VideoFrame], counted: int) -> int:
        """After the end: how many of those without a time were left out.

        Args:
            found: frames that came after all.
            counted: how many of the last ones are counted already.
        """
        self._counted += counted
        self._note_numbers(found)
        self._miss(self._numbers.copy())
        return self._silent()

    def _note_numbers(self, frames: list[av.VideoFrame]) -> None:
        shown = [frame.opaque for frame in frames if isinstance(frame.opaque, int)]
        self._numbers.difference_update(shown)
        self._begun = sorted({*self._begun, *shown})[:2]
        self._highest = max([self._highest, *shown])

    def _miss(self, numbers: set[int]) -> None:
        self._numbers -= numbers
        self._missing += sum(number > self._begun[-1] for number in numbers) if len(self._begun) > 1 else 0

    def _silent(self) -> int:
        silent = max(0, self._missing - self._counted)
        self._counted += silent
        return silent
