"""H.264 whose fields are pictures of their own (PAFF), which no encoder at hand writes, of plain samples."""

from __future__ import annotations


class _Bits:
    """Bits of a unit, the highest first."""

    def __init__(self) -> None:
        self._bits = ""

    def put(self, length: int, value: int) -> _Bits:
        """An unsigned number of so many bits."""
        self._bits += f"{value:0{length}b}"
        return self

    def code(self, *values: int) -> _Bits:
        """Numbers as Exp-Golomb codes."""
        for value in values:
            digits = f"{value + 1:b}"
            self._bits += "0" * (len(digits) - 1) + digits
        return self

    def samples(self, data: bytes) -> _Bits:
        """Bytes, at the next whole byte."""
        self._bits += "0" * (-len(self._bits) % 8)
        self._bits += "".join(f"{value:08b}" for value in data)
        return self

    def unit(self, header: int) -> bytes:
        """All of it, with start code and header. (Samples are never so low that a start code would arise.)"""
        bits = self._bits + "1"
        bits += "0" * (-len(bits) % 8)
        return bytes([0, 0, 0, 1, header]) + int(bits, 2).to_bytes(len(bits) // 8, "big")


def field_pictures(frames: int, group: int) -> list[bytes]:
    """Units of a film of 32 × 32 pixels: parameter sets, then each field; a key frame begins each group."""
    size = _Bits().put(8, 77).put(8, 0).put(8, 30).code(0, 0, 0, 4, 2).put(1, 0).code(1, 0).put(6, 0b001000)
    tools = _Bits().code(0, 0).put(2, 0).code(0, 0, 0).put(3, 0).code(0, 0, 0).put(3, 0b100)
    packets = [size.unit(0x67) + tools.unit(0x68)]
    for number, bottom in ((n, bottom) for n in range(frames) for bottom in (0, 1)):
        place = number % group
        key = place == 0 and not bottom
        slice_ = _Bits().code(0, 7, 0).put(4, place % 16).put(2, 0b10 + bottom)
        if key:
            slice_.code(number // group % 2)
        slice_.put(8, (2 * place + bottom) % 256).put(2 if key else 1, 0).code(0, 1)
        for block in range(2):
            slice_.code(25).samples(bytes([40 + number % 100 + block]) * 256 + bytes([128]) * 128)
        packets.append(slice_.unit(0x65 if key else 0x61))
    return packets
