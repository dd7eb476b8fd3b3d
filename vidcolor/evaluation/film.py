"""A clip in memory, coloured frame by frame, with what the judge knows of its shots and motion."""

from __future__ import annotations

import bisect
import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidcolor.bars import predict_within
from vidcolor.errors import InputError
from vidcolor.evaluation.clips import read_clip
from vidcolor.evaluation.motion import FlowMethod, Mask, Motion, between
from vidcolor.evaluation.temporal import follow_corners, ghost_region, speed_regions
from vidcolor.frames import Floats, Picture
from vidcolor.result import frame_count
from vidcolor.stages.predict import Predictor
from vidcolor.temporal import Link, Linker

log = logging.getLogger(__name__)

_COLOURLESS = 0.5
"""Mean of |a| and |b|, Lab units, below which a film is in black and white."""

_BATCH = 4
_EVERY = 1.0
"""Seconds from the beginning of one span of drift to that of the next."""
_SLACK = 0.05
"""Share by which a span may be longer or shorter than asked for, as frames do not come at all times."""

Track = tuple[int, int, tuple[Floats, Floats]]


@dataclass(frozen=True, kw_only=True)
class Film:
    """Pictures of a clip in order, all of one size.

    Attributes:
        name: of the clip.
        pictures: what the generator sees.
        truth, raw: true and predicted ab ``(h, w, 2)`` of each.
        seconds: presentation times.
        shots: number of the shot of each, rising.
    """

    name: str
    pictures: list[Picture]
    truth: list[Floats]
    raw: list[Floats]
    seconds: list[float]
    shots: list[int]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the pictures."""
        return self.truth[0].shape[0], self.truth[0].shape[1]

    def age(self, index: int) -> int:
        """How many pictures of its shot come before a picture."""
        return index - self.shots.index(self.shots[index])


@dataclass(frozen=True, kw_only=True)
class Step:
    """From one picture to the next of the same shot.

    Attributes:
        ahead: motion from the first to the second.
        near: ``(h, w)``, pixels of the second close to boundaries of what the first did not show.
        still, moving: ``(h, w)``, pixels of the second that stand still or move.
    """

    ahead: Motion
    near: Mask
    still: Mask
    moving: Mask


def load_film(path: Path, predictor: Predictor, render_size: int, limit: int) -> Film:
    """Read a clip, ``limit`` frames at most, and have each of its frames coloured by itself.

    Raises:
        InputError: it cannot be read, or has fewer than two frames.
    """
    frames = list(read_clip(path, render_size, limit))
    if len(frames) < 2:
        raise InputError(
            f"{path}: has {frame_count(len(frames))} that can be decoded; at least two are needed"
        )
    if any(f.ab.shape != frames[0].ab.shape for f in frames):
        raise InputError(f"{path}: the shape of its picture changes within the first {len(frames)} frames")
    if max(float(np.abs(f.ab).mean()) for f in frames) < _COLOURLESS:
        log.warning("%s: has no colours: its true colours' scores are those of grey", path)
    pictures = [f.picture for f in frames]
    links = links_of([p.grey for p in pictures])
    return Film(
        name=str(path),
        pictures=pictures,
        truth=[f.ab for f in frames],
        raw=list(_coloured(pictures, links, predictor)),
        seconds=[f.seconds for f in frames],
        shots=shot_numbers(links),
    )


def links_of(greys: Sequence[Floats]) -> list[Link]:
    """Where shots begin, and what lies within black bars, of a film's pictures ``(h, w)``; no motion."""
    linker = Linker("average")
    return [link for grey in greys for link in linker.push(grey)] + linker.finish()


def shot_numbers(links: Sequence[Link]) -> list[int]:
    """Number of the shot of each of a film's pictures, from 0."""
    begins = [link.begins or link.dissolved for link in links]
    return list(itertools.accumulate(map(int, begins[1:]), initial=0))


def steps_of(film: Film, method: FlowMethod) -> list[Step | None]:
    """Motion from each picture to the next, None over the beginning of a shot; one less than pictures."""
    found: list[Step | None] = []
    greys = [p.grey for p in film.pictures]
    for index, (one, other) in enumerate(itertools.pairwise(greys)):
        same = film.shots[index] == film.shots[index + 1]
        found.append(_step(one, other, method) if same else None)
    return found


def spans_of(film: Film, length: float) -> list[tuple[int, int]]:
    """First and last index of spans of about ``length`` seconds within a shot, beginning a second apart."""
    found: list[tuple[int, int]] = []
    due = film.seconds[0]
    for first, begin in enumerate(film.seconds):
        if begin < due - 1e-6:
            continue
        last = _nearest(film.seconds, begin + length)
        fits = abs(film.seconds[last] - begin - length) <= _SLACK * length
        if fits and film.shots[first] == film.shots[last]:
            found.append((first, last))
            due = begin + _EVERY
    return found


def tracks_of(film: Film, spans: Sequence[tuple[int, int]]) -> list[Track]:
    """Corners followed through each span: its first and last index, and the places there."""
    greys = [p.grey for p in film.pictures]
    return [(first, last, follow_corners(greys[first : last + 1])) for first, last in spans]


def _coloured(pictures: Sequence[Picture], links: Sequence[Link], predictor: Predictor) -> Iterator[Floats]:
    areas = [link.area for link in links]
    for start in range(0, len(pictures), _BATCH):
        batch = slice(start, start + _BATCH)
        yield from predict_within(predictor, [p.luminance for p in pictures[batch]], areas[batch])


def _nearest(times: Sequence[float], wanted: float) -> int:
    """Index of that of rising ``times`` which is closest."""
    after = bisect.bisect_left(times, wanted)
    return min(range(max(0, after - 1), min(len(times), after + 1)), key=lambda i: abs(times[i] - wanted))


def _step(one: Floats, other: Floats, method: FlowMethod) -> Step:
    there, back = method(one, other), method(other, one)
    ahead, behind = between(there, back), between(back, there)
    still, moving = speed_regions(behind.flow)
    return Step(ahead=ahead, near=ghost_region(behind.hidden), still=still, moving=moving)
