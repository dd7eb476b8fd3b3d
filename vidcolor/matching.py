"""Shots that come back: a table, made by a scan before colouring, of the colours to begin them with.

When a shot begins where an earlier one ended (the other side of an interview, a view returned to), it
begins with the colours in which the earlier one ended: some of that one's last pictures are predicted and
smoothed, and the temporal filter starts from there instead of from nothing. Dissolves are left alone: the
last picture before the end of one is half the next shot's, and colours go over in them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcolor.bars import area_of, lit_of, predict_within
from vidcolor.frames import Floats
from vidcolor.motion import Luma, motion_between
from vidcolor.stages.luminance import lightness
from vidcolor.stages.predict import Predictor
from vidcolor.stages.propagate import Propagator
from vidcolor.temporal import Anchor, Key, Link, Linker
from vidcolor.thumbnails import active_area, cropped

_KEPT_SHOTS = 32
"""Earlier shots that a new one is compared with: memory must not grow with the film."""
_MOST_ANCHORS = 1000
"""Shots that may come back in a film: some 90 kB each at the default render size, kept to the end."""
_LIKE = 0.6
"""Correlation of thumbnails from which on motion is sought."""
_THUMB = (32, 24)
_SURE = 0.7
"""Share of both pictures that motion has to explain."""
_STEP, _STEPS = 5, 8
"""Pictures between those that an ending is coloured by, and how many of them there are before the last."""
_WEIGHT = 48.0
"""Pictures that the earlier colours count for at the beginning."""


@dataclass(frozen=True, kw_only=True)
class ShotTable:
    """What a scan found; never changed afterwards.

    Attributes:
        shots: how many there are.
        anchors: by the first picture of a shot that comes back, the colours to begin it with.
    """

    shots: int
    anchors: MappingProxyType[Key, Anchor]


@dataclass(frozen=True, kw_only=True)
class _End:
    """How a shot ended: pictures ``(h, w)``, 8 bits of Y', the last of which is compared."""

    luma: Luma
    thumb: Floats
    greys: tuple[NDArray[np.uint8], ...]


def scan_shots(greys: Iterable[tuple[Key, Floats]], predictor: Predictor) -> ShotTable:
    """Look through a whole film for shots that come back.

    Args:
        greys: Y' ``(h, w)`` of all pictures in order, by the key that the colouring will know them by.
        predictor: for the colours of the few pictures that are needed.
    """
    linker, undecided = Linker("average"), deque[tuple[Key, Floats]]()
    found = _Scan(predictor)
    for key, grey in greys:
        undecided.append((key, grey))
        for link in linker.push(grey):
            found.add(*undecided.popleft(), link)
    for link in linker.finish():
        found.add(*undecided.popleft(), link)
    return ShotTable(shots=found.shots, anchors=MappingProxyType(found.anchors))


class _Scan:
    def __init__(self, predictor: Predictor) -> None:
        self.shots = 0
        self.anchors: dict[Key, Anchor] = {}
        self._predictor = predictor
        self._ends: deque[_End] = deque(maxlen=_KEPT_SHOTS)
        self._greys: deque[NDArray[np.uint8]] = deque(maxlen=_STEPS)
        self._last: NDArray[np.uint8] | None = None
        self._length = 0

    def add(self, key: Key, grey: Floats, link: Link) -> None:
        if link.begins:
            self._begin(key, grey)
        elif link.dissolved:
            self._forget()
        if self._last is not None and self._length % _STEP == 0:
            self._greys.append(self._last)
        self._last = np.asarray(np.rint(grey * 255.0), np.uint8)
        self._length += 1

    def _begin(self, key: Key, grey: Floats) -> None:
        if self._last is not None:
            self._ends.append(_end_of((*self._greys, self._last)))
        self._forget()
        end = _match(self._ends, Luma.of(grey)) if len(self.anchors) < _MOST_ANCHORS else None
        if end is not None:
            self.anchors[key] = _anchor(end, self._predictor)

    def _forget(self) -> None:
        """Go on with the next shot."""
        self._greys.clear()
        self._last, self._length = None, 0
        self.shots += 1


def _end_of(greys: tuple[NDArray[np.uint8], ...]) -> _End:
    luma = Luma.of(_expanded(greys[-1]))
    return _End(luma=luma, thumb=_thumb(luma), greys=greys)


def _match(ends: Iterable[_End], luma: Luma) -> _End | None:
    """The end that the picture surely goes on from, the surest of several; None where there is none."""
    thumb = _thumb(luma)
    best, found = _SURE, None
    for end in ends:
        if float((end.thumb * thumb).mean()) < _LIKE:
            continue
        motion = motion_between(end.luma, luma)
        if motion is None:
            continue
        top, bottom, left, right = active_area(luma.grid)
        inside = np.s_[top:bottom, left:right]
        sure = min(float(motion.trust_back[inside].mean()), float(motion.trust_there[inside].mean()))
        if sure > best:
            best, found = sure, end
    return found


def _anchor(end: _End, predictor: Predictor) -> Anchor:
    """The colours of a shot's last picture, steadied by the few before it."""
    greys = [_expanded(codes) for codes in end.greys]
    area = area_of(np.logical_or.reduce([lit_of(grey) for grey in greys]), greys[0].shape[0])
    propagator, before = Propagator("flow", 1.0), None
    for grey in greys:
        # one at a time: a batch of them could be more than memory holds
        (ab,) = predict_within(predictor, [lightness(grey)], [area])
        luma = Luma.of(grey)
        motion = None if before is None else motion_between(before, luma)
        propagator.push(ab, motion, begins=motion is None)
        before = luma
    propagator.finish()
    state = propagator.state
    if state is None:
        raise ValueError("a shot has one picture at least")
    return Anchor(luma=end.luma, mean=state.mean.astype(np.float16), weight=_WEIGHT)


def _expanded(codes: NDArray[np.uint8]) -> Floats:
    return np.asarray(codes / 255.0, np.float32)


def _thumb(luma: Luma) -> Floats:
    """A small picture, without bars, of mean 0 and variance 1; plain ones are like nothing."""
    inside = cropped(luma.grid, active_area(luma.grid))
    small = np.asarray(cv2.resize(inside, _THUMB, interpolation=cv2.INTER_AREA), np.float32)
    spread = float(small.std())
    return np.asarray((small - small.mean()) / spread if spread > 0.02 else np.zeros_like(small), np.float32)
