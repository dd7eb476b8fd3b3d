"""Packets of a source that can be read once only, kept on disk until the picture is made."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType

from av.container import InputContainer
from av.packet import Packet, PacketSideData
from av.stream import Stream

from vidcolor.errors import OutputError
from vidcolor.media.packets import Discarded

# stream, pts, dts, duration, time base, flags, pieces of side data, bytes
_HEAD = struct.Struct("<iqqqiiBBi")
_PIECE = struct.Struct("<Bi")  # kind's place in the table, bytes
_NONE = -(1 << 63)
_KEY, _DISCARD = 1, 2


class Spool:
    """A file without a name: it is gone when it is closed, however that comes about.

    Args:
        folder: on whose disk it lies.

    Raises:
        OutputError: from any method: the disk is full or refuses.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kinds: list[str] = []
        self._shapes: dict[tuple[str, int], Packet[Stream]] = {}
        try:
            self._file = tempfile.TemporaryFile(dir=folder, prefix=".spool-")  # noqa: SIM115
        except OSError as error:
            raise self._refused(error) from error

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # what was not written is not wanted any more
            self._file.close()

    def keep(self, packet: Packet[Stream]) -> None:
        """Add a packet."""
        if packet.dts is None and packet.pts is None and not packet.size:
            return  # the demuxer's mark for the end of a stream
        pieces = [(self._place_of(side, packet), bytes(side)) for side in packet.iter_sidedata()]
        base, data = packet.time_base, bytes(packet)
        head = _HEAD.pack(
            packet.stream_index,
            _NONE if packet.pts is None else packet.pts,
            _NONE if packet.dts is None else packet.dts,
            packet.duration or 0,
            base.numerator,
            base.denominator,
            (_KEY if packet.is_keyframe else 0) | (_DISCARD if packet.is_discard else 0),
            len(pieces),
            len(data),
        )
        try:
            self._file.write(head + data)
            for place, piece in pieces:
                self._file.write(_PIECE.pack(place, len(piece)) + piece)
        except OSError as error:
            raise self._refused(error) from error

    def packets(self, container: InputContainer) -> Iterator[Packet[Stream]]:
        """All packets in the order in which they were added, as of the streams of ``container``."""
        try:
            self._file.seek(0)
            while head := self._file.read(_HEAD.size):
                index, pts, dts, duration, numerator, denominator, flags, pieces, size = _HEAD.unpack(head)
                packet: Packet[Stream] = Packet(self._file.read(size))
                packet.stream = container.streams[index]
                packet.time_base = Fraction(numerator, denominator)
                packet.pts, packet.dts = (None if time == _NONE else time for time in (pts, dts))
                packet.duration, packet.is_keyframe = duration, bool(flags & _KEY)
                if flags & _DISCARD:
                    packet.opaque = Discarded()  # PyAV does not set the flag itself
                for _ in range(pieces):
                    place, length = _PIECE.unpack(self._file.read(_PIECE.size))
                    packet.set_sidedata(self._side(place, self._file.read(length)))
                yield packet
        except OSError as error:
            raise self._refused(error) from error

    def _place_of(self, side: PacketSideData, packet: Packet[Stream]) -> int:
        """Of the kind of ``side`` in the table; remembers a packet that has one of this size.

        PyAV fills side data, but cannot make any: it is made by changing that of another packet.
        """
        kind = str(side.data_type)
        if kind not in self._kinds:
            self._kinds.append(kind)
        self._shapes.setdefault((kind, side.data_size), packet)
        return self._kinds.index(kind)

    def _side(self, place: int, content: bytes) -> PacketSideData:
        kind = self._kinds[place]
        side = self._shapes[kind, len(content)].get_sidedata(kind)  # type: ignore[arg-type]
        side.update(content)
        return side

    def _refused(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self._folder}: what goes with the picture cannot be kept there until that is made "
            f"({error.strerror}); make room and run the same command again"
        )
