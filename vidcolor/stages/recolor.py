"""Stage 5, recolor: ab at render size becomes chroma planes that fit the full-size luma."""

from __future__ import annotations

import cv2
import numpy as np

from vidcolor.chromatable import ChromaTable
from vidcolor.colorspace import Matrix
from vidcolor.frames import Codes, Floats, Frame, Picture

_RADIUS = 4
_EPSILON = 2e-4
"""Regularisation of the guided filter, in squared luma: edges of 0.014 and more steer the colour."""
_STRIP = 1 << 15
"""Pixels that are worked on together: their dozen planes stay in a processor's cache."""
_SPARE_BITS = 4


class Recolorer:
    """Turns ab into the chroma planes of a frame.

    Args:
        subsampling: ``420``, ``422`` or ``444``, of the planes to make.
        saturation: factor on ab.
    """

    def __init__(self, subsampling: str, saturation: float = 1.0) -> None:
        self._subsampling = subsampling
        self._saturation = np.float32(saturation)
        self._tables: dict[Matrix, ChromaTable] = {}

    def __call__(self, frame: Frame, pictures: list[Picture], abs_: list[Floats]) -> tuple[Codes, Codes]:
        """Cb and Cr planes of ``frame`` at the subsampling's size.

        Args:
            frame: gives luma, signal and orientation.
            pictures: what the generator saw of the frame, one for each field.
            abs_: their ab ``(h, w, 2)``, upright, at render size.
        """
        if frame.fields == 1:
            cb, cr = self._field(frame, frame.luma, pictures[0], abs_[0])
            return cb, cr
        fields = [self._field(frame, *one) for one in zip(frame.pictures(), pictures, abs_, strict=True)]
        rows = frame.luma.shape[0]
        height = (rows + 1) // 2 if self._subsampling == "420" else rows
        woven = np.empty((2, height, fields[0].shape[2]), fields[0].dtype)
        for parity, field in enumerate(fields):
            lines = woven[:, parity :: len(fields)]
            lines[:] = field[:, : lines.shape[1]]  # a field of odd height rounds its chroma up
        return woven[0], woven[1]

    def _field(self, frame: Frame, luma: Codes, picture: Picture, ab: Floats) -> Codes:
        """Cb and Cr as ``(2, h, w)``."""
        matrix = frame.signal.matrix
        if matrix not in self._tables:
            self._tables[matrix] = ChromaTable(matrix)
        table = self._tables[matrix]
        sites = chroma_site_luma(luma, self._subsampling)
        # the filter is linear in what it brings up: the few pixels of ab are scaled instead of the many
        places = table.places(np.ascontiguousarray(frame.orientation.stored(ab)) * self._saturation)
        guided = None
        if places.shape[:2] != sites.shape:
            guide = np.ascontiguousarray(frame.orientation.stored(picture.grey))
            guided = GuidedUpsampling(places, guide, sites.shape)
        codes = np.empty((2, *sites.shape), luma.dtype)
        height = max(1, _STRIP // sites.shape[1])
        for top in range(0, sites.shape[0], height):
            strip = slice(top, top + height)
            y = frame.signal.expand(sites[strip])
            columns, rows = cv2.split(places[strip]) if guided is None else guided(strip, y)
            for plane, values in zip(codes, table.planes(y, columns, rows), strict=True):
                plane[strip] = frame.signal.chroma_codes(values)
        return codes


def chroma_site_luma(luma: Codes, subsampling: str) -> Floats:
    """Luma ``(h, w)`` averaged to where chroma samples sit, as float codes.

    Horizontally they sit on every other luma sample (H.264's default for 4:2:0 and 4:2:2), vertically,
    in 4:2:0, between two lines. Odd sizes are rounded up.
    """
    if subsampling == "444":
        return luma.astype(np.float32)
    down = 2 if subsampling == "420" else 1
    luma = cv2.copyMakeBorder(luma, 0, -luma.shape[0] % down, 0, luma.shape[1] % 2, cv2.BORDER_REPLICATE)
    spare = _SPARE_BITS if luma.dtype == np.uint8 else 0  # so that means of four keep their fractions
    plane = np.left_shift(luma, spare, dtype=np.uint16) if spare else luma.astype(np.float32)
    rows, columns = luma.shape[0] // down, luma.shape[1] // 2
    after = _means(plane, rows, columns)  # of each even sample and the one after it
    before = np.empty_like(after)
    before[:, :1] = _means(plane[:, :1], rows, 1)
    if columns > 1:
        before[:, 1:] = _means(plane[:, 1:-1], rows, columns - 1)
    half = 0.5 / (1 << spare)
    return np.asarray(cv2.addWeighted(after, half, before, half, 0.0, dtype=cv2.CV_32F), np.float32)


def _means(plane: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Means of the blocks that a plane falls into."""
    means = cv2.resize(plane, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(means).reshape(rows, columns)


class GuidedUpsampling:
    """Brings ab to a larger size with its edges on those of luma: the fast guided filter.

    He and Sun, "Fast Guided Filter" (2015): ab is locally linear in luma; the coefficients are found at
    low resolution and applied to luma at high resolution.

    Args:
        ab: ``(h, w, 2)``.
        guide: luma of the same size ``(h, w)``, 0 to 1.
        shape: height and width of the larger size.
    """

    def __init__(self, ab: Floats, guide: Floats, shape: tuple[int, ...]) -> None:
        mean_y = _blurred(guide)
        variance = _blurred(guide * guide) - mean_y * mean_y + np.float32(_EPSILON)
        self._lines: list[tuple[Floats, Floats]] = []
        for plane in cv2.split(ab):
            mean = _blurred(plane)
            slope = (_blurred(plane * guide) - mean * mean_y) / variance
            offset = mean - slope * mean_y
            self._lines.append((_enlarged(_blurred(slope), shape), _enlarged(_blurred(offset), shape)))

    def __call__(self, rows: slice, y: Floats) -> tuple[Floats, Floats]:
        """a and b of these rows, whose luma is ``y``, 0 to 1."""
        inside = np.clip(y, 0.0, 1.0)
        (slope_a, offset_a), (slope_b, offset_b) = self._lines
        return slope_a[rows] * inside + offset_a[rows], slope_b[rows] * inside + offset_b[rows]


def _blurred(plane: np.ndarray) -> Floats:
    return np.asarray(cv2.blur(plane, (2 * _RADIUS + 1, 2 * _RADIUS + 1)), np.float32)


def _enlarged(plane: Floats, shape: tuple[int, ...]) -> Floats:
    return np.asarray(cv2.resize(plane, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)
