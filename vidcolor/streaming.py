"""Films that go out while they are made, and are not kept where that ends early: to pipes, as pictures."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import ExitStack, closing

from av.packet import Packet
from av.stream import Disposition, Stream

from vidcolor.encoding import Encoder, Encoding, SegmentEncoder
from vidcolor.errors import UsageError
from vidcolor.film import Film
from vidcolor.frames import Codes, Floats, Frame, Picture
from vidcolor.media.failures import mapped_errors
from vidcolor.media.lasting import Lasting
from vidcolor.options import Options
from vidcolor.reading import Reading
from vidcolor.target import Target, holds_one

_MOST_HELD = 64 << 20
"""Bytes of other tracks that wait for the picture's first packet, at most."""
_ONE_PICTURE = "holds one picture, and the film has more; out_%05d.png takes them all, --preview shows a few"


class _OutgoingFilm(ExitStack):
    """The pipeline's writer for a film that is not kept; leave ``with``, and it is closed, whole or not.

    Args:
        reading: of the source.

    Attributes:
        film, encoding: there once it has begun.
    """

    def __init__(self, reading: Reading, target: Target, options: Options) -> None:
        super().__init__()
        self._reading, self._target, self._options = reading, target, options

    def begin(self, first: Frame) -> None:
        """Open the output, now that the first frame is known."""
        self.encoding = Encoding(self._reading, first, self._target, self._options)
        self._watch = self.encoding.watch()
        self.film = self.enter_context(closing(Film(self._reading.container, self.encoding)))

    def colour(self, frame: Frame, pictures: list[Picture], abs_: list[Floats]) -> tuple[Codes, Codes]:
        """Chroma planes of a frame."""
        return self.encoding.colour(frame, pictures, abs_)

    def write_packet(self, packet: Packet[Stream]) -> None:
        """Pass a packet of another track on."""
        self.film.write_packet(packet)


class FilmInOnePiece(_OutgoingFilm):
    """Pictures, GIF and APNG, which cannot be made in parts: all packets are of one encoder."""

    def begin(self, first: Frame) -> None:
        """Open the output and its encoder."""
        super().begin(first)
        self._encoder = Encoder(self.encoding, self.film.picture, self._watch)

    def write_frame(self, frame: Frame, cb: Codes, cr: Codes) -> None:
        """Encode a frame, and write what has become ready."""
        if self._encoder.last is not None and holds_one(self._target.name, self._target.muxer):
            raise UsageError(f"{self._target.name}: {_ONE_PICTURE}")
        with mapped_errors(self._target.name):
            self.film.write_coded(*self._encoder.encode(frame, cb, cr))

    def finish(self) -> None:
        """Empty the encoder and close the container."""
        with mapped_errors(self._target.name):
            self.film.write_coded(*self._encoder.flush())
        self.film.end()


class StreamedFilm(_OutgoingFilm):
    """A film whose segments have encoders of their own, and so the same frames as the same film in a file."""

    def begin(self, first: Frame) -> None:
        """Open the output, and the encoder of the first segment."""
        super().begin(first)
        self._others = _Others(self.film)
        self._times = _DecodeTimes()
        self._lasting = Lasting(self._target.muxer)
        self._encoder = SegmentEncoder(self.encoding, self._watch)

    def write_packet(self, packet: Packet[Stream]) -> None:
        """Pass a packet of another track on, once the picture's first has gone before it."""
        self._others.write(packet)

    def write_frame(self, frame: Frame, cb: Codes, cr: Codes) -> None:
        """Encode a frame, and write what has become ready."""
        if frame.opens:
            self._write(self._encoder.flush())
            self._encoder.close()
            last = self._encoder.last
            del self._encoder  # its memory is free before that of the next is taken
            self._encoder = SegmentEncoder(self.encoding, self._watch, last)
        packets = self._encoder.encode(frame, cb, cr)
        self._times.follow(self._encoder.last or 0)
        self._write(packets)

    def finish(self) -> None:
        """Empty the encoder and close the container."""
        self._write(self._encoder.flush())
        self._encoder.close()
        self.film.write_coded(*self._lasting.finish())
        self._others.release()
        self.film.end()

    def _write(self, packets: Iterable[Packet[Stream]]) -> None:
        for packet in self._lasting.push(self._times.stamp(packet) for packet in packets if packet.size):
            self.film.write_coded(packet)
            self._others.release()


class _DecodeTimes:
    """Has decode times rise over all of a film.

    The i-th packet gets the (i - delay)-th smallest pts, the delay being that of the first segment's encoder.
    """

    def __init__(self) -> None:
        self._pts: deque[int] = deque()  # of frames, in ticks, whose time no packet was decoded at
        self._delay: int | None = None
        self._packets = 0

    def follow(self, pts: int) -> None:
        """A frame of this time is encoded."""
        self._pts.append(pts)

    def stamp(self, packet: Packet[Stream]) -> Packet[Stream]:
        """Give the next packet its decode time."""
        if self._delay is None:
            ahead = (packet.pts or 0) - (packet.dts or 0)
            later = (i for i, pts in enumerate(self._pts) if pts - self._pts[0] >= ahead)
            self._delay = next(later, len(self._pts))
        if self._packets >= self._delay and self._pts:
            packet.dts = self._pts.popleft()
        self._packets += 1
        return packet


class _Others:
    """Keeps packets of other tracks back until the picture's first has gone before them; covers go at once.

    Muxers move all tracks by the earliest of the first packets, and wait for the picture no longer than 10
    seconds of sound last, which is too short where few frames a second fill the encoder.
    """

    def __init__(self, film: Film) -> None:
        self._film = film
        self._held: list[Packet[Stream]] = []
        self._room = _MOST_HELD

    def write(self, packet: Packet[Stream]) -> None:
        """Pass one on, or keep it back."""
        if packet.stream.disposition & Disposition.attached_pic:
            self._film.write_packet(packet)
            return
        self._held.append(packet)
        self._room -= packet.size
        if self._room < 0:
            self.release()

    def release(self) -> None:
        """Pass on what was kept back; from now on nothing is."""
        self._room = -1
        held, self._held = self._held, []
        for packet in held:
            self._film.write_packet(packet)
