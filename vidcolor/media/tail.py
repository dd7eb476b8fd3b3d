"""The last frames of a film, which come when the decoder is emptied: damage among them must cost no others.

Frame threads hold as many packets as there are threads, and the decoder holds frames that wait to be shown.
PyAV ends the emptying at the first packet that does not decode, and raises nothing if a frame came before it.
PyAV 17 keeps back those that came, too: with it more may stay lost, and is counted.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from fractions import Fraction

import av
from av.packet import Packet
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from vidcolor.media.opening import sane_rate
from vidcolor.media.unshown import Unshown

_WHOLE = Fraction(3, 4)
"""Part of a frame's time after the last one from which on a packet is no second field of it."""
_MOST_HELD, _MOST_BYTES = 1000, 32 << 20
"""Packets, and their bytes, that are remembered at most."""


class Tail:
    """Remembers the packets that a decoder may still hold, and tells what came of them.

    They are remembered from the key frame on that they build on.

    Args:
        stream: whose decoder it is.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream
        self._frame = 1 / (sane_rate(stream) * (stream.time_base or Fraction(1, 1000)))  # in ticks, about
        self._groups: deque[deque[tuple[Packet[Stream], int]]] = deque()  # each with the failures before it
        self._held = self._bytes = self._failures = 0
        self._last: int | None = None
        self._unshown = Unshown(stream)

    def note(self, packet: Packet[Stream] | None, frames: list[av.VideoFrame], *, failed: bool) -> int:
        """Take a packet that was sent, and what came then: frames, or a failure that is counted.

        Gives how many frames before the last one are newly known to have been left out without one.
        """
        for frame in frames:
            if frame.pts is not None:
                self._last = frame.pts if self._last is None else max(self._last, frame.pts)
        if packet is not None:
            if packet.is_keyframe or self._stands_alone or not self._groups:
                self._groups.append(deque())
            self._groups[-1].append((packet, self._failures))
            self._held, self._bytes = self._held + 1, self._bytes + packet.size
            while self._has_come():
                self._forget(len(self._groups[0]))
            while self._held > _MOST_HELD or (self._bytes > _MOST_BYTES and self._held > self._threads):
                self._forget(1)
        self._failures += failed
        return self._unshown.note(packet, frames, failed=failed)

    def rest(self) -> tuple[list[av.VideoFrame], int]:
        """After the emptying: frames that it has left out, and how many did not decode and were not counted.

        Of those left out, the ones are found again whose key frame is still remembered.
        """
        missing = [known for group in self._groups for known in group if self._is_missing(known[0])]
        told = self._failures - missing[0][1] if missing else 0
        found: list[av.VideoFrame] = []
        if len(missing) > told:
            times = {packet.pts for packet, _ in missing}
            for group in self._groups:
                if any(packet.pts in times for packet, _ in group):
                    found += [frame for frame in self._decoded(group) if frame.pts in times]
        return found, max(0, len(missing) - len(found) - told)

    def _has_come(self) -> bool:
        """Whether the oldest group has been shown whole: the next one's key frame has come."""
        if len(self._groups) < 2 or self._last is None:
            return False
        pts = self._groups[1][0][0].pts
        return pts is None or pts <= self._last

    def _forget(self, packets: int) -> None:
        """The oldest packets, all of one group."""
        for _ in range(packets):
            self._bytes -= self._groups[0].popleft()[0].size
            self._held -= 1
        if not self._groups[0]:
            self._groups.popleft()

    def _is_missing(self, packet: Packet[Stream]) -> bool:
        if packet.pts is None or packet.is_discard:
            return False
        if self._last is None or self._stands_alone:
            return self._last is None or packet.pts > self._last
        return packet.pts - self._last >= _WHOLE * self._frame

    @property
    def _stands_alone(self) -> bool:
        return self._stream.codec_context.codec.intra_only

    @property
    def _threads(self) -> int:
        return max(1, self._stream.codec_context.thread_count)

    def _decoded(self, group: deque[tuple[Packet[Stream], int]]) -> list[av.VideoFrame]:
        """Frames of a group up to its first that does not decode."""
        frames: list[av.VideoFrame] = []
        if not (self._stands_alone or group[0][0].is_keyframe):
            return frames
        with suppress(av.FFmpegError, ValueError):
            decoder = self._decoder()
            with suppress(av.FFmpegError):
                for packet, _ in group:
                    frames += decoder.decode(packet)
            frames += decoder.decode(None)
        return frames

    def _decoder(self) -> VideoCodecContext:
        """One that is ready for a key frame: where pictures wait to be shown, without threads.

        With them what does not decode would come before these when it is emptied, and end that.
        """
        own = self._stream.codec_context
        if self._stands_alone:
            own.flush_buffers()
            return own
        decoder = av.CodecContext.create(own.codec, "r")
        assert isinstance(decoder, VideoCodecContext)
        decoder.thread_count, decoder.extradata = 1, own.extradata
        decoder.codec_tag, decoder.width, decoder.height = own.codec_tag, own.width, own.height
        return decoder
