"""Luma matrices.

Sources: ITU-R BT.601-7, BT.709-6, BT.2020-2 (luma coefficients), ITU-T H.273 (code points).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

A = TypeVar("A", bound=Any)


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A luma matrix: Y' = kr R' + (1 - kr - kb) G' + kb B'.

    Attributes:
        code: ``matrix_coefficients`` of ITU-T H.273.
        wide: whether the primaries are BT.2020's rather than BT.709's (BT.601's are taken as 709's).
    """

    name: str
    code: int
    kr: float
    kb: float
    wide: bool = False

    @property
    def kg(self) -> float:
        """Weight of green."""
        return 1.0 - self.kr - self.kb

    def luma(self, red: A, green: A, blue: A) -> A:
        """Y' of gamma-coded planes of one shape; of numpy's arrays and torch's tensors."""
        y: A = red * self.kr + green * self.kg + blue * self.kb
        return y


BT709 = Matrix(name="bt709", code=1, kr=0.2126, kb=0.0722)
FCC = Matrix(name="fcc", code=4, kr=0.30, kb=0.11)
BT470BG = Matrix(name="bt470bg", code=5, kr=0.299, kb=0.114)
SMPTE170M = Matrix(name="smpte170m", code=6, kr=0.299, kb=0.114)
SMPTE240M = Matrix(name="smpte240m", code=7, kr=0.212, kb=0.087)
BT2020 = Matrix(name="bt2020nc", code=9, kr=0.2627, kb=0.0593, wide=True)
MATRICES = {m.code: m for m in (BT709, FCC, BT470BG, SMPTE170M, SMPTE240M, BT2020)}
