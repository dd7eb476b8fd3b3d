"""How long the last picture of an mp4 or mov is shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from av.packet import Packet
from av.stream import Stream

from vidcolor.media.traits import traits_of


class Lasting:
    """Lets the last packet of a film last until its end where durations are counted in the order of decoding.

    In mp4 and mov a B-frame may come last there, and the last frame would be cut short. One packet waits.

    Args:
        muxer: in films of others all packets pass as they are.
    """

    def __init__(self, muxer: str) -> None:
        self._counts = traits_of(muxer).is_mov
        self._first: tuple[int, int] | None = None
        self._end = 0
        self._held: Packet[Stream] | None = None

    def push(self, packets: Iterable[Packet[Stream]]) -> Iterator[Packet[Stream]]:
        """Those that are not the last, of packets in the order of decoding, with both times."""
        for packet in packets:
            self._end = max(self._end, (packet.pts or 0) + (packet.duration or 0))
            self._first = self._first or (packet.pts or 0, packet.dts or 0)
            if not self._counts:
                yield packet
                continue
            if self._held is not None:
                yield self._held
            self._held = packet

    def finish(self) -> Iterator[Packet[Stream]]:
        """The last one."""
        last, self._held = self._held, None
        if last is not None and self._first is not None:
            length = self._end - self._first[0] - ((last.dts or 0) - self._first[1])
            last.duration = max(length, last.duration or 0)
            yield last
