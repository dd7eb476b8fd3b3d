"""Shots: finds online, on luma, where a new shot begins, so that nothing is carried over from the last one.

Pictures are looked at as thumbnails. A cut is a picture such that none of the few before it resembles any
of the few from it on, each part being allowed to have moved: a flash, an occlusion or a repeated picture
fails that, since the old shot goes on behind it, and a pan fails it, since its parts are found again. Motion
too fast to be followed shows in the neighbourhood as well, and raises what is asked of a cut. Pictures
without structure (black, white) are skipped: the shots on both sides of them are compared, and the picture
that rises out of them begins the new one. A dissolve is a straight path, evenly walked from rest to rest,
between two pictures that do not resemble each other; the first that stands (almost) alone begins the shot.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vidcolor.frames import Floats
from vidcolor.thumbnails import (
    HEIGHT,
    WIDTH,
    Area,
    Thumbnails,
    View,
    active_area,
    apart,
    difference,
    plain_difference,
    thumbnail_of,
    toned_like,
)

LOOKAHEAD = 4
"""Pictures that must be seen after one before it is decided."""

_BEFORE = 4
_ALIKE = 0.3
"""Mean square of the difference of normalised thumbnails below which no motion need be searched for."""
_CUT = 0.34
_CUT_ABOVE_USUAL = 3.0

_MEMORY = 52
"""Pictures up to the one to be decided that are remembered: some two seconds."""
_DISSOLVE_LENGTHS = np.array([7, 8, 9, 10, 12, 14, 16, 19, 22, 25, 28, 32, 36, 41, 46])
_DISSOLVE_APART = 0.4
_DISSOLVE_LEAST = 0.03
"""Root mean square of the change of Y' (0..1) that a dissolve makes at least."""
_DISSOLVE_CROOKED = 0.13
"""How far from a straight path a dissolve may be, in coarse thumbnails."""
_DISSOLVE_BENT = 0.45
"""The same of thumbnails with details, as a part of the difference between the ends."""
_DISSOLVE_REST = 0.45
"""Speed just before and after a dissolve, as a part of the speed within, at most."""
_DISSOLVE_FADING = 0.4
"""Contrast of the one end, as a part of the other's, below which the path is a fade's."""
_RETURNED = 0.85
"""Part of the difference between a dissolve's ends below which an earlier picture resembles the later end."""


@dataclass(frozen=True, kw_only=True)
class ShotState:
    """All that the detector remembers.

    Attributes:
        thumbnails: Y' 0..1 ``(n, 36, 48)`` of the last pictures, oldest first.
        pending: how many of them, at the end, are not decided yet.
        shot: where among them the present shot begins; 0 also where it is older.
        seen: whether there was a picture with structure since the film began.
        shape: height and width of the last picture; zeros before the first.
        area: first and last row and column, as thumbnails have them, that ever were no black bar.
    """

    thumbnails: Thumbnails = field(default_factory=lambda: np.zeros((0, HEIGHT, WIDTH), np.float16))
    pending: int = 0
    shot: int = 0
    seen: bool = False
    shape: tuple[int, int] = (0, 0)
    area: Area = (HEIGHT, 0, WIDTH, 0)


class ShotDetector:
    """Decides of each picture, at most ``LOOKAHEAD`` pictures later, whether a shot begins with it.

    Args:
        state: where to go on from; by default the start of a film.
    """

    def __init__(self, state: ShotState | None = None) -> None:
        state = state or ShotState()
        self._area = state.area
        self._views = [View.of(thumbnail, self._area) for thumbnail in state.thumbnails]
        self._pending = state.pending
        self._shot = state.shot
        self._seen = state.seen
        self._shape = state.shape

    @property
    def state(self) -> ShotState:
        """What another detector needs to go on from here with the same decisions."""
        thumbnails = np.array([view.thumbnail for view in self._views], np.float16)
        return ShotState(
            thumbnails=thumbnails.reshape(-1, HEIGHT, WIDTH),
            pending=self._pending,
            shot=self._shot,
            seen=self._seen,
            shape=self._shape,
            area=self._area,
        )

    def push(self, grey: Floats) -> list[str | None]:
        """Take the next picture in order.

        Args:
            grey: Y' ``(h, w)``, 0 to 1, of any size; another size than before is a cut.

        Returns:
            Decisions, in order, of the pictures that have become certain: ``cut``, ``fade`` or ``dissolve``
            where a shot begins, else None.
        """
        thumbnail, shape = thumbnail_of(grey), (grey.shape[0], grey.shape[1])
        if shape != self._shape:
            decisions = [*self.finish(), "cut" if any(self._shape) else None]
            self._area = active_area(thumbnail)
            view = View.of(thumbnail, self._area)
            self._views, self._shot, self._shape = [view], 0, shape
            self._seen = self._seen or not view.flat
            return decisions
        self._widen(active_area(thumbnail))
        self._views.append(View.of(thumbnail, self._area))
        self._pending += 1
        return [self._decide()] if self._pending > LOOKAHEAD else []

    def _widen(self, area: Area) -> None:
        """Look at more of the pictures from now on, and of those remembered, where bars have ended."""
        top, bottom, left, right = self._area
        wide = (min(top, area[0]), max(bottom, area[1]), min(left, area[2]), max(right, area[3]))
        if wide != self._area:
            self._area = wide
            self._views = [View.of(view.thumbnail, wide) for view in self._views]

    def finish(self) -> list[str | None]:
        """Decide the rest, at the end of the film."""
        return [self._decide() for _ in range(self._pending)]

    def _decide(self) -> str | None:
        """Decide the oldest pending picture, and forget what is too old."""
        at = len(self._views) - self._pending
        decision = None if self._views[at].flat else self._judge(at)
        self._seen = self._seen or not self._views[at].flat
        self._pending -= 1
        if decision:
            self._shot = at
        spare = max(0, at + 1 - _MEMORY)
        del self._views[:spare]
        self._shot = max(0, self._shot - spare)
        return decision

    def _judge(self, at: int) -> str | None:
        """Decide a picture that has structure."""
        rises = at > 0 and self._views[at - 1].flat
        before = [view for view in self._views[:at] if not view.flat][-_BEFORE:]
        if not before:
            return "fade" if rises and self._seen else None
        if _parted(before, [view for view in self._views[at : at + LOOKAHEAD + 1] if not view.flat]):
            return "fade" if rises else "cut"
        start = at
        while start > self._shot and not self._views[start - 1].flat:
            start -= 1
        shot = self._views[start : at + LOOKAHEAD + 1]
        seen_on = self._pending > LOOKAHEAD and not any(view.flat for view in shot)
        return "dissolve" if seen_on and _dissolved(shot, at - start) else None


def _parted(before: list[View], after: list[View]) -> bool:
    """Whether no picture of the one list resembles any of the other, by more than is usual here."""
    if plain_difference(before[-1], after[0]) < _ALIKE or apart(before[-1], after[0]) < _CUT:
        return False
    pairs = [(a, b) for a in reversed(before) for b in after]
    if min(plain_difference(a, b) for a, b in pairs) < _ALIKE:
        return False
    neighbours = [*pairwise(before), *pairwise(after)]
    usual = [difference(a.normalised, b.normalised) for a, b in neighbours]
    limit = _CUT + _CUT_ABOVE_USUAL * (float(np.median(usual)) if usual else 0.0)
    return all(apart(a, b) >= limit for a, b in pairs)


def _dissolved(shot: list[View], at: int) -> bool:
    """Whether a dissolve has ended just before picture ``at`` of a shot, seen up to ``at + LOOKAHEAD``."""
    lengths = _DISSOLVE_LENGTHS[at >= _DISSOLVE_LENGTHS]
    path = np.stack([view.coarse for view in shot])
    return any(
        _crookedness(path[start : at + 1]) < _DISSOLVE_CROOKED and _is_new(shot, start, at)
        for start in _possible_starts(path, at - lengths, at)
    )


def _possible_starts(path: Floats, starts: NDArray[np.intp], at: int) -> list[int]:
    """Those of ``starts`` where a change that has come to rest at ``at`` may have begun, also from rest.

    ``path`` is ``(n, pixels)``. With w the place of a picture between the start (0) and ``at`` (1), w must
    change less in the ``LOOKAHEAD`` pictures on either side than within.
    """
    earlier = np.maximum(starts - LOOKAHEAD, 0)
    way = path[at] - path[starts]
    length = np.square(way).sum(axis=1)
    scale = (at - starts) / np.maximum(length, 1e-6)
    leaving = (way @ (path[at + LOOKAHEAD] - path[at])) * scale / LOOKAHEAD
    steps = ((path[starts] - path[earlier]) * way).sum(axis=1)
    arriving = steps * scale / np.maximum(starts - earlier, 1)
    moved = way - way.mean(axis=1, keepdims=True)
    spread = np.minimum(path[at].var(), path[starts].var(axis=1))
    far = np.square(moved).mean(axis=1) > np.maximum(_ALIKE * spread, _DISSOLVE_LEAST**2)
    rests = np.maximum(leaving, arriving) < _DISSOLVE_REST
    return [int(start) for start in starts[rests & far]]


def _crookedness(path: Floats) -> float:
    """How far a path ``(n, pixels)`` is from a blend of its ends with evenly rising weight; 0 is a dissolve.

    The greatest share of a picture that is no blend (least squares), and half the greatest error of weight.
    """
    steps = path - path[0]
    way = steps[-1]
    length = float(way @ way)
    weights = steps @ way / length
    rest = np.maximum(np.square(steps).sum(axis=1) / length - weights**2, 0)
    uneven = np.abs(weights - np.linspace(0, 1, len(path)))
    return float(rest.max() + 0.5 * uneven.max())


def _is_new(shot: list[View], start: int, at: int) -> bool:
    """Whether the picture ``at`` resembles neither that at ``start`` nor what was there before."""
    spreads = shot[start].spread, shot[at].spread
    if min(spreads) < _DISSOLVE_FADING * max(spreads):
        return False
    # a slow movement looks straight where details are lost
    bent = _crookedness(np.stack([view.luma.ravel() for view in shot[start : at + 1]]))
    old, new = shot[start].normalised, shot[at].normalised
    apart = difference(old, new)
    if apart < max(_DISSOLVE_APART, bent / _DISSOLVE_BENT):
        return False
    toned = ((toned_like(old, new), new), (old, toned_like(new, old)))
    if any(difference(a, b) < _DISSOLVE_APART for a, b in toned):
        return False
    earlier = [shot[i].normalised for i in range(start - 2, -1, -8)]
    return all(difference(view, new) > _RETURNED * apart for view in earlier)
