"""FFV1's checksums of its slices, which FFmpeg's decoder tells its log alone."""

from __future__ import annotations

import zlib

_FOOTER = 8
"""Bytes after a slice: three of its size, one of errors found while encoding, four of the checksum."""
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_ONES = 0xFFFFFFFF


class SliceCheck:
    """Checks the packets of one FFV1 film.

    Not every film has checksums, and only its header says so, in a code of its own: what fails is believed
    once a packet has passed. Those of other beginnings than zero never do, and are not checked.
    """

    def __init__(self) -> None:
        self._has_checksums = False

    def fails(self, data: bytes) -> bool:
        """Whether a packet is damaged.

        A slice with its footer has a CRC-32 of zero, by the polynomial of IEEE 802.3 with the highest bit
        first, begun with zero (RFC 9043). Slices are found from the last one backwards, by their sizes.
        """
        sound = bool(data)
        end = len(data)
        while sound and end > 0:
            begin = end - _FOOTER - int.from_bytes(data[max(0, end - _FOOTER) : end - _FOOTER + 3], "big")
            sound = end > _FOOTER and begin >= 0 and _checksum(data[begin:end]) == 0
            end = begin
        self._has_checksums = self._has_checksums or sound
        return self._has_checksums and not sound


def _checksum(data: bytes) -> int:
    """The CRC with the bits of each byte reversed: zlib knows it with the lowest bit first alone."""
    return zlib.crc32(data.translate(_REVERSED), _ONES) ^ _ONES
