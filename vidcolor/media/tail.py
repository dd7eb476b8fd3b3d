"""The last frames of a film, which come when the decoder is emptied: damage among them must cost no others.

Frame threads hold as many packets as there are threads. PyAV ends the emptying at the first of them that does
not decode, and raises nothing if a frame came before it. PyAV 17 keeps back those that came, too: with it
more may stay lost, and is counted.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from fractions import Fraction

import av
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from vidcolor.media.opening import sane_rate

_WHOLE = Fraction(3, 4)
"""Part of a frame's time after the last one from which on a packet is no second field of it."""


class Tail:
    """Remembers the packets that a decoder may still hold, and tells what came of them.

    Args:
        stream: whose decoder it is.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream
        self._frame = 1 / (sane_rate(stream) * (stream.time_base or Fraction(1, 1000)))  # in ticks, about
        self._held: deque[Packet[Stream]] = deque()
        self._last: int | None = None
        self._told = 0

    def note(self, packet: Packet[Stream] | None, frames: list[av.VideoFrame], *, failed: bool) -> None:
        """Take a packet that was sent, and what came then: frames, or a failure that is counted."""
        for frame in frames:
            if frame.pts is not None:
                self._last = frame.pts if self._last is None else max(self._last, frame.pts)
        self._told = 0 if frames else self._told + failed
        if packet is not None:
            self._held.append(packet)
            while len(self._held) > max(1, self._stream.codec_context.thread_count):
                self._held.popleft()

    def rest(self) -> tuple[list[av.VideoFrame], int]:
        """After the emptying: frames that it has left out, and how many did not decode and were not counted.

        Of those left out, the ones from the next key frame on are found again.
        """
        missing = [packet for packet in self._held if self._is_missing(packet)]
        found: list[av.VideoFrame] = []
        if len(missing) > self._told:
            times = {packet.pts for packet in missing}
            for group in self._groups(missing):
                found += [frame for frame in self._decoded(group) if frame.pts in times]
        return found, max(0, len(missing) - len(found) - self._told)

    def _is_missing(self, packet: Packet[Stream]) -> bool:
        if packet.pts is None or packet.is_discard:
            return False
        if self._last is None or self._stands_alone:
            return self._last is None or packet.pts > self._last
        return packet.pts - self._last >= _WHOLE * self._frame

    @property
    def _stands_alone(self) -> bool:
        return self._stream.codec_context.codec.intra_only

    def _groups(self, packets: list[Packet[Stream]]) -> list[list[Packet[Stream]]]:
        """Packets from one that needs no other up to the next."""
        groups: list[list[Packet[Stream]]] = []
        for packet in packets:
            if packet.is_keyframe or self._stands_alone:
                groups.append([])
            if groups:
                groups[-1].append(packet)
        return groups

    def _decoded(self, group: list[Packet[Stream]]) -> list[av.VideoFrame]:
        self._stream.codec_context.flush_buffers()
        frames: list[av.VideoFrame] = []
        for packet in (*group, None):
            with suppress(av.FFmpegError):
                frames += self._stream.decode(packet)
        return frames
