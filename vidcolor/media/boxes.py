"""The boxes that an mp4 or mov consists of (ISO/IEC 14496-12), by their headers alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

_WITHOUT_PICTURES = frozenset(
    b"free skip wide uuid mfra udta meta sidx ssix styp emsg prft pdin mdat".split()
)
"""Kinds of boxes that may follow the last fragment; samples (mdat) are none that no box lists."""


def ends_properly(address: str, read_to: int) -> bool:
    """Whether an mp4 has nothing more to show from byte ``read_to`` on: whole boxes to its end, no fragment.

    Args:
        address: FFmpeg's name for it. Of what is no file nothing is known, and the answer is no.
    """
    try:
        with open(address.removeprefix("file:"), "rb") as file:
            return all(kind in _WITHOUT_PICTURES for kind, end in _boxes(file) if end > read_to)
    except (OSError, ValueError):
        return False


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Kind of each outermost box, and the byte at which it ends; what is no box has an empty kind."""
    size, begin = os.fstat(file.fileno()).st_size, 0
    while begin < size:
        file.seek(begin)
        header = file.read(16)
        kind, length = header[4:8], int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:], "big")
        elif length == 0 and kind != bytes(4):
            length = size - begin  # to the end of the file
        if length < 8 or begin + length > size:
            kind, length = b"", size - begin
        begin += length
        yield kind, begin
