"""Thumbnails of pictures, and how much two of them differ: what shots are told apart by."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcolor.frames import Floats

HEIGHT, WIDTH = 36, 48
_BLOCK = 12
_BLOCKS = tuple(
    (
        (slice(top, top + _BLOCK), slice(left, left + _BLOCK)),
        (slice(max(0, top - 6), top + _BLOCK + 6), slice(max(0, left - 8), left + _BLOCK + 8)),
    )
    for top in range(0, HEIGHT, _BLOCK)
    for left in range(0, WIDTH, _BLOCK)
)
"""Each block of a thumbnail and the area where it is searched for: a sixth of the picture to each side."""
_FLAT = 0.02
"""Standard deviation of Y' (0..1) below which a thumbnail has no structure."""
_BAR_ABOVE_BLACK = 0.04
_BAR = 0.02
"""Range of Y' (0..1) within a row or column of a thumbnail up to which it belongs to a black bar."""
_COARSE = (16, 12)
_LUMA_WEIGHT = 1.5

Thumbnails = NDArray[np.float16]
Area = tuple[int, int, int, int]
"""First row, row after the last, first column, column after the last."""


class View(NamedTuple):
    """A thumbnail, and what is compared of it.

    Its active area brought to ``(36, 48)``: Y', that with mean 0 and variance 1, and Y' ``(192,)``.
    """

    thumbnail: Thumbnails
    luma: Floats
    normalised: Floats
    coarse: Floats
    spread: float

    @classmethod
    def of(cls, thumbnail: Thumbnails, area: Area) -> View:
        luma = cropped(thumbnail.astype(np.float32), area)
        spread = float(luma.std())
        normalised: Floats = (luma - luma.mean()) / np.float32(max(spread, _FLAT))
        coarse = cv2.resize(luma, _COARSE, interpolation=cv2.INTER_AREA)
        return cls(thumbnail, luma, normalised, np.asarray(coarse, np.float32).ravel(), spread)

    @property
    def flat(self) -> bool:
        """Whether there is no structure to compare."""
        return self.spread < _FLAT


def active_area(plane: NDArray[np.floating]) -> Area:
    """What of a small Y' ``(h, w)`` lies within its bars: plain rows and columns at the edges.

    Bars are as dark as the darkest place of the picture, which on faded film need not be black; a plain sky
    is none. At each edge they are a third of the picture at most; a plain picture has no area. For comparing
    pictures; what the generator sees of one is for :mod:`vidcolor.bars` to say.
    """
    found: list[int] = []
    for axis in (1, 0):
        dark = plane.mean(axis=axis) < plane.min() + _BAR_ABOVE_BLACK
        lively = np.flatnonzero((np.ptp(plane, axis=axis) > _BAR) | ~dark)
        size = plane.shape[1 - axis]
        if len(lively) == 0:
            return (plane.shape[0], 0, plane.shape[1], 0)
        found += [min(int(lively[0]), size // 3), max(int(lively[-1]) + 1, size - size // 3)]
    return (found[0], found[1], found[2], found[3])


def cropped(plane: Floats, area: Area) -> Floats:
    """The area of a plane ``(h, w)``, brought to the plane's size; all of it where there is no area."""
    top, bottom, left, right = area
    height, width = plane.shape
    if top >= bottom or (top, bottom, left, right) == (0, height, 0, width):
        return plane
    inside = np.ascontiguousarray(plane[top:bottom, left:right])
    return np.asarray(cv2.resize(inside, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def thumbnail_of(grey: Floats) -> Thumbnails:
    """Y' ``(36, 48)`` of a picture ``(h, w)``, areas averaged; what is no number counts as black."""
    shrunk = cv2.resize(grey.astype(np.float32, copy=False), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(np.nan_to_num(shrunk, nan=0.0), 0.0, 1.0), np.float16)


def apart(a: View, b: View) -> float:
    """Difference after motion, and of the distributions of Y' (earth mover's distance)."""
    levels = float(np.abs(np.sort(a.luma, axis=None) - np.sort(b.luma, axis=None)).mean())
    return difference(a.normalised, b.normalised) + _LUMA_WEIGHT * levels


def plain_difference(a: View, b: View) -> float:
    return float(np.square(a.normalised - b.normalised).mean())


def difference(a: Floats, b: Floats) -> float:
    """Mean square that is left of the difference of two normalised thumbnails when blocks may move.

    The median over blocks, so that what came into the picture at one side does not count; of both directions
    the worse, since a flat block is found everywhere.
    """
    return max(float(np.median(_left(a, b))), float(np.median(_left(b, a))))


def _left(a: Floats, b: Floats) -> list[float]:
    """What is left of each block of ``b`` after the best of its places in ``a`` (full search)."""
    places = (cv2.matchTemplate(a[area], b[block], cv2.TM_SQDIFF) for block, area in _BLOCKS)
    return [float(found.min()) / (_BLOCK * _BLOCK) for found in places]


def toned_like(a: Floats, b: Floats) -> Floats:
    """``a`` with the histogram of ``b``: what any change of exposure, clipping too, would have made of it."""
    toned = np.empty_like(a)
    toned.flat[np.argsort(a, axis=None, kind="stable")] = np.sort(b, axis=None)
    return toned
