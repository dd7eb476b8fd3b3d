"""The last frames of a film, which come when the decoder is emptied: damage among them must cost no others.

Frame threads hold as many packets as there are threads, and the decoder holds frames that wait to be shown.
PyAV ends the emptying at the first packet that does not decode, and raises nothing if a frame came before it.
PyAV 17 keeps back those that came, too: with it more may stay lost, and is counted.

Packets of streams without a container have no times: they are numbered, and frames bear the number of theirs.

A frame is lost in one of three ways, each counted in a place of its own, and in no two: its packet is an
error (:mod:`vidcolor.stages.decode` counts those); it is left out in silence in the middle of the film
(:class:`~vidcolor.media.unshown.Unshown`); or it is among the last, where an error hides others
(:class:`Tail`). Whoever counts takes off what has been counted before.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av
from av.codec.context import Flags
from av.packet import Packet
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from vidcolor.media.streams import sane_rate
from vidcolor.media.units import is_without_picture
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
        self._held = self._bytes = self._failures = self._numbered = 0
        self._last: int | None = None
        self._shown: set[int] = set()  # numbers of those without a time of which a frame came
        stream.codec_context.flags |= Flags.copy_opaque
        self._unshown = Unshown(stream)

    def takes(self, packet: Packet[Stream] | None) -> bool:
        """Whether a packet may hold a picture; one that has no time is given a number, to be decoded with."""
        if packet is not None and packet.pts is None:
            if is_without_picture(packet, self._stream):
                return False
            packet.opaque = self._numbered
            self._numbered += 1
        return True

    def note(self, packet: Packet[Stream] | None, frames: list[av.VideoFrame], *, failed: bool) -> int:
        """Take a packet that was sent, and what came then.

        Args:
            packet: None at the end.
            frames: that it gave.
            failed: whether there was an error instead, which the caller counts.

        Returns:
            How many frames are newly known to have been left out without an error.
        """
        for frame in frames:
            if frame.pts is not None:
                self._last = frame.pts if self._last is None else max(self._last, frame.pts)
            if isinstance(frame.opaque, int):
                self._shown.add(frame.opaque)
        if packet is not None and (packet.pts is not None or packet.opaque is not None):  # it was taken
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
        found, lost = self._left_out()
        return found, lost + self._unshown.rest(found, lost)

    def _left_out(self) -> tuple[list[av.VideoFrame], int]:
        missing = [known for group in self._groups for known in group if self._is_missing(known[0])]
        counted = self._failures - missing[0][1] if missing else 0
        if len(missing) <= counted:
            return [], 0
        marks = {_mark(packet) for packet, _ in missing}
        found: list[av.VideoFrame] = []
        numbered = any(packet.pts is None for packet, _ in missing)
        failed = 0
        for group in self._groups:
            sought = sum(_mark(packet) in marks for packet, _ in group)
            if sought:
                frames, failures = self._decoded(group, to_its_end=numbered)
                found += [frame for frame in frames if _mark(frame) in marks]
                failed += self._not_come(group) if failures is None else failures
        # of those without a time some may be second fields, of which no frame comes
        lost = failed if numbered else len(missing) - len(found)
        return found, max(0, lost - counted)

    def _not_come(self, group: deque[tuple[Packet[Stream], int]]) -> int:
        """Pictures of a group that have not come, whether that has been counted or not.

        Of packets with numbers more may be missing than have failed: second fields, behind the last of which
        a frame came, too.
        """
        missing = [known for known in group if self._is_missing(known[0])]
        last = max(self._shown, default=-1)
        late = [known for known in missing if isinstance(known[0].opaque, int) and known[0].opaque > last]
        failed = (late[0][1] if late else self._failures) - missing[0][1]
        fields = len(missing) - len(late) > failed
        return failed + len(late) // 2 if fields else len(missing)

    def _has_come(self) -> bool:
        """Whether the oldest group has been shown whole: the next one's key frame has come."""
        if len(self._groups) < 2:
            return False
        key, _ = self._groups[1][0]
        if key.pts is None:
            return key.opaque in self._shown
        return self._last is not None and key.pts <= self._last

    def _forget(self, packets: int) -> None:
        """The oldest packets, all of one group."""
        for _ in range(packets):
            packet, _ = self._groups[0].popleft()
            self._bytes -= packet.size
            self._held -= 1
            if isinstance(packet.opaque, int):
                self._shown.discard(packet.opaque)
        if not self._groups[0]:
            self._groups.popleft()

    def _is_missing(self, packet: Packet[Stream]) -> bool:
        if packet.is_discard:
            return False
        if packet.pts is None:
            return packet.opaque not in self._shown
        if self._last is None or self._stands_alone:
            return self._last is None or packet.pts > self._last
        return packet.pts - self._last >= _WHOLE * self._frame

    @property
    def _stands_alone(self) -> bool:
        return self._stream.codec_context.codec.intra_only

    @property
    def _threads(self) -> int:
        return max(1, self._stream.codec_context.thread_count)

    def _decoded(
        self, group: deque[tuple[Packet[Stream], int]], *, to_its_end: bool
    ) -> tuple[list[av.VideoFrame], int | None]:
        """Frames of a group, up to its first that does not decode or to its end, and how many did not decode;
        None where that cannot be tried.
        """
        frames: list[av.VideoFrame] = []
        if not (self._stands_alone or group[0][0].is_keyframe):
            return frames, None
        failures = 0
        with suppress(av.FFmpegError, ValueError):
            decoder = self._decoder()
            for packet, _ in group:
                try:
                    frames += decoder.decode(packet)
                except av.FFmpegError:
                    failures += 1
                    if not to_its_end:
                        break
            frames += decoder.decode(None)
        return frames, failures

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
        decoder.flags |= Flags.copy_opaque
        decoder.codec_tag, decoder.width, decoder.height = own.codec_tag, own.width, own.height
        return decoder


def _mark(one: Packet[Stream] | av.VideoFrame) -> tuple[Any, int | None]:
    """By what a packet and its frame are known: their time, or their number where the packet has none."""
    return one.opaque, one.pts if one.opaque is None else None
