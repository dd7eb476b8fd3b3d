"""Stage 4, propagate: chroma is carried along motion from picture to picture, and never into another shot.

The filter works on the grid of :mod:`vidcolor.motion`, a quarter of the render size: flicker of
predicted chroma is soft. What it finds is a correction, added to ab at full size, so that fine
structure always comes from the picture's own prediction and nothing is blurred by being carried on.
With the chroma goes the luma that it was seen with: where that has changed, however slowly, the past counts
for less, where a picture has faded to plain black, grey or white it counts for nothing, and where a dissolve
has ended it counts for a few pictures, so that colours go over into the new shot's as luma does.

Each picture's chroma becomes a mean of what the past says (recursively, weighted by the number of pictures
that it rests on, up to the memory), its own prediction, and what the next few pictures say. Means are taken
of soft differences, weighted by trust, so that a place which motion does not explain shares the correction
of the trusted places around it; fine differences count for a third of a picture at most.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from vidcolor.frames import Floats
from vidcolor.motion import GRID, Motion, agreement, fetch_from, places, squared
from vidcolor.resizing import shrink

LOOKAHEAD = 6
"""Pictures after one that bear on its colours."""
LONGEST_MEMORY = 60.0
"""Pictures that the past can count for, with a smoothing of 1."""
_AFTER_DISSOLVE = 4.0
"""Pictures that the past counts for, at most, where a dissolve has ended."""
_FINE = 0.35
_REACH = 3
_FLOOR = 0.02
"""Trust around a place that counts as half trusted."""
_HIGHEST_GAIN = 1.05


@dataclass(frozen=True, kw_only=True)
class PropagationState:
    """All that the filter remembers of the pictures before.

    Attributes:
        mean: ab of the last picture as the past and its own prediction have it: on the grid
            ``(h/4, w/4, 2)``, or of full size where motion is not followed.
        weight: pictures that each place of it rests on, ``(h/4, w/4)``.
        chroma: mean chroma of the pictures before and after smoothing, summed over the memory.
        luma: Y' on the grid that ``mean`` was seen with, 0 to 1; None where that is the last picture's own.
    """

    mean: Floats
    weight: Floats
    chroma: tuple[float, float] = (0.0, 0.0)
    luma: Floats | None = None


class _Way:
    """How a picture sees another: where things lie there, and how far that is trusted, once for all who ask.

    Args:
        flow: ``(h, w, 2)`` on the grid.
        trust: in it, ``(h, w)``.
    """

    def __init__(self, flow: Floats, trust: Floats) -> None:
        self.trust, self.trusts = trust, _both(trust)
        self._places = places(flow)
        self.around = _soften(trust) + np.float32(_FLOOR)
        self.arounds = _both(self.around)

    def fetch(self, plane: Floats) -> Floats:
        """``plane`` ``(h, w, ...)`` of the other picture, brought to this one."""
        return fetch_from(plane, *self._places)


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    ab: Floats
    grid: Floats
    motion: Motion | None
    dissolved: bool

    @cached_property
    def seen_before(self) -> _Way | None:
        """How the picture before sees this one; None where nothing connects them."""
        return None if self.motion is None else _Way(self.motion.there, self.motion.trust_there)


@dataclass(frozen=True, kw_only=True)
class _Opinion:
    """What neighbours in time say about a picture: differences from its own ab, and their weights."""

    soft: Floats
    fine: Floats
    weight: Floats
    fine_weight: Floats


class Propagator:
    """Temporal filter over ab; pictures go in in order and come out in order, :data:`LOOKAHEAD` later.

    Args:
        mode: ``flow`` (along motion), ``average`` (exponential average in place, for comparison), ``off``.
        smoothing: 0 (none) to 1 (the longest memory).
        state: to go on from, as taken from another filter's :attr:`state`.

    Attributes:
        state: after the last picture that came out. Pictures that still wait are no part of it: who goes on
            from it pushes them again.
        mark: number of pictures out after which the state is kept in ``marked``.
    """

    def __init__(self, mode: str, smoothing: float, state: PropagationState | None = None) -> None:
        self.state = state
        self._mode = mode if smoothing > 0.0 else "off"
        self._memory = LONGEST_MEMORY * smoothing**2
        self._waiting: deque[_Waiting] = deque()
        self._count = 0
        self.mark: int | None = None
        self.marked: PropagationState | None = None

    def push(
        self,
        ab: Floats,
        motion: Motion | None,
        *,
        begins: bool,
        dissolved: bool = False,
        anchor: PropagationState | None = None,
    ) -> list[Floats]:
        """Take the next picture.

        Args:
            ab: as predicted, ``(h, w, 2)``, Lab units.
            motion: from the picture before; None where that is not to be had, and a shot begins.
            begins: whether a shot begins with it, so that nothing is carried over.
            dissolved: whether a dissolve has ended just before it, so that little is.
            anchor: colours to begin the shot with; ``motion`` is then from the anchor's picture.

        Returns:
            Smoothed ab ``(h, w, 2)`` of the pictures that are now certain, in order.
        """
        if self._mode == "off":
            return [self._out(ab)]
        if self._mode == "average":
            return [self._average(ab, begins=begins or dissolved)]
        begins = begins or motion is None
        out = self.finish() if begins else []
        if begins:
            self.state = None if motion is None else anchor
        waiting = _Waiting(ab=ab, grid=shrink(ab, GRID), motion=motion, dissolved=dissolved)
        self._waiting.append(waiting)
        if len(self._waiting) > LOOKAHEAD:
            out.append(self._settle())
        return out

    def finish(self) -> list[Floats]:
        """What still waits, at the end of a shot or film."""
        out = []
        while self._waiting:
            out.append(self._settle())
        return out

    def _out(self, ab: Floats) -> Floats:
        self._count += 1
        if self._count == self.mark:
            self.marked = self.state
        return ab

    def _average(self, ab: Floats, *, begins: bool) -> Floats:
        if not begins and self.state is not None and self.state.mean.shape == ab.shape:
            kept = np.float32(self._memory / (self._memory + 1.0))
            ab = np.asarray(ab + kept * (self.state.mean - ab), np.float32)
        self.state = PropagationState(mean=ab, weight=np.zeros((0, 0), np.float32))
        return self._out(ab)

    def _settle(self) -> Floats:
        """Decide the picture that has waited longest."""
        now = self._waiting[0]
        (past, luma), future = self._past(now), self._future()
        self._waiting.popleft()
        correction = _mean(now.grid, past, future)
        gain, chroma = self._gain(now.grid, now.grid + correction)
        self.state = PropagationState(
            mean=now.grid + _mean(now.grid, past),
            weight=np.zeros(now.grid.shape[:2], np.float32) if past is None else past.weight,
            chroma=chroma,
            luma=luma,
        )
        height, width = now.ab.shape[:2]
        fitted = cv2.resize(correction, (width, height), interpolation=cv2.INTER_LINEAR)
        return self._out(np.asarray((now.ab + fitted) * np.float32(gain), np.float32))

    def _past(self, now: _Waiting) -> tuple[_Opinion | None, Floats | None]:
        """What the pictures before say, and the luma that they and this one were seen with."""
        state, motion = self.state, now.motion
        if state is None or motion is None or state.mean.shape != now.grid.shape:
            return None, None
        way = _Way(motion.back, motion.trust_back)
        remembered = way.fetch(motion.earlier if state.luma is None else state.luma)
        most = min(self._memory, _AFTER_DISSOLVE) if now.dissolved else self._memory
        weight = np.minimum(way.fetch(state.weight) + 1.0, most) * way.trust
        weight *= agreement(motion.later, remembered, motion.flicker)
        luma = motion.later + (remembered - motion.later) * (weight / (weight + 1.0))
        opinion = _opinion(now.grid, way.fetch(state.mean), weight, way)
        return opinion, np.asarray(luma, np.float32)

    def _future(self) -> _Opinion | None:
        """The pictures that wait behind the first, gathered from the last one backwards."""
        if len(self._waiting) < 2:
            return None
        mean = self._waiting[-1].grid
        count = np.zeros(mean.shape[:2], np.float32)
        opinion: _Opinion | None = None
        for index in range(len(self._waiting) - 2, -1, -1):
            way, grid = self._waiting[index + 1].seen_before, self._waiting[index].grid
            if way is None:  # pictures of one shot are connected
                raise ValueError("a picture without motion must begin a shot")
            weight = np.minimum(way.fetch(count) + 1.0, self._memory) * way.trust
            opinion = _opinion(grid, way.fetch(mean), weight, way)
            mean, count = grid + _mean(grid, opinion), opinion.weight
        return opinion

    def _gain(self, before: Floats, after: Floats) -> tuple[float, tuple[float, float]]:
        """Factor on ab that gives back the chroma which averaging of hues takes; the sums it comes from."""
        kept = self._memory / (self._memory + 1.0)
        old = self.state.chroma if self.state is not None else (0.0, 0.0)
        lengths = (float(np.sqrt(squared(plane)).mean()) for plane in (before, after))
        sums = tuple(kept * o + new for o, new in zip(old, lengths, strict=True))
        gain = min(max(sums[0] / sums[1], 1.0), _HIGHEST_GAIN) if sums[1] > 1e-6 else 1.0
        return gain, (sums[0], sums[1])


def _opinion(own: Floats, carried: Floats, weight: Floats, way: _Way) -> _Opinion:
    """Split what is carried to a picture into soft and fine differences from its own ab ``(h, w, 2)``."""
    difference = carried - own
    soft = _soften(difference * way.trusts) / way.arounds
    return _Opinion(
        soft=soft,
        fine=difference - soft,
        weight=_soften(weight * way.trust) / way.around,
        fine_weight=np.minimum(weight, np.float32(_FINE)),
    )


def _mean(own: Floats, *opinions: _Opinion | None) -> Floats:
    """How far the mean over the opinions and ``own`` ab ``(h, w, 2)``, which counts once, lies from it."""
    given = [opinion for opinion in opinions if opinion is not None]
    correction = np.zeros_like(own)
    soft_total = 1.0 + sum(o.weight for o in given)
    fine_total = 1.0 + sum(o.fine_weight for o in given)
    for o in given:
        correction += o.soft * _both(o.weight / soft_total)
        correction += o.fine * _both(o.fine_weight / fine_total)
    return correction


def _both(plane: Floats) -> Floats:
    """``(h, w)`` for a and b alike, ``(h, w, 2)``: as a factor, a tenth of ``plane[..., None]``'s time."""
    return np.asarray(cv2.merge((plane, plane)), np.float32)


def _soften(plane: Floats) -> Floats:
    return np.asarray(cv2.blur(plane, (2 * _REACH + 1, 2 * _REACH + 1)), np.float32)
