"""CbCr from luma and ab by a table with trilinear interpolation, fitted into the gamut."""

from __future__ import annotations

import threading
from functools import lru_cache

import cv2
import numpy as np

from vidcolor.colorspace import unbounded_chroma_from_ab
from vidcolor.frames import Floats
from vidcolor.matrices import MATRICES, Matrix

_AB_LIMIT = 112.0
_WIDE_AB_LIMIT = 192.0
_AB_POINTS = 65
_LUMA_STEPS = 64
_AT_ONCE = 13
"""Slices of the table that are made together: what is computed on then stays in a processor's cache."""
_NEAR = np.float32(1e-6)
"""How near luma comes to black and white; there chroma fades to nothing."""
_tabulating = threading.Lock()


def within(y: Floats, out: Floats | None = None) -> Floats:
    """Luma, 0 black to 1 white, any shape; what lies outside is clipped, to a millionth off the end.

    Args:
        out: where the result goes, if not into memory of its own.
    """
    return np.asarray(np.clip(y, _NEAR, 1 - _NEAR, out=out), np.float32)


def _limit(matrix: Matrix) -> float:
    return _WIDE_AB_LIMIT if matrix.wide else _AB_LIMIT


@lru_cache(maxsize=len(MATRICES))
def _atlas(matrix: Matrix) -> Floats:
    """All slices in one picture; kept, for each segment of a film asks for it and it takes 0.12 s of CPU."""
    levels = np.linspace(0.0, 1.0, _LUMA_STEPS + 1, dtype=np.float32)
    axis = np.linspace(-_limit(matrix), _limit(matrix), _AB_POINTS, dtype=np.float32)
    b, a = np.meshgrid(axis, axis, indexing="ij")
    ab = np.stack((a, b))[None]
    each = [
        unbounded_chroma_from_ab(
            np.broadcast_to(y.reshape(-1, 1, 1, 1), (len(y), 1, _AB_POINTS, _AB_POINTS)),
            np.broadcast_to(ab, (len(y), *ab.shape[1:])),
            matrix,
        )
        for y in np.split(levels, range(_AT_ONCE, len(levels), _AT_ONCE))
    ]
    slices = np.concatenate(each).transpose(0, 2, 3, 1)  # (65, b, a, CbCr)
    pairs = np.concatenate((slices[:-1], slices[1:]), -1)
    atlas = pairs.reshape(_LUMA_STEPS * _AB_POINTS, _AB_POINTS, 4)  # from (64, 65, 65, 4)
    return np.ascontiguousarray(atlas, dtype=np.float32)


def tabulated(matrix: Matrix) -> Floats:
    """The table of a matrix, made where there is none yet, and once though several threads want it."""
    with _tabulating:
        return _atlas(matrix)


class ChromaTable:
    """Maps (Y', a, b) to (Cb, Cr) for one luma matrix.

    A slice of the table holds all (a, b) at one luma; 64 slices lie below each other in one picture, each
    point holding its own CbCr and that of the next slice, so that one bilinear look-up and one mix
    give the trilinear value. On natural pictures it is within 0.1 code (8 bits) of the exact form, which
    :func:`~vidcolor.colorspace.unbounded_chroma_from_ab` finds by bisection (0.001 code RMS) and which costs
    too much a frame. The table is of unclipped values, and the gamut is fitted afterwards: of clipped ones it
    is ten times worse at the faces of the cube. Several threads may ask at once.
    """

    def __init__(self, matrix: Matrix) -> None:
        self._matrix = matrix
        self._limit = _limit(matrix)
        self._atlas = tabulated(matrix)
        self._scratch = threading.local()  # from call to call: fresh memory costs as much again

    def __call__(self, y: Floats, ab: Floats) -> Floats:
        """CbCr ``(h, w, 2)`` within ±0.5 of luma ``(h, w)``, 0 black to 1 white, and ab ``(h, w, 2)``."""
        y = within(y)
        columns, rows = cv2.split(self.places(ab))
        cb, cr = self.unbounded(y, columns, rows)
        self.fit_gamut(y, cb, cr)
        return np.asarray(cv2.merge((cb, cr)), np.float32).reshape(ab.shape)

    def places(self, ab: Floats) -> Floats:
        """Where a and b lie in a slice, 0 to 64 for ±112 (±192 for BT.2020); linear in them, any shape."""
        scale = (_AB_POINTS - 1) / (2.0 * self._limit)
        return np.asarray(ab * np.float32(scale) + np.float32(self._limit * scale), np.float32)

    def unbounded(self, y: Floats, columns: Floats, rows: Floats) -> tuple[Floats, Floats]:
        """Cb and Cr ``(h, w)``, which may lead out of the R'G'B' cube.

        They are good until the thread's next call.

        Args:
            y: luma ``(h, w)``, as of :func:`within`.
            columns, rows: :meth:`places` of a and b, ``(h, w)``, changed here; what lies outside is clipped.
        """
        fraction = y * np.float32(_LUMA_STEPS)
        below = np.floor(fraction)
        fraction -= below
        for places in (columns, rows):
            np.clip(places, 0.0, np.float32(_AB_POINTS - 1), out=places)
        below *= np.float32(_AB_POINTS)
        rows += below
        pairs, parts = self._room(y.shape)
        cv2.remap(self._atlas, columns, rows, cv2.INTER_LINEAR, dst=pairs)
        cb, cr, next_cb, next_cr = cv2.split(pairs, parts)
        for plane, upper in ((cb, next_cb), (cr, next_cr)):
            upper -= plane
            upper *= fraction
            plane += upper
        return cb, cr

    def _room(self, shape: tuple[int, ...]) -> tuple[Floats, list[Floats]]:
        """Memory of this thread for what is looked up."""
        scratch = self._scratch
        if getattr(scratch, "shape", None) != shape:
            scratch.shape = shape
            scratch.pairs = np.empty((*shape, 4), np.float32)
            scratch.parts = [np.empty(shape, np.float32) for _ in range(4)]
        return scratch.pairs, scratch.parts

    def fit_gamut(self, y: Floats, cb: Floats, cr: Floats) -> None:
        """Scale chroma in place so that R'G'B' stays within 0 to 1; luma is never moved.

        Args:
            y: luma ``(h, w)``, as of :func:`within`: at black and white, chroma becomes zero.
            cb, cr: ``(h, w)``, contiguous.
        """
        m = self._matrix
        to_blue, to_red = 2.0 * (1.0 - m.kb), 2.0 * (1.0 - m.kr)
        blue, red = cv2.scaleAdd(cb, to_blue, y), cv2.scaleAdd(cr, to_red, y)
        green = cv2.addWeighted(cb, -m.kb / m.kg * to_blue, cr, -m.kr / m.kg * to_red, 0.0)
        green = cv2.add(green, y, dst=green)
        highest, lowest = cv2.max(cv2.max(blue, red), green), cv2.min(cv2.min(blue, red), green)
        far = np.flatnonzero((highest > 1.0) | (lowest < 0.0))
        if len(far):  # few pixels leave the cube
            up, down, y = (plane.ravel()[far] for plane in (highest, lowest, y))
            times = np.maximum((up - y) / (1 - y), (y - down) / y)  # as far as there is room
            for plane in (cb, cr):
                plane.ravel()[far] /= times
