"""What passes from stage to stage: decoded frames, the pictures in them, and their geometry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vidcolor.matrices import Matrix

if TYPE_CHECKING:
    import av

Codes = NDArray[np.uint8] | NDArray[np.uint16]
Floats = NDArray[np.float32]
Rgb = NDArray[np.uint8]
"""R'G'B' of 8 bits ``(h, w, 3)``."""
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Signal:
    """How codes stand for light.

    Attributes:
        depth: bits a sample, 8 to 16.
        full_range: whether 0 is black and the highest code white (else 16 and 235, scaled by depth).
        matrix: the luma matrix.
    """

    depth: int
    full_range: bool
    matrix: Matrix

    @property
    def _unit(self) -> int:
        return int(1 << (self.depth - 8))

    @property
    def ends(self) -> tuple[int, int]:
        """Codes of black and white."""
        return (0, 2**self.depth - 1) if self.full_range else (16 * self._unit, 235 * self._unit)

    def expand(self, luma: NDArray[Any], parts: int = 1) -> Floats:
        """Y' with 0 black and 1 white (beyond that: foot- and headroom) of luma codes, any shape.

        Args:
            parts: each number is the sum of so many codes.
        """
        black, white = self.ends
        scaled: Floats = luma.astype(np.float32)
        scaled -= np.float32(parts * black)
        scaled *= np.float32(1.0 / (parts * (white - black)))
        return scaled

    @property
    def neutral(self) -> int:
        """Code of Cb and Cr where there is no chroma."""
        return 128 * self._unit

    @property
    def _chroma_span(self) -> int:
        """Codes from a Cb or Cr of -0.5 to one of 0.5."""
        return 2**self.depth - 1 if self.full_range else 224 * self._unit

    def chroma_codes(self, cbcr: Floats) -> Codes:
        """Codes of Cb and Cr in ±0.5, rounded and kept in the legal range; any shape."""
        middle, span = self.neutral, self._chroma_span
        low, high = (0, span) if self.full_range else (16 * self._unit, 240 * self._unit)
        if self.depth == 8:
            import cv2  # here, because training reads this module and does without OpenCV

            eight = np.asarray(cv2.addWeighted(cbcr, span, cbcr, 0.0, middle, dtype=cv2.CV_8U), np.uint8)
            return np.clip(eight, np.uint8(low), np.uint8(high), out=eight).reshape(cbcr.shape)
        codes = np.clip(np.rint(cbcr * np.float32(span) + np.float32(middle)), low, high)
        result: Codes = codes.astype(np.uint16)
        return result

    def chroma_of(self, codes: NDArray[Any]) -> Floats:
        """Cb and Cr, ±0.5, of their codes; any shape."""
        cbcr: Floats = (codes.astype(np.float32) - np.float32(self.neutral)) / np.float32(self._chroma_span)
        return cbcr


@dataclass(frozen=True, kw_only=True)
class Orientation:
    """How the stored picture becomes upright: transposed first, then mirrored."""

    transpose: bool = False
    mirror: bool = False
    flip: bool = False

    @classmethod
    def from_matrix(cls, matrix: tuple[int, ...]) -> Orientation:
        """Read a display matrix (nine 16.16 fixed-point numbers, ISO/IEC 14496-12); others than quarter
        turns and mirrors count as upright."""
        a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
        if abs(a) + abs(d) < (abs(b) + abs(c)) / 100:
            return cls(transpose=True, mirror=c < 0, flip=b < 0)
        if abs(b) + abs(c) < (abs(a) + abs(d)) / 100:
            return cls(mirror=a < 0, flip=d < 0)
        return cls()

    @property
    def matrix(self) -> tuple[int, ...] | None:
        """The display matrix of it; None for upright."""
        if self == Orientation():
            return None
        across, down = (-1 if self.mirror else 1) << 16, (-1 if self.flip else 1) << 16
        first = (0, down, 0, across, 0, 0) if self.transpose else (across, 0, 0, 0, down, 0)
        return (*first, 0, 0, 1 << 30)

    def upright(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Turn a stored plane ``(h, w, ...)`` upright; a view."""
        turned = stored.swapaxes(0, 1) if self.transpose else stored
        turned = turned[:, ::-1] if self.mirror else turned
        return turned[::-1] if self.flip else turned

    def stored(self, upright: NDArray[Any]) -> NDArray[Any]:
        """Undo :meth:`upright`; a view."""
        turned = upright[::-1] if self.flip else upright
        turned = turned[:, ::-1] if self.mirror else turned
        return turned.swapaxes(0, 1) if self.transpose else turned


@dataclass(kw_only=True)
class Frame:
    """One frame of the source.

    Attributes:
        video: the frame as decoded (properties and side data travel with it).
        luma: its luma codes ``(h, w)``, uint8 or uint16 in native byte order.
        signal: how to read them.
        pts: presentation time in units of ``time_base``, strictly rising.
        duration: in the same units; 0 where unknown.
        fields: 2 where the frame is interlaced, else 1.
        bottom_first: whether the lower of two fields was taken first.
        orientation: how it becomes upright.
        aspect: width over height of one sample.
        opens: whether a segment of the film begins with it; filled in where segments are not made one by one.
    """

    video: av.VideoFrame
    luma: Codes
    signal: Signal
    pts: int
    duration: int
    time_base: Fraction
    fields: int = 1
    bottom_first: bool = False
    orientation: Orientation = Orientation()
    aspect: Fraction = Fraction(1)
    opens: bool = False

    @property
    def seconds(self) -> Fraction:
        """Presentation time in seconds."""
        return self.pts * self.time_base

    def in_time(self, fields: list[T]) -> list[T]:
        """What belongs to the fields, from the upper to the lower, in the order of time; and back again."""
        return fields[::-1] if self.bottom_first else fields

    def pictures(self) -> Iterator[Codes]:
        """Luma ``(h, w)`` of the frame, or of its two fields (upper lines first)."""
        for field in range(self.fields):
            yield self.luma[field :: self.fields]


@dataclass(kw_only=True)
class Picture:
    """What the generator sees of a frame or field.

    Attributes:
        grey: Y' ``(h, w)``, upright, square pixels, at render size, 0 to 1.
        luminance: L* of it ``(h, w)``, 0 to 100.
    """

    grey: Floats
    luminance: Floats
