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
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcolor.frames import Floats

LOOKAHEAD = 4
"""Pictures that must be seen after one before it is decided."""

_HEIGHT, _WIDTH = 36, 48
_BLOCK = 12
_BLOCKS = tuple(
    (
        (slice(top, top + _BLOCK), slice(left, left + _BLOCK)),
        (slice(max(0, top - 6), top + _BLOCK + 6), slice(max(0, left - 8), left + _BLOCK + 8)),
    )
    for top in range(0, _HEIGHT, _BLOCK)
    for left in range(0, _WIDTH, _BLOCK)
)
"""Each block of a thumbnail and the area where it is searched for: a sixth of the picture to each side."""
_BEFORE = 4
_FLAT = 0.02
"""Standard deviation of Y' (0..1) below which a thumbnail has no structure."""
_ALIKE = 0.3
"""Mean square of the difference of normalised thumbnails below which no motion need be searched for."""
_CUT = 0.34
_CUT_ABOVE_USUAL = 3.0
_LUMA_WEIGHT = 1.5

_MEMORY = 52
"""Pictures up to the one to be decided that are remembered: some two seconds."""
_COARSE = (16, 12)
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

Thumbnails = NDArray[np.float16]


@dataclass(frozen=True, kw_only=True)
class ShotState:
    """All that the detector remembers.

    Attributes:
        thumbnails: Y' 0..1 ``(n, 36, 48)`` of the last pictures, oldest first.
        pending: how many of them, at the end, are not decided yet.
        shot: where among them the present shot begins; 0 also where it is older.
        seen: whether there was a picture with structure since the film began.
        shape: height and width of the last picture; zeros before the first.
    """

    thumbnails: Thumbnails = field(default_factory=lambda: np.zeros((0, _HEIGHT, _WIDTH), np.float16))
    pending: int = 0
    shot: int = 0
    seen: bool = False
    shape: tuple[int, int] = (0, 0)


class ShotDetector:
    """Decides of each picture, at most ``LOOKAHEAD`` pictures later, whether a shot begins with it.

    Args:
        state: where to go on from; by default the start of a film.
    """

    def __init__(self, state: ShotState | None = None) -> None:
        state = state or ShotState()
        self._views = [_View.of(thumbnail) for thumbnail in state.thumbnails]
        self._pending = state.pending
        self._shot = state.shot
        self._seen = state.seen
        self._shape = state.shape

    @property
    def state(self) -> ShotState:
        """What another detector needs to go on from here with the same decisions."""
        thumbnails = np.array([view.luma for view in self._views], np.float16)
        return ShotState(
            thumbnails=thumbnails.reshape(-1, _HEIGHT, _WIDTH),
            pending=self._pending,
            shot=self._shot,
            seen=self._seen,
            shape=self._shape,
        )

    def push(self, grey: Floats) -> list[str | None]:
        """Take the next picture in order.

        Args:
            grey: Y' ``(h, w)``, 0 to 1, of any size; another size than before is a cut.

        Returns:
            Decisions, in order, of the pictures that have become certain: ``cut``, ``fade`` or ``dissolve``
            where a shot begins, else None.
        """
        view, shape = _View.of(_thumbnail(grey)), (grey.shape[0], grey.shape[1])
        if shape != self._shape:
            decisions = [*self.finish(), "cut" if any(self._shape) else None]
            self._views, self._shot, self._shape = [view], 0, shape
            self._seen = self._seen or not view.flat
            return decisions
        self._views.append(view)
        self._pending += 1
        return [self._decide()] if self._pending > LOOKAHEAD else []

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


class _View(NamedTuple):
    """A thumbnail as it is compared: Y' ``(36, 48)``, that with mean 0 and variance 1, and Y' ``(192,)``."""

    luma: Floats
    normalised: Floats
    coarse: Floats
    spread: float

    @classmethod
    def of(cls, thumbnail: Thumbnails) -> _View:
        luma = thumbnail.astype(np.float32)
        spread = float(luma.std())
        normalised: Floats = (luma - luma.mean()) / np.float32(max(spread, _FLAT))
        coarse = cv2.resize(luma, _COARSE, interpolation=cv2.INTER_AREA)
        return cls(luma, normalised, np.asarray(coarse, np.float32).ravel(), spread)

    @property
    def flat(self) -> bool:
        """Whether there is no structure to compare."""
        return self.spread < _FLAT


def _thumbnail(grey: Floats) -> Thumbnails:
    """Y' ``(36, 48)`` of a picture ``(h, w)``, areas averaged; what is no number counts as black."""
    shrunk = cv2.resize(grey.astype(np.float32, copy=False), (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(np.nan_to_num(shrunk, nan=0.0), 0.0, 1.0), np.float16)


def _parted(before: list[_View], after: list[_View]) -> bool:
    """Whether no picture of the one list resembles any of the other, by more than is usual here."""
    if _plain_difference(before[-1], after[0]) < _ALIKE or _apart(before[-1], after[0]) < _CUT:
        return False
    pairs = [(a, b) for a in reversed(before) for b in after]
    if min(_plain_difference(a, b) for a, b in pairs) < _ALIKE:
        return False
    neighbours = [*pairwise(before), *pairwise(after)]
    usual = [_difference(a.normalised, b.normalised) for a, b in neighbours]
    limit = _CUT + _CUT_ABOVE_USUAL * (float(np.median(usual)) if usual else 0.0)
    return all(_apart(a, b) >= limit for a, b in pairs)


def _apart(a: _View, b: _View) -> float:
    """Difference after motion, and of the distributions of Y' (earth mover's distance)."""
    levels = float(np.abs(np.sort(a.luma, axis=None) - np.sort(b.luma, axis=None)).mean())
    return _difference(a.normalised, b.normalised) + _LUMA_WEIGHT * levels


def _plain_difference(a: _View, b: _View) -> float:
    return float(np.square(a.normalised - b.normalised).mean())


def _difference(a: Floats, b: Floats) -> float:
    """Mean square that is left of the difference of two normalised thumbnails when blocks may move.

    The median over blocks, so that what came into the picture at one side does not count; of both directions
    the worse, since a flat block is found everywhere.
    """
    return max(float(np.median(_left(a, b))), float(np.median(_left(b, a))))


def _left(a: Floats, b: Floats) -> list[float]:
    """What is left of each block of ``b`` after the best of its places in ``a`` (full search)."""
    places = (cv2.matchTemplate(a[area], b[block], cv2.TM_SQDIFF) for block, area in _BLOCKS)
    return [float(found.min()) / (_BLOCK * _BLOCK) for found in places]


def _toned_like(a: Floats, b: Floats) -> Floats:
    """``a`` with the histogram of ``b``: what any change of exposure, clipping too, would have made of it."""
    toned = np.empty_like(a)
    toned.flat[np.argsort(a, axis=None, kind="stable")] = np.sort(b, axis=None)
    return toned


def _dissolved(shot: list[_View], at: int) -> bool:
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


def _is_new(shot: list[_View], start: int, at: int) -> bool:
    """Whether the picture ``at`` resembles neither that at ``start`` nor what was there before."""
    spreads = shot[start].spread, shot[at].spread
    if min(spreads) < _DISSOLVE_FADING * max(spreads):
        return False
    # a slow movement looks straight where details are lost
    bent = _crookedness(np.stack([view.luma.ravel() for view in shot[start : at + 1]]))
    old, new = shot[start].normalised, shot[at].normalised
    apart = _difference(old, new)
    if apart < max(_DISSOLVE_APART, bent / _DISSOLVE_BENT):
        return False
    toned = ((_toned_like(old, new), new), (old, _toned_like(new, old)))
    if any(_difference(a, b) < _DISSOLVE_APART for a, b in toned):
        return False
    earlier = [shot[i].normalised for i in range(start - 2, -1, -8)]
    return all(_difference(view, new) > _RETURNED * apart for view in earlier)
