"""Black bars: what of a picture lies within them, which is all that the generator gets to see.

A film of one shape in a frame of another has bars above and below or on both sides. With them the
generator sees what no photograph has. On 100 photographs in such bars, ab was 0.3 (at the sides) to 0.7 Lab
units (above and below) further from the truth than without.

Bars are told from darkness by being followed: what was bright within the last minute is none, and once there
are some in a shot they only shrink, so that colours do not jump.

Two others look for bars, for purposes of their own, and what they find never reaches the generator:
:func:`vidcolor.thumbnails.active_area`, so that bars do not make pictures alike that are not (in thumbnails,
one at a time; an edge as dark as the picture's darkest place is enough), and
:class:`vidcolor.watching.Watch`, for the line that says how wide they are (in the source's own pixels; black
alone counts).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidcolor.frames import Floats
from vidcolor.stages.luminance import padded
from vidcolor.thumbnails import Area

if TYPE_CHECKING:
    from vidcolor.stages.predict import Predictor

_DARK = 0.08
"""Mean Y' (0..1) of a bar's row or column, at most: analogue video in America has black at 0.075."""
_PLAIN = 0.06
"""Range of Y' within it, at most: compression leaves some."""
_LEAST = 0.02
"""Part of height or width that a bar takes at least; blanking at the edges of video takes less."""
_LEFT = 0.3
"""Part of the picture that lies within bars, at least: an upright one in a wide frame has 0.32."""
_CLEAR = 0.85
"""Part of the rows, and of the columns, between bars that is lit, at least; of a title's rows less is."""
_HELD = 1500
"""Pictures after which what is dark may be a bar: a minute at 25 a second. Subtitles in a bar come again."""
_STEP = 4
"""Pixels by which the area grows: each change of it changes colours a little."""
_MARGIN = _STEP + 1
"""Pixels around the area that share the colours of its edge: it begins up to a step within the picture."""

Lit = NDArray[np.bool_]
"""Of each row, from top to bottom, and then of each column, whether it is lit, so no bar's: ``(h + w,)``."""


def lit_of(grey: Floats) -> Lit:
    """Which rows and columns of Y' ``(h, w)``, 0 to 1, could not be a bar's."""
    found = [(np.ptp(grey, axis=axis) > _PLAIN) | (grey.mean(axis=axis) > _DARK) for axis in (1, 0)]
    return np.concatenate(found)


def area_of(lit: Lit, height: int, *, known: bool = False) -> Area:
    """What lies within the bars of pictures ``height`` rows high; all, unless they are clear or ``known``."""
    width = len(lit) - height
    rows, columns = lit[:height], lit[height:]
    if not (rows.any() and columns.any()):
        return (0, height, 0, width)
    top, bottom = int(rows.argmax()), height - int(rows[::-1].argmax())
    left, right = int(columns.argmax()), width - int(columns[::-1].argmax())
    clear = known or min(rows[top:bottom].mean(), columns[left:right].mean()) >= _CLEAR
    large = (bottom - top) * (right - left) >= _LEFT * height * width
    wide = max(top, height - bottom) >= _LEAST * height or max(left, width - right) >= _LEAST * width
    if not (clear and large and wide):
        return (0, height, 0, width)
    # inwards, by a pixel at least: those at a bar's edge are half of it
    top, left = (_STEP * (edge // _STEP + 1) if edge else 0 for edge in (top, left))
    below, beside = (_STEP * (bar // _STEP + 1) if bar else 0 for bar in (height - bottom, width - right))
    return (top, height - below, left, width - beside)


def area_alone(grey: Floats) -> Area:
    """What lies within the bars of Y' ``(h, w)``, 0 to 1, by this picture alone."""
    return area_of(lit_of(grey), grey.shape[0])


@dataclass(frozen=True, kw_only=True)
class BarState:
    """All that is remembered of the pictures before.

    Attributes:
        height: of the pictures; 0 before the first.
        dark: for each row and column, pictures since it was lit last.
        lit: those that have been no bar's in this shot.
        known: whether there are bars in this shot.
        pending: of each picture that is not decided yet, which it lights, ``(n, h + w)``.
    """

    height: int = 0
    dark: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    lit: Lit = field(default_factory=lambda: np.zeros(0, np.bool_))
    known: bool = False
    pending: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0), np.bool_))


class BarFollower:
    """Decides of each picture, once it is known whether a shot begins with it, what lies within its bars.

    Args:
        state: where to go on from; by default the start of a film.
    """

    def __init__(self, state: BarState | None = None) -> None:
        state = state or BarState()
        self._height, self._dark, self._lit, self._known = state.height, state.dark, state.lit, state.known
        self._pending = deque((state.height, lit) for lit in state.pending)

    @property
    def state(self) -> BarState:
        """What another one needs to go on from here with the same decisions."""
        pending = np.stack([lit for _, lit in self._pending]) if self._pending else BarState().pending
        return BarState(
            height=self._height, dark=self._dark, lit=self._lit, known=self._known, pending=pending
        )

    def push(self, grey: Floats) -> None:
        """Take the next picture's Y' ``(h, w)``, 0 to 1."""
        self._pending.append((grey.shape[0], lit_of(grey)))

    def decide(self, *, begins: bool) -> Area:
        """The area of the oldest picture that is not decided yet."""
        height, lit = self._pending.popleft()
        if (height, lit.shape) != (self._height, self._lit.shape):  # nothing before it counts
            self._height, self._lit = height, np.zeros_like(lit)
            self._dark = np.full(lit.shape, _HELD, np.int32)
        if begins:
            self._lit, self._known = self._dark < _HELD, False
        self._dark = np.where(lit, 0, np.minimum(self._dark + 1, _HELD)).astype(np.int32)
        self._lit = self._lit | lit
        area = area_of(self._lit, height, known=self._known)
        self._known = self._known or area != area_of(np.ones_like(lit), height)
        return area


def predict_within(predictor: Predictor, luminances: Sequence[Floats], areas: Sequence[Area]) -> list[Floats]:
    """Ab ``(h, w, 2)`` of pictures of one size, each seen within its area alone; the rest has none.

    Args:
        predictor: gives ab.
        luminances: L* ``(h, w)`` of each, 0 to 100.
        areas: what of each lies within its bars.
    """
    found: list[Floats] = []
    for area, group in groupby(zip(luminances, areas, strict=True), key=lambda pair: pair[1]):
        top, bottom, left, right = area
        inside = [luminance[top:bottom, left:right] for luminance, _ in group]
        predicted = predictor(padded(inside, predictor.multiple), inside[0].shape)
        found += [_placed(ab, area, luminances[0].shape) for ab in predicted]
    return found


def _placed(ab: Floats, area: Area, shape: tuple[int, ...]) -> Floats:
    """The ab of an area, in a picture ``(h, w)`` that has none beside it."""
    top, bottom, left, right = area
    around = ((top, shape[0] - bottom), (left, shape[1] - right), (0, 0))
    near = [(min(before, _MARGIN), min(after, _MARGIN)) for before, after in around]
    rest = [(a - b, c - d) for (a, c), (b, d) in zip(around, near, strict=True)]
    return np.pad(np.pad(ab, near, mode="edge"), rest)
