"""Sources whose clock begins again in mid-film, as joined recordings have it: one clock for all of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

log = logging.getLogger(__name__)

# FFmpeg's AVFMT_TS_DISCONT: formats whose timestamps may jump (MPEG transport and program streams).
_MAY_JUMP = 1 << 9
_BACK = Fraction(1)
"""Seconds by which decode times run back where the clock has begun again; by less they are only untidy."""
_OVERFLOW = Fraction(1 << 33, 90_000)
"""Seconds after which the clock of these formats begins again at zero: 26.5 hours."""
_SHORTLY = 60
"""Seconds before zero at which a track may begin: its times then lie below the overflow."""
_WRAPPED = Fraction(12 * 3600)
"""A leap this far ahead is a step back that FFmpeg took for the clock's overflow."""


def may_jump(container: InputContainer) -> bool:
    """Whether the clock of a source of this format can begin again."""
    return bool(container.format.flags & _MAY_JUMP)


class Continuity:
    """Moves all tracks together when the clock begins again, so that the one that meets it first goes on.

    What FFmpeg's command does with such formats; but gaps, which it closes from 10 s on, stay. Around the
    place packets of other tracks may still be of the time before, so each track keeps its offset until
    the new one fits it better.

    Args:
        container: of a format without such jumps nothing is changed.
        name: of the source, to say so once; None: say nothing.
    """

    def __init__(self, container: InputContainer, name: str | None) -> None:
        self._active = may_jump(container)
        self._name = name
        self._begin = Fraction(container.start_time or 0, av.time_base)
        self._offset = Fraction(0)
        self._own: dict[int, Fraction] = {}
        self._next: dict[int, Fraction] = {}

    @property
    def jumped(self) -> bool:
        """Whether the clock has begun again."""
        return self._offset != 0

    def mend(self, packet: Packet[Stream]) -> None:
        """Bring a packet's times to the film's clock; packets come in the order of the file."""
        if not self._active or not packet.time_base:
            return
        ticks = packet.dts if packet.dts is not None else packet.pts
        offset = self._offset
        if ticks is not None and packet.stream.type in ("video", "audio"):
            at, index = ticks * packet.time_base, packet.stream_index
            offset = self._own[index] = self._offset_of(index, at)
            self._next[index] = at + offset + (packet.duration or 0) * packet.time_base
        moved = round(offset / packet.time_base)
        if packet.pts is not None:
            packet.pts += moved
        if packet.dts is not None:
            packet.dts += moved

    def _offset_of(self, index: int, at: Fraction) -> Fraction:
        """The offset that fits a track's next packet, which its own clock places there, in seconds."""
        expected = self._next.get(index)
        if expected is None:
            before_zero = at - self._begin > _OVERFLOW - _SHORTLY
            return -_OVERFLOW if before_zero else self._offset
        offset = min(self._own[index], self._offset, key=lambda known: abs(at + known - expected))
        if -_BACK <= at + offset - expected <= _WRAPPED:
            return offset
        self._offset = expected - at
        if self._name is not None:
            log.warning(
                "%s: its clock begins again at %.3f s; all tracks go on from there", self._name, expected
            )
            self._name = None
        return self._offset


def demuxed(
    container: InputContainer, name: str | None, continuity: Continuity | None = None
) -> Iterator[Packet[Stream]]:
    """Packets of all streams on one clock; of a source with a ``name`` it is said what is odd."""
    late, continuity = False, continuity or Continuity(container, name)
    while True:
        try:
            for packet in container.demux():
                continuity.mend(packet)
                yield packet
            return
        except IndexError:  # a packet of a track that was not there yet when the source was opened
            if name is not None and not late:
                log.warning("%s: a track that begins in mid-film is left out", name)
            late = True
