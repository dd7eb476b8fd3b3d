"""Packets on their way into a container: moved in time, made acceptable to the muxer, written.

Sources without timestamps, and sources whose decode times run backwards, must still give a file: what is
missing is filled in, what is impossible is moved by the least amount, and everything else stays as it was.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Disposition, Stream

from vidcolor.media.holes import Holes

log = logging.getLogger(__name__)

# Matroska leaves out decode times until it knows the reordering; so many pictures it can concern.
_MOST_HELD = 32
_PRIMING = Fraction(1, 10)
"""Seconds before zero that an encoder's priming may take."""
# FFmpeg's AVFMT_TS_NONSTRICT: two packets of a track may share a decode time.
_EQUAL_TIMES = 1 << 17
_ENDLESS = 4_294_967
"""Seconds by which FFmpeg says that a subtitle stays until the next one; muxers have no room for so many."""


@dataclass(frozen=True, kw_only=True)
class Clock:
    """The span of the source that is wanted, and what is added to its timestamps; all in seconds.

    ``begin`` is when the first frame of the span is shown, None without a ``start``.
    """

    offset: Fraction = Fraction(0)
    start: Fraction | None = None
    end: Fraction | None = None
    begin: Fraction | None = None

    def keeps(self, packet: Packet[Stream]) -> bool:
        """Tell whether a packet begins within the span; a cover, and one without any timestamp, does."""
        ticks = packet.pts if packet.pts is not None else packet.dts
        if ticks is None or packet.stream.disposition & Disposition.attached_pic:
            return True
        seconds = ticks * packet.time_base
        return (self.start is None or seconds >= self.start) and (self.end is None or seconds < self.end)

    def admit(self, packet: Packet[Stream]) -> None:
        """Have a subtitle that is shown when the span begins, or ends, be shown within it, in place."""
        if packet.pts is None or packet.stream.type != "subtitle":
            return
        base, lasts = packet.time_base, packet.duration or 0
        late = 0 if self.start is None else math.ceil(self.start / base) - packet.pts
        if 0 < late < lasts:
            packet.pts = packet.dts = packet.pts + late
            packet.duration = lasts = lasts - late
        if self.end is not None and packet.pts * base < self.end:
            packet.duration = min(lasts, math.ceil(self.end / base) - packet.pts)

    def shift(self, packet: Packet[Stream]) -> None:
        """Add the offset to a packet's timestamps, in place."""
        if not self.offset:
            return
        ticks = round(self.offset / packet.time_base)
        if packet.pts is not None:
            packet.pts += ticks
        if packet.dts is not None:
            packet.dts += ticks


class PacketWriter:
    """Writes the packets of one output stream. ``name`` is the source's track in messages.

    With ``from_zero`` packets that lie mostly before zero (an encoder's priming) are left out, for
    containers that place the first packet at zero whatever its timestamp. ``wait_for_key`` leaves out what
    cannot be decoded after a cut.
    """

    def __init__(
        self,
        output: OutputContainer,
        stream: Stream,
        name: str,
        *,
        from_zero: bool = False,
        wait_for_key: bool = False,
    ) -> None:
        self._output = output
        self._stream = stream
        self._name = name
        self._from_zero = from_zero
        self._wait_for_key, self._before_key = wait_for_key, 0
        self._reordered = stream.type == "video"
        self._sparse = stream.type in ("subtitle", "data")
        self._equal_allowed = self._sparse or bool(output.format.flags & _EQUAL_TIMES)
        self._held: list[Packet[Stream]] = []
        self._last: tuple[int, Fraction] | None = None  # the newest decode time and its time base
        self._end = Fraction(0)  # where a packet without timestamps begins, seconds
        self.begin = Fraction(0)  # the earliest decode time in seconds, or 0
        self._nudged = self._refused = 0
        self._holes = Holes(output.format.name, stream, name)

    def write(self, packet: Packet[Stream]) -> None:
        """Write one packet; a picture whose decode time is not known yet waits for the next ones."""
        if self._wait_for_key and not packet.is_keyframe:
            self._before_key += 1
            return
        self._wait_for_key = False
        if self._reordered and self._last is None and packet.dts is None and packet.pts is not None:
            self._held.append(packet)
            if len(self._held) < _MOST_HELD:
                return
            packet = self._held.pop()
        if self._held:
            self._release(packet)
        self._write(packet)

    def finish(self) -> None:
        """Write what still waits, and say what had to be changed."""
        if self._held:
            last = self._held.pop()
            self._release(last)
            self._write(last)
        if self._wait_for_key and self._before_key:
            log.warning("%s: nothing of it is kept: it has no key frame in the span", self._name)
        if self._nudged:
            log.warning("%s: %d decode times ran backwards and were moved", self._name, self._nudged)
        if self._refused:
            log.warning("%s: %d damaged packets were left out", self._name, self._refused)
        self._holes.tell()

    def _release(self, packet: Packet[Stream]) -> None:
        """Write the waiting pictures with decode times counted back from ``packet``, which follows them."""
        held, self._held = self._held, []
        step = max(1, packet.duration or 1)
        known = packet.dts
        if known is None:  # the stream ended first: before the earliest picture there is always room
            known = packet.dts = min(p.pts for p in [*held, packet] if p.pts is not None)
        for distance, waiting in zip(range(len(held), 0, -1), held, strict=True):
            waiting.dts = known - distance * step
            self._write(waiting)

    def _write(self, packet: Packet[Stream]) -> None:
        self._fill(packet)
        self._holes.note(packet)  # by the source's ticks: AVI's last as long as a packet
        time_base = self._stream.time_base
        if time_base and packet.time_base != time_base:
            rescale(packet, time_base)
        assert packet.dts is not None
        if self._from_zero and packet.dts + (packet.duration or 0) / 2 < 0:
            return
        self._make_monotonic(packet)
        if self._sparse and (packet.duration or 0) * packet.time_base >= _ENDLESS:
            packet.duration = 0
        packet.stream = self._stream
        try:
            self._output.mux_one(packet)
        except av.InvalidDataError:  # one damaged packet is no reason to lose the film
            self._refused += 1
            return
        self.begin = min(self.begin, packet.dts * packet.time_base)
        self._last = (packet.dts, packet.time_base)

    def _fill(self, packet: Packet[Stream]) -> None:
        """Give a packet the timestamps that it lacks."""
        if packet.pts is None and packet.dts is None:
            packet.dts = packet.pts = round(self._end / packet.time_base)
        elif packet.dts is None:
            packet.dts = packet.pts
        elif packet.pts is None:
            packet.pts = packet.dts
        assert packet.dts is not None
        self._end = (packet.dts + max(packet.duration or 0, 1)) * packet.time_base

    def _make_monotonic(self, packet: Packet[Stream]) -> None:
        if self._last is None or packet.dts is None:
            return
        last, time_base = self._last
        least = round(last * time_base / packet.time_base) + (0 if self._equal_allowed else 1)
        if packet.dts < least:
            self._nudged += 1
            packet.dts = least
            packet.pts = max(least, packet.pts if packet.pts is not None else least)


class Discarded:
    """What a packet carries in ``opaque`` that comes back from where it was kept, and had been flagged so.

    Each has one of its own: PyAV loses an object that several carry, with the first that is freed.
    """


class Hiding:
    """Tells, of a track's packets in order, which an edit list hides: most containers have no list for it.

    An encoder's priming, before all that is heard, stays; what is hidden later lies between edits.
    """

    def __init__(self) -> None:
        self._begun = False

    def __call__(self, packet: Packet[Stream]) -> bool:
        """Whether the packet is hidden sound, and no priming."""
        discard = packet.is_discard or isinstance(packet.opaque, Discarded)
        self._begun = self._begun or not discard
        if packet.stream.type != "audio" or not discard or packet.pts is None or not packet.time_base:
            return False
        end = (packet.pts + (packet.duration or 0)) * packet.time_base
        return self._begun or end < -_PRIMING or end > 0


Convert: TypeAlias = "Callable[[Packet[Stream]], Iterable[Packet[Stream]]]"
Flush: TypeAlias = "Callable[[], Iterable[Packet[Stream]]]"


class Route:
    """The way of one source track: an optional conversion, the move in time, the writer."""

    def __init__(
        self,
        writer: PacketWriter,
        clock: Clock,
        convert: Convert | None = None,
        flush: Flush | None = None,
        hides: Callable[[Packet[Stream]], bool] | None = None,
    ) -> None:
        self._writer, self._hides = writer, hides
        self._clock = clock
        self._convert = convert
        self._flush = flush

    def write(self, packet: Packet[Stream]) -> None:
        """Send one demuxed packet on its way, unless it lies outside the wanted span."""
        hidden = self._hides is not None and self._hides(packet)
        self._clock.admit(packet)
        if hidden or not self._clock.keeps(packet):
            return
        self._send([packet] if self._convert is None else self._convert(packet))

    def finish(self) -> None:
        """Empty the converter and the writer."""
        if self._flush is not None:
            self._send(self._flush())
        self._writer.finish()

    def _send(self, packets: Iterable[Packet[Stream]]) -> None:
        for packet in packets:
            self._clock.shift(packet)
            self._writer.write(packet)


def rescale(packet: Packet[Stream], time_base: Fraction) -> None:
    """Bring a packet's times to another time base: the nearest tick, of two the one farther from zero."""
    source = packet.time_base
    packet.time_base = time_base
    if not source:
        return  # the muxer's own, then
    ratio = Fraction(source) / Fraction(time_base)

    def ticks(number: int) -> int:
        nearest = math.floor(abs(number) * ratio + Fraction(1, 2))
        return nearest if number >= 0 else -nearest

    packet.pts, packet.dts = (None if t is None else ticks(t) for t in (packet.pts, packet.dts))
    if packet.duration:
        packet.duration = ticks(packet.duration)
