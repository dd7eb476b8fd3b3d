"""The finished film: segments joined without a seam, with everything else from the source between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain

from av.packet import Packet
from av.stream import Disposition, Stream

from vidcolor.errors import OutputError
from vidcolor.film import Film
from vidcolor.media.lasting import Lasting
from vidcolor.packing import Coded


def assemble(film: Film, parts: Iterable[Coded], delay: int, others: Iterator[Packet[Stream]]) -> None:
    """Write the whole film; the picture is not encoded again.

    Args:
        film: open.
        parts: of the picture, in order.
        delay: the greatest of theirs.
        others: packets of the source's other tracks, in the order of the file.
    """
    waiting, encoding = _waiting(others, film), film.encoding
    lasting, offset = Lasting(encoding.target.muxer), encoding.shift * encoding.first.time_base
    packets = lasting.push(stamped(_of_one_header(parts, film), delay, encoding.tick))
    for packet in chain(packets, lasting.finish()):
        at = (packet.dts or 0) * encoding.tick
        while waiting is not None and _seconds(waiting, offset) <= at:
            film.write_packet(waiting)
            waiting = next(others, None)
        film.write_coded(packet)
    for packet in chain([] if waiting is None else [waiting], others):
        film.write_packet(packet)
    film.end()


def stamped(parts: Iterable[Coded], delay: int, tick: Fraction) -> Iterator[Packet[Stream]]:
    """Packets with decode times that rise strictly over the whole film.

    The i-th packet in the order of decoding gets the (i - delay)-th smallest pts; before the first there is
    room for ``delay`` more, spaced as the first pictures are.
    """
    recent: list[int] = []  # the greatest pts so far, as many as the delay
    gap: int | None = None
    for part in parts:
        line = [*recent, *sorted(part.pts)]
        if gap is None and line:
            gap = line[min(delay, len(line) - 1)] - line[0]
        for i, data in enumerate(part.data):
            place = len(recent) + i - delay
            packet = Packet(bytes(data))
            packet.time_base = tick
            packet.pts, packet.duration = part.pts[i], part.durations[i]
            packet.dts = line[place] if place >= 0 else line[place + delay] - (gap or 0)
            packet.is_keyframe = part.keys[i]
            yield packet
        recent = line[-delay:] if delay else []


def _of_one_header(parts: Iterable[Coded], film: Film) -> Iterator[Coded]:
    """The parts as they are, as long as their encoders have written the film's own header."""
    header, name = bytes(film.picture.codec_context.extradata or b""), film.encoding.target.name
    for part in parts:
        if part.extradata != header:
            raise OutputError(f"{name}: the parts of it do not fit together: begin anew with --restart")
        yield part


def _waiting(others: Iterator[Packet[Stream]], film: Film) -> Packet[Stream] | None:
    """The first packet that is no cover; covers come first and belong into the header."""
    for packet in others:
        if not packet.stream.disposition & Disposition.attached_pic:
            return packet
        film.write_packet(packet)
    return None


def _seconds(packet: Packet[Stream], offset: Fraction) -> Fraction:
    ticks = packet.dts if packet.dts is not None else packet.pts
    # without a time it goes where it stands in the file
    return Fraction(-(10**9)) if ticks is None else ticks * packet.time_base + offset
