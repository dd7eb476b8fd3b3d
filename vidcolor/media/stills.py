"""Photographs of which FFmpeg's decoders show a part, or nothing but black, without an error."""

from __future__ import annotations

import struct

_SCAN, _END = b"\xff\xda", b"\xff\xd9"
_COMPRESSION, _TILE_WIDTH, _DNG_VERSION = 259, 322, 50706
_JPEG = (6, 7)
"""Compressions of TIFF: the JPEG of TIFF 6.0, and that of its supplement."""


def is_cut_off(jpeg: bytes) -> bool:
    """Whether a JPEG has no end: what is missing of it shows grey, or coarse if it is progressive.

    What stands before the first scan is stepped over, for a thumbnail there has an end of its own; behind it
    an end is nothing else.
    """
    place = 2
    while jpeg[place : place + 1] == b"\xff" and jpeg[place : place + 2] != _SCAN:
        filled = jpeg[place + 1 : place + 2] == b"\xff"  # any segment may have such bytes before it
        place += 1 if filled else 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
    return jpeg.find(_END, place) < 0


def black_tiff(data: bytes) -> str | None:
    """What a TIFF has, of its first page, that FFmpeg makes black of; None for nothing of the kind."""
    order = "<" if data[:2] == b"II" else ">"
    try:
        (place,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, place)
        entries = (struct.unpack_from(f"{order}HHIH", data, place + 2 + 12 * i) for i in range(count))
        tags = {tag: value for tag, _, _, value in entries}
    except struct.error:
        return None  # which the decoder refuses
    if _DNG_VERSION in tags:
        return None
    if tags.get(_COMPRESSION) in _JPEG:
        return "JPEG in it"
    return "tiles" if _TILE_WIDTH in tags else None
