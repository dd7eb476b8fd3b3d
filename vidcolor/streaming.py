"""A film that goes out while it is made, encoded in the same segments as one that is kept."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterable

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Disposition, Stream

from vidcolor.film import Film
from vidcolor.frames import Codes, Floats, Frame, Picture
from vidcolor.media.lasting import Lasting

_MOST_HELD = 64 << 20
"""Bytes of other tracks that wait for the picture's first packet, at most."""


class Discard(io.RawIOBase):
    """Takes what is written, and keeps nothing: encoders need a container to be made for."""

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, data: object) -> int:
        return len(data)  # type: ignore[arg-type]


class StreamedFilm:
    """The pipeline's writer for a film that is not kept: each of its segments has an encoder of its own.

    So frames are those of the same film in a file. Decode times are made to rise over all of it: the i-th
    packet gets the (i - delay)-th smallest pts, the delay being that of the first segment's encoder.

    Args:
        film: not begun.
    """

    def __init__(self, film: Film) -> None:
        self._film = film
        self._encoder: OutputContainer | None = None
        self._empty = True
        self._times: deque[int] = deque()  # pts in ticks of frames whose time no packet was decoded at
        self._delay: int | None = None
        self._packets = 0
        self._lasting = Lasting(film.muxer)
        self._held: list[Packet[Stream]] = []
        self._held_bytes = 0
        self._begun = False

    def begin(self, first: Frame) -> None:
        """Open the output, now that the first frame is known."""
        self._film.begin(first)
        self._renew()

    def write_packet(self, packet: Packet[Stream]) -> None:
        """Pass a packet of another track on, once the picture's first has gone before it.

        Muxers move all tracks by the earliest of the first packets, and wait for the picture no longer
        than 10 seconds of sound last, which is too short where few frames a second fill the encoder.
        """
        cover = packet.stream.disposition & Disposition.attached_pic
        if cover:
            self._film.write_packet(packet)
        elif self._begun or self._held_bytes + packet.size > _MOST_HELD:
            self._release()
            self._film.write_packet(packet)
        else:
            self._held.append(packet)
            self._held_bytes += packet.size

    def colour(self, frame: Frame, pictures: list[Picture], abs_: list[Floats]) -> tuple[Codes, Codes]:
        """Chroma planes of a frame."""
        return self._film.colour(frame, pictures, abs_)

    def write_frame(self, frame: Frame, cb: Codes, cr: Codes) -> None:
        """Encode a frame, and write what has become ready."""
        if frame.opens and not self._empty:
            self._write(self._film.flush())
            self._renew()
        self._empty = False
        packets = self._film.encode(frame, cb, cr)
        self._times.append(self._film.last_ticks)
        self._write(packets)

    def finish(self) -> None:
        """Empty the encoder and close the container."""
        self._write(self._film.flush())
        for packet in self._lasting.finish():
            self._film.write_coded(packet)
        self._release()
        self._close_encoder()
        self._film.end()

    def _renew(self) -> None:
        self._close_encoder()
        self._encoder = av.open(Discard(), "w", format=self._film.muxer)
        self._film.renew(self._encoder)
        self._empty = True

    def _close_encoder(self) -> None:
        if self._encoder is not None:
            self._encoder.close()
            self._encoder = None

    def _write(self, packets: Iterable[Packet[Stream]]) -> None:
        for packet in self._lasting.push(self._stamp(packet) for packet in packets if packet.size):
            self._film.write_coded(packet)
            self._release()

    def _release(self) -> None:
        self._begun = True
        held, self._held = self._held, []
        for packet in held:
            self._film.write_packet(packet)

    def _stamp(self, packet: Packet[Stream]) -> Packet[Stream]:
        if self._delay is None:
            ahead = (packet.pts or 0) - (packet.dts or 0)
            later = (i for i, pts in enumerate(self._times) if pts - self._times[0] >= ahead)
            self._delay = next(later, len(self._times))
        if self._packets >= self._delay and self._times:
            packet.dts = self._times.popleft()
        self._packets += 1
        return packet
