"""Motion between successive pictures, from their luma alone: what the temporal filter carries chroma along.

It is passive and has no memory, so pictures can be searched in any order and on any thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcolor.frames import Floats
from vidcolor.resizing import shrink

GRID = 4
"""Pixels of the picture, along each side, for one of the grid on which chroma is filtered."""
_SEARCHED = 2
"""The same for the picture that is searched for motion."""
_SMALLEST = 16
"""A searched picture with a shorter side is taken to stand still."""
_RESIDUAL = (0.025, 0.1)
"""Difference of Y' (0..1) up to which motion explains a pixel, and from which on it does not."""
_EXPOSURE = 0.15
"""Change of a picture's brightness that may be the lamp's or the camera's."""
_UNEVEN = (0.008, 0.02)
"""Median over a picture of how far the brightness of its parts has changed, apart from that of the whole, up
to which something has moved, which leaves the rest as it is, and from which on the light has flickered. On 12
steady clips it was 0.008 at most, with parts that flicker by a fifth 0.02 to 0.05."""
_FLICKERS = (0.014, 0.02)
"""The same limits for what is remembered of many pictures: in dissolves of 14 it was 0.013 at most."""
_EXPLAINED = (0.35, 0.55)
"""Part of a difference that uneven light explains, up to which it is none, and from which on it is: 0.4 to
0.7 where there was flicker, 0.2 to 0.5 over cuts and in short dissolves."""
_DETAIL_LEFT = (0.75, 1.0)
"""What uneven light leaves of a difference, as a part of the pictures' own detail, up to which it may be
light, and from which on the one picture has nothing of the other's: 0.1 to 0.55 where parts flicker by a
fifth, 1.0 and more over nearly all cuts, those to and from black, white and plain pictures among them."""
_STEEPEST = 0.5
"""Change with brightness, as a part of it, that an exposure makes at most; over a cut it is nearly -1."""
_PART = 0.3
"""Side of a part, as a part of the picture's shorter one."""
_CHANGED = (0.03, 0.12)
"""The same limits for what is remembered of many pictures, once contrast and brightness fit."""
_CONTRAST = (0.5, 2.0)
"""Factors by which the contrast of what is remembered may have changed as a whole."""
_GONE = 0.2
"""Factor at which nothing is left of it, for the picture has faded away."""
_PLAIN = 0.02
"""Standard deviation of Y' (0..1) below which what is remembered has no contrast that could fade."""
_BLACK = 0.03
"""Y' (0..1) up to which a place is black, and may be a bar's."""
_HOME = (0.5, 2.0)
"""The same limits for the way there and back, in units of the tolerance of Ruder et al."""
_LOST_SHARE = 0.7
"""What is left of trust where there and back disagree though luma agrees: mostly plain areas, in which
any motion explains luma and colour alike."""


@dataclass(frozen=True, kw_only=True)
class Luma:
    """What of a picture is compared with its neighbours.

    Attributes:
        searched: Y' ``(h/2, w/2)``, 8 bits.
        grid: Y' ``(h/4, w/4)``, 0 to 1.
    """

    searched: NDArray[np.uint8]
    grid: Floats

    @classmethod
    def of(cls, grey: Floats) -> Luma:
        """Shrink a picture's Y' ``(h, w)``, 0 to 1."""
        searched = shrink(grey, _SEARCHED)
        return cls(
            searched=np.asarray(searched * np.float32(255.0) + np.float32(0.5), np.uint8),
            grid=shrink(grey, GRID),
        )


@dataclass(frozen=True, kw_only=True)
class Motion:
    """How a picture and the one before it are connected, on the grid.

    Attributes:
        back: ``(h, w, 2)``, where the pixels of the later picture lie in the earlier, pixels right, down.
        there: the same from the earlier to the later.
        trust_back: ``(h, w)``, 0 to 1: how far the earlier picture explains the later one.
        trust_there: how far the later explains the earlier.
        earlier: Y' ``(h, w)`` of the earlier picture, 0 to 1.
        later: of the later.
        flicker: how far it is sure that the light was uneven, other in the one than in the other, 0 to 1.
    """

    back: Floats
    there: Floats
    trust_back: Floats
    trust_there: Floats
    earlier: Floats
    later: Floats
    flicker: float = 0.0


def motion_between(earlier: Luma, later: Luma) -> Motion | None:
    """Motion from one picture to the next; None where their sizes differ.

    Dense flow both ways (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016), a check
    of the way there and back (Ruder et al., "Artistic style transfer for videos", 2016, with a tolerance of
    0.02 |f|² + 0.5 square pixels of the picture), and how well luma agrees at the end of it.
    """
    if earlier.searched.shape != later.searched.shape:
        return None
    back, there = _flow(later, earlier), _flow(earlier, later)
    left_back, flicker = _left(later.grid, earlier.grid, back)
    left_there, _ = _left(earlier.grid, later.grid, there)
    return Motion(
        back=back,
        there=there,
        trust_back=_trust(left_back, back, there),
        trust_there=_trust(left_there, there, back),
        earlier=earlier.grid,
        later=later.grid,
        flicker=flicker,
    )


def agreement(grey: Floats, remembered: Floats, flicker: float = 0.0) -> Floats:
    """How far the luma that is remembered is still there, ``(h, w)``, 0 to 1.

    From picture to picture a dissolve, a shadow or a turn changes too little for trust to fall; what many of
    them add up to shows here. A fade or a lamp, which change the picture as a whole, do not count, until the
    picture has faded away: in what is left, plain black or white, any motion explains everything.

    Args:
        grey: Y' ``(h, w)`` of a picture, 0 to 1.
        remembered: mean Y' of those before it, brought to it along motion.
        flicker: of the motion to it: so far soft changes do not count either.
    """
    was, now = remembered - remembered.mean(), grey - grey.mean()
    contrast = float(np.vdot(was, now)) / max(float(np.vdot(was, was)), 1e-6)
    residual = now - was * np.float32(min(max(contrast, _CONTRAST[0]), _CONTRAST[1]))
    if flicker > 0.0:
        residual = residual - np.float32(flicker) * _soft(residual)
    agrees = _fall(np.asarray(cv2.blur(np.abs(residual), (3, 3)), np.float32), _CHANGED)
    there = (_contrast_left(grey, remembered) - _GONE) / (_CONTRAST[0] - _GONE)
    return np.asarray(agrees * np.float32(min(max(there, 0.0), 1.0)), np.float32)


def _contrast_left(grey: Floats, remembered: Floats) -> float:
    """Part that is left of the contrast of what is remembered, 1 where it has none.

    Black bars, and their edges, which are partly lit, do not count.
    """
    lit = np.asarray(np.maximum(grey, remembered) > _BLACK, np.uint8)
    seen = np.asarray(cv2.erode(lit, np.ones((3, 3), np.uint8))) > 0
    if not seen.any():
        return 1.0
    was, now = remembered[seen] - remembered[seen].mean(), grey[seen] - grey[seen].mean()
    plain = _PLAIN**2 * seen.size
    return (float(np.vdot(was, now)) + plain) / (float(np.vdot(was, was)) + plain)


def fetch(plane: Floats, flow: Floats) -> Floats:
    """``plane`` ``(h, w, ...)`` sampled where ``flow`` ``(h, w, 2)`` leads to, bilinear; edges repeated."""
    return fetch_from(plane, *places(flow))


def fetch_from(plane: Floats, at_x: Floats, at_y: Floats) -> Floats:
    """The same from :func:`places`, which may serve several planes."""
    moved = cv2.remap(plane, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def stretched(flow: Floats, across: float, down: float) -> Floats:
    """Flow ``(h, w, 2)`` in pixels that are so many times as many along each side."""
    return flow * np.tile(np.array([across, down], np.float32), (flow.shape[1], 1))  # in rows, not in pairs


def squared(vectors: Floats) -> Floats:
    """Squared length ``(h, w)`` of ``(h, w, 2)``; to sum over the last axis takes twenty times as long."""
    squares = vectors * vectors
    return np.asarray(squares[..., 0] + squares[..., 1], np.float32)


def _flow(one: Luma, other: Luma) -> Floats:
    """Flow on the grid, in its pixels."""
    height, width = one.grid.shape
    if min(one.searched.shape) < _SMALLEST:
        return np.zeros((height, width, 2), np.float32)
    # made anew: what it remembers from one call to the next must not tell in the result
    search: Any = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)  # type: ignore[attr-defined]
    flow = search.calc(one.searched, other.searched, None)
    shrunk = np.asarray(cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    return stretched(shrunk, width / flow.shape[1], height / flow.shape[0])


def _left(grey: Floats, other: Floats, flow: Floats) -> tuple[Floats, float]:
    """Difference of Y' that motion and the light leave, ``(h, w)``, and :attr:`Motion.flicker`.

    Old film flickers otherwise where it is light and where it is dark, for exposure is a factor, and in one
    part than in another, where it was developed or kept unevenly. What changes with brightness, or softly, is
    that if it changes so all over the picture, explains most of the difference, and both pictures have the
    same detail.
    """
    moved = fetch(other, flow)
    residual = _exposed(moved - grey)
    soft = _soft(residual)
    flicker = _median(np.abs(soft))
    if flicker <= _UNEVEN[0]:
        return residual, 0.0
    gained = _exposed(moved - grey - _gain_in(residual, grey))
    soft = _soft(gained)
    detail = max(_detail(grey), _detail(moved), 1e-6)
    alike = 1.0 - _rise(float(np.abs(gained - soft).mean()) / detail, _DETAIL_LEFT)
    explained = _rise(_explained(gained, soft), _EXPLAINED)
    evened = gained - np.float32(explained) * soft
    residual += np.float32(alike * _rise(flicker, _UNEVEN)) * (evened - residual)
    return residual, alike * explained * _rise(flicker, _FLICKERS)


def _exposed(residual: Floats) -> Floats:
    """What is left of a difference where the picture may have become lighter or darker as a whole."""
    shift = np.clip(np.float32(_median(residual)), -_EXPOSURE, _EXPOSURE)
    return np.asarray(residual - shift, np.float32)


def _gain_in(residual: Floats, grey: Floats) -> Floats:
    """What of a difference follows from brightness, as an exposure's does; nothing where that is too much."""
    around = grey - grey.mean()
    slope = float(np.vdot(residual, around)) / max(float(np.vdot(around, around)), 1e-6)
    return np.asarray(around * np.float32(slope if abs(slope) < _STEEPEST else 0.0), np.float32)


def _explained(residual: Floats, soft: Floats) -> float:
    """Part of a difference that its soft part takes away, by medians."""
    return 1.0 - _median(np.abs(residual - soft)) / max(_median(np.abs(residual)), 1e-6)


def _median(plane: Floats) -> float:
    """As numpy's own, which takes twice as long because it looks for NaN."""
    middle = (plane.size - 1) // 2, plane.size // 2
    found = np.partition(plane, middle, axis=None)[list(middle)]
    return float((found[0] + found[1]) / np.float32(2.0))


def _detail(grey: Floats) -> float:
    """Mean difference of Y' from that around it."""
    return float(np.abs(grey - _around(grey)).mean())


def _rise(x: float, limits: tuple[float, float]) -> float:
    """0 up to the first limit, 1 from the second on."""
    low, high = limits
    return min(max((x - low) / (high - low), 0.0), 1.0)


def _soft(residual: Floats) -> Floats:
    """Mean of what surrounds each place, ``(h, w)``; no pixel counts for more than a lamp could do."""
    return _around(np.clip(residual, -_EXPOSURE, _EXPOSURE))


def _around(plane: Floats) -> Floats:
    side = int(_PART * min(plane.shape)) | 1
    return np.asarray(cv2.blur(plane, (side, side)), np.float32)


def _trust(residual: Floats, flow: Floats, reverse: Floats) -> Floats:
    at_x, at_y = places(flow)
    agrees = _fall(np.asarray(cv2.blur(np.abs(residual), (3, 3)), np.float32), _RESIDUAL)
    home = squared(flow + fetch(reverse, flow)) * np.float32(GRID**2)
    tolerance = 0.02 * GRID**2 * squared(flow) + 0.5
    trust = agrees * (_LOST_SHARE + (1.0 - _LOST_SHARE) * _fall(home / tolerance, _HOME))
    height, width = residual.shape
    trust[(at_x < -0.5) | (at_y < -0.5) | (at_x > width - 0.5) | (at_y > height - 0.5)] = 0.0
    return np.asarray(trust, np.float32)


def _fall(x: Floats, limits: tuple[float, float]) -> Floats:
    """1 up to the first limit, 0 from the second on, smooth in between."""
    low, high = limits
    t = np.clip((high - x) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), np.float32)


def places(flow: Floats) -> tuple[Floats, Floats]:
    """Column and row ``(h, w)`` that ``flow`` ``(h, w, 2)`` leads to from each pixel."""
    columns, rows = _indices(flow.shape[0], flow.shape[1])
    return columns + flow[..., 0], rows + flow[..., 1]


@lru_cache(maxsize=4)
def _indices(height: int, width: int) -> tuple[Floats, Floats]:
    rows, columns = np.indices((height, width), dtype=np.float32)
    return columns, rows
