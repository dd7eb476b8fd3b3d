"""The pixels' aspect ratio in headers whose muxers learn it from what PyAV cannot set.

FFmpeg takes it from the stream, PyAV sets that of the codec alone. In y4m other characters are written
instead. In Matroska, whose elements are described in RFC 8794 and RFC 9559, the track is given a longer
name than it has, and what is taken off again makes room for the picture's shape: nothing behind it moves.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from fractions import Fraction

from av.video.stream import VideoStream

from vidcolor.media.traits import traits_of

_ROOM = " [pixels' aspect]"
"""Characters that a name is longer by: more bytes than the shape of the picture takes."""
_LONGEST = 1 << 26
"""Bytes of a file in which its tracks are looked for: fonts and covers come behind them."""
_WIDEST = (1 << 32) - 1
"""Pixels that a picture is shown in at most: its shape has to fit the room."""

_SEGMENT, _TRACKS, _TRACK, _NAME = b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\xae", b"\x53\x6e"
_VIDEO, _PIXEL_WIDTH, _PIXEL_HEIGHT = b"\xe0", b"\xb0", b"\xba"
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = b"\x54\xb0", b"\x54\xba", b"\x54\xb2"
_CRC, _VOID = b"\xbf", b"\xec"


def make_room(muxer: str, stream: VideoStream, aspect: Fraction) -> None:
    """Before the header is written, have it leave room for what :func:`with_aspect` puts there."""
    if traits_of(muxer).is_matroska and aspect != 1:
        # Ogg has TITLE, which is the same to FFmpeg
        key = next((k for k in stream.metadata if k.lower() == "title"), "title")
        stream.metadata[key] = stream.metadata.get(key, "") + _ROOM


def with_aspect(muxer: str, header: bytes, aspect: Fraction) -> bytes:
    """The first bytes of a film with the pixels' aspect ratio in them; empty while there are too few of them.

    Args:
        header: the first bytes.
        aspect: width of a pixel to its height.
    """
    if muxer == "yuv4mpegpipe":
        return header.replace(b" A0:0 ", f" A{aspect.numerator}:{aspect.denominator} ".encode(), 1)
    if not traits_of(muxer).is_matroska or aspect == 1:
        return header
    tracks = _tracks(header)
    if tracks is None:
        return b"" if len(header) < _LONGEST else header
    begin, end = tracks
    return header[:begin] + _with_shape(header[begin:end], aspect) + header[end:]


def mend_file(muxer: str, path: str, aspect: Fraction) -> None:
    """Put the pixels' aspect ratio into a file of Matroska that is complete.

    Raises:
        OSError: it cannot be read or written.
    """
    if not traits_of(muxer).is_matroska or aspect == 1:
        return
    length, tracks = 1 << 16, None
    with open(path, "r+b") as file:
        while tracks is None and length <= _LONGEST:
            file.seek(0)
            header = file.read(length)
            tracks, length = _tracks(header), length * 4
        if tracks is not None:
            file.seek(tracks[0])
            file.write(_with_shape(header[slice(*tracks)], aspect))


def _tracks(header: bytes) -> tuple[int, int] | None:
    """Where the payload of the element with the tracks begins and ends; None if that is not in ``header``."""
    for kind, begin, end in _elements(header, _segment(header)):
        if kind == _TRACKS:
            return (begin, end) if end <= len(header) else None
    return None


def _segment(header: bytes) -> int:
    return next((begin for kind, begin, _ in _elements(header, 0) if kind == _SEGMENT), len(header))


def _elements(data: bytes, at: int) -> Iterator[tuple[bytes, int, int]]:
    """Id, begin and end of the payload of each element from ``at`` on; the last may end behind ``data``."""
    while at < len(data) and data[at]:
        size_at = at + _width(data[at])
        if size_at >= len(data) or not data[size_at]:
            return
        begin = size_at + _width(data[size_at])
        if begin > len(data):
            return
        size = int.from_bytes(data[size_at:begin], "big") & ((1 << 7 * (begin - size_at)) - 1)
        yield data[at:size_at], begin, begin + size
        at = begin + size


def _width(first: int) -> int:
    """Bytes of a number of variable size that begins with this one."""
    return 9 - first.bit_length()


def _element(kind: bytes, payload: bytes, width: int = 0) -> bytes:
    """An element, the size of which takes ``width`` bytes, or as few as it can."""
    if not width:
        width = next(n for n in range(1, 9) if len(payload) < (1 << 7 * n) - 1)
    return kind + (len(payload) | 1 << 7 * width).to_bytes(width, "big") + payload


def _with_shape(tracks: bytes, aspect: Fraction) -> bytes:
    made = tracks
    for kind, begin, end in list(_elements(tracks, 0)):
        if kind == _TRACK:
            made = made[:begin] + _track_with_shape(made[begin:end], aspect) + made[end:]
    first = next(_elements(made, 0), None)
    if first is not None and first[0] == _CRC:
        _, begin, end = first
        checksum = zlib.crc32(made[end:]).to_bytes(4, "little")
        made = made[:begin] + checksum + made[end:]
    return made


def _track_with_shape(track: bytes, aspect: Fraction) -> bytes:
    children = [(kind, track[begin:end]) for kind, begin, end in _elements(track, 0)]
    name = dict(children).get(_NAME, b"").rstrip(b"\0")
    if not name.endswith(_ROOM.encode()):
        return track
    changed = {
        _NAME: name.removesuffix(_ROOM.encode()),
        _VIDEO: _video_with_shape(dict(children)[_VIDEO], aspect),
    }
    made = b"".join(
        _element(kind, changed.get(kind, payload))
        for kind, payload in children
        if kind != _VOID and changed.get(kind) != b""
    )
    left = len(track) - len(made)  # at least two bytes: see _ROOM
    return made + _element(_VOID, bytes(left - 2) if left < 128 else bytes(left - 9), 1 if left < 128 else 8)


def _video_with_shape(video: bytes, aspect: Fraction) -> bytes:
    children = {kind: video[begin:end] for kind, begin, end in _elements(video, 0)}
    width, height = (int.from_bytes(children[kind], "big") for kind in (_PIXEL_WIDTH, _PIXEL_HEIGHT))
    children.pop(_DISPLAY_UNIT, None)  # pixels, unless it says otherwise: FFmpeg writes that it is not known
    wide = min(max(round(width * aspect), 1), _WIDEST)  # what damage says may be any ratio
    for kind, shown in ((_DISPLAY_WIDTH, wide), (_DISPLAY_HEIGHT, height)):
        children[kind] = shown.to_bytes(4, "big").lstrip(b"\0")
    return b"".join(_element(kind, payload) for kind, payload in children.items())
