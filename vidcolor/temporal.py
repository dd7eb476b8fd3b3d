"""Composes shot detection, motion and propagation: ab goes in as predicted and comes out smoothed.

Two halves, for two threads: :class:`Linker` sees luma alone and may run ahead; the filter takes its links
together with the predicted ab.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidcolor.bars import BarFollower, BarState, area_alone
from vidcolor.frames import Floats
from vidcolor.motion import Luma, Motion, motion_between
from vidcolor.stages.propagate import PropagationState, Propagator
from vidcolor.stages.shots import ShotDetector, ShotState
from vidcolor.thumbnails import Area

Key = tuple[int, int]
"""What a picture is known by: pts of its frame, and 1 for the later of two fields, else 0."""


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """An earlier picture that a shot goes on from.

    Attributes:
        luma: to find the motion from it.
        mean: its ab on the grid ``(h/4, w/4, 2)``, in half precision: there may be many.
        weight: pictures that its colours count for.
    """

    luma: Luma
    mean: NDArray[np.float16]
    weight: float

    @property
    def state(self) -> PropagationState:
        """Its colours as the filter would have remembered them."""
        weight = np.full(self.mean.shape[:2], self.weight, np.float32)
        return PropagationState(mean=self.mean.astype(np.float32), weight=weight)


@dataclass(frozen=True, kw_only=True)
class Link:
    """How a picture follows the one before it.

    Attributes:
        begins: whether a shot begins with it by a cut or out of a fade; it owes nothing to those before.
        dissolved: whether a shot begins with it by a dissolve, which has ended.
        area: what of it lies within black bars.
        motion: from the picture before, or from the anchor's, once it is known; None where there is none.
        anchor: state to begin the shot with.
    """

    begins: bool
    area: Area
    dissolved: bool = False
    motion: Future[Motion | None] | None = None
    anchor: PropagationState | None = None

    def apply(self, propagator: Propagator, ab: Floats) -> list[Floats]:
        """Hand the picture's ab to the filter; returns what has become certain."""
        motion = None if self.motion is None else self.motion.result()
        return propagator.push(ab, motion, begins=self.begins, dissolved=self.dissolved, anchor=self.anchor)


@dataclass(frozen=True, kw_only=True)
class LinkerState:
    """What a linker needs to go on after a picture.

    Attributes:
        shots: of the detector.
        bars: of what follows them.
        previous: the picture, to find the motion from it; None where motion is not followed.
    """

    shots: ShotState
    bars: BarState
    previous: Luma | None


@dataclass(frozen=True, kw_only=True)
class TemporalState:
    """All that colours after a picture depend on beside the pictures after it."""

    linker: LinkerState
    filter: PropagationState | None


class Linker:
    """Looks at luma: where shots begin, how pictures move, and what lies within black bars.

    Args:
        mode: of the filter: ``off`` needs nothing, ``average`` shots, ``flow`` motion, too.
        executor: where motion is sought; None: at once.
        anchors: by the first picture of a shot, what it goes on from.
        state: to go on from in mid-film.
    """

    def __init__(
        self,
        mode: str,
        executor: Executor | None = None,
        anchors: Mapping[Key, Anchor] | None = None,
        state: LinkerState | None = None,
    ) -> None:
        self._mode = mode
        self._executor = executor
        self._anchors = anchors or {}
        self._detector = ShotDetector(state.shots if state else None)
        self._bars = BarFollower(state.bars if state else None)
        self._previous = state.previous if state else None
        self._begun = state is not None
        self._skip = state.shots.pending if state else 0  # pictures that were linked before
        self._waiting: deque[tuple[Key, Luma | None, Future[Motion | None] | None]] = deque()

    @property
    def state(self) -> LinkerState:
        """To go on from after the last picture pushed."""
        return LinkerState(shots=self._detector.state, bars=self._bars.state, previous=self._previous)

    def push(self, grey: Floats, key: Key = (0, 0)) -> list[Link]:
        """Take the next picture's Y' ``(h, w)``; returns the links of those now certain, in order."""
        if self._mode == "off":
            return [Link(begins=True, area=area_alone(grey))]
        self._bars.push(grey)
        if self._mode == "flow":
            luma, previous = Luma.of(grey), self._previous
            self._previous = luma
            self._waiting.append((key, luma, self._search(previous, luma)))
        else:
            self._waiting.append((key, None, None))
        return self._links(self._detector.push(grey))

    def finish(self) -> list[Link]:
        """The links that still wait, at the end of the film."""
        return self._links(self._detector.finish()) if self._waiting else []

    def _search(self, earlier: Luma | None, later: Luma) -> Future[Motion | None] | None:
        if earlier is None:
            return None
        if self._executor is not None:
            return self._executor.submit(motion_between, earlier, later)
        known: Future[Motion | None] = Future()
        known.set_result(motion_between(earlier, later))
        return known

    def _links(self, boundaries: list[str | None]) -> list[Link]:
        areas = [self._bars.decide(begins=boundary is not None) for boundary in boundaries]
        skipped = min(self._skip, len(boundaries))
        self._skip -= skipped
        return [
            self._link(boundary, area, *self._waiting.popleft())
            for boundary, area in zip(boundaries[skipped:], areas[skipped:], strict=True)
        ]

    def _link(
        self,
        boundary: str | None,
        area: Area,
        key: Key,
        luma: Luma | None,
        motion: Future[Motion | None] | None,
    ) -> Link:
        dissolved = boundary == "dissolve" and self._begun
        begins = not dissolved and (boundary is not None or not self._begun)
        self._begun = True
        if not begins:
            return Link(begins=False, area=area, dissolved=dissolved, motion=motion)
        anchor = self._anchors.get(key)
        if anchor is None or luma is None:
            return Link(begins=True, area=area)
        found = self._search(anchor.luma, luma)
        return Link(begins=True, area=area, motion=found, anchor=anchor.state)
