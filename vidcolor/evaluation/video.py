"""How still the colours of one film hold: the film coloured in several ways and measured in each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from vidcolor.chromatable import ChromaTable
from vidcolor.colorspace import rgb_from_ycbcr
from vidcolor.evaluation.film import Film, Step, spans_of, tracks_of
from vidcolor.evaluation.options import VideoOptions
from vidcolor.evaluation.pixels import colourfulness
from vidcolor.evaluation.temporal import RegionVariance, cdc, drift, synthetic_flicker, warp_error
from vidcolor.frames import Floats, Rgb
from vidcolor.matrices import BT709
from vidcolor.sparse import smooth

COLUMNS = ("truth", "raw", "average", "ours", "grey")
"""The true colours, those of the generator frame by frame, these as a plain average over time at the same
smoothing, these smoothed as asked, and none."""
DRIFT_SPANS = (1.0, 5.0)
FLICKER_SIGMA = 8.0
SETTLING = 12
"""Pictures at the beginning of a shot in which flicker is not yet expected to be gone."""
_HALVINGS = 8

Scores = dict[str, float]
Way = tuple[str, float, bool]
"""Mode and smoothing of a filter, and whether it gets what the generator says of every picture."""


@dataclass(frozen=True, kw_only=True)
class ClipScores:
    """What was measured on one clip. A measure that the clip leaves undefined is NaN.

    Attributes:
        name: of the clip.
        frames, shots: how many.
        scores: by column, then by measure: ``chroma_warp`` (squared Lab units), ``rgb_warp`` (squared,
            R'G'B' 0 to 1), ``cdc``, ``colourfulness`` (M3), ``drift_1s`` and ``drift_5s`` (Lab units); for
            ``average`` and ``ours`` also ``ghost_near`` and ``ghost_elsewhere`` (Lab units) and
            ``flicker_still_db`` and ``flicker_moving_db``. The column ``matched`` is a plain average whose
            smoothing is such that it ghosts like ours: ``smoothing``, ``ghost_near`` and ``chroma_warp``.
        slices: by column, the middle column of pixels over time ``(h, frames, 3)``.
    """

    name: str
    frames: int
    shots: int
    scores: dict[str, Scores]
    slices: dict[str, Rgb] = field(repr=False)

    @property
    def excess(self) -> float:
        """Of the chroma warp error over the truth's own, ours of raw's; NaN where raw's has none."""
        truth, raw, ours = (self.scores[c]["chroma_warp"] for c in ("truth", "raw", "ours"))
        return (ours - truth) / (raw - truth) if raw > truth else math.nan

    @property
    def plain_ratio(self) -> float:
        """Chroma warp error, ours of raw's; NaN where raw's is zero."""
        raw, ours = (self.scores[c]["chroma_warp"] for c in ("raw", "ours"))
        return ours / raw if raw > 0.0 else math.nan


def measure_clip(film: Film, steps: Sequence[Step | None], options: VideoOptions) -> ClipScores:
    """Measure a film.

    Args:
        film: its pictures, true and predicted ab.
        steps: of its pictures to the next, see :func:`vidcolor.evaluation.film.steps_of`.
        options: the filter and the seed of the flicker.
    """
    ways: dict[str, Way] = {
        "average": ("average", options.smoothing, True),
        "ours": (options.temporal, options.smoothing, options.every_frame),
    }
    coloured: dict[str, Iterable[Floats]] = {
        "truth": film.truth,
        "raw": film.raw,
        **{name: _smoothed(film, film.raw, way) for name, way in ways.items()},
        "grey": (np.zeros_like(ab) for ab in film.truth),
    }
    meter = _ColourMeter(film, steps)
    scores, slices = {}, {}
    for column in COLUMNS:
        scores[column], slices[column] = meter.measure(coloured[column])
    flicker = synthetic_flicker(len(film.truth), film.shape, FLICKER_SIGMA, options.seed)
    for column, way in ways.items():
        near, elsewhere = ghosting(film, steps, way)
        still, moving = flicker_removal(film, steps, flicker, way)
        scores[column] |= {"ghost_near": near, "ghost_elsewhere": elsewhere}
        scores[column] |= {"flicker_still_db": still, "flicker_moving_db": moving}
    scores["matched"] = _matched_average(film, steps, scores["ours"]["ghost_near"])
    count = len(set(film.shots))
    return ClipScores(name=film.name, frames=len(film.truth), shots=count, scores=scores, slices=slices)


def ghosting(film: Film, steps: Sequence[Step | None], way: Way) -> tuple[float, float]:
    """Chroma error that a filter adds to clean true ab, near boundaries of occlusions and elsewhere.

    Args:
        way: the filter.

    Returns:
        Mean distance from the true ab, Lab units, over all pixels within, and without,
        :func:`vidcolor.evaluation.temporal.ghost_region`; pictures that begin a shot are left out.
    """
    sums, counts = [0.0, 0.0], [0, 0]
    filtered = _smoothed(film, film.truth, way)
    for step, ab, truth in zip((None, *steps), filtered, film.truth, strict=True):
        if step is None:
            continue
        error = np.linalg.norm(ab - truth, axis=-1)
        for index, region in enumerate((step.near, ~step.near)):
            sums[index] += float(error[region].sum(dtype=np.float64))
            counts[index] += int(region.sum())
    near, elsewhere = (s / c if c else math.nan for s, c in zip(sums, counts, strict=True))
    return near, elsewhere


def flicker_removal(
    film: Film, steps: Sequence[Step | None], flicker: Sequence[Floats], way: Way
) -> tuple[float, float]:
    """By how many dB a filter lowers flicker added to true ab, where pixels stand still and where they move.

    Args:
        flicker: what is added, ``(h, w, 2)`` for each picture.
        way: the filter.

    Returns:
        Of the variance over time of the error against the true ab, before over after, pixel by pixel; the
        first 12 pictures of each shot are left out.
    """
    before, after = [RegionVariance(), RegionVariance()], [RegionVariance(), RegionVariance()]
    shaken = (truth + noise for truth, noise in zip(film.truth, flicker, strict=True))
    filtered = _smoothed(film, shaken, way)
    for index, (ab, step) in enumerate(zip(filtered, (None, *steps), strict=True)):
        if step is None or film.age(index) < SETTLING:
            continue
        for place, region in enumerate((step.still, step.moving)):
            before[place].add(flicker[index], region)
            after[place].add(ab - film.truth[index], region)
    still, moving = (_decibel(b.value(), a.value()) for b, a in zip(before, after, strict=True))
    return still, moving


class _ColourMeter:
    """Measures a film in one way of colouring after the other."""

    def __init__(self, film: Film, steps: Sequence[Step | None]) -> None:
        self._film, self._steps = film, steps
        self._table = ChromaTable(BT709)
        self._tracks = {length: tracks_of(film, spans_of(film, length)) for length in DRIFT_SPANS}

    def measure(self, abs_: Iterable[Floats]) -> tuple[Scores, Rgb]:
        """Scores of a colouring, and the middle column of pixels over time ``(h, n, 3)``."""
        kept: list[Floats] = []
        frames: list[Rgb] = []
        warps: list[tuple[float, float]] = []
        previous: Floats | None = None
        for step, picture, ab in zip((None, *self._steps), self._film.pictures, abs_, strict=True):
            rgb = self._rgb(picture.grey, ab)
            if step is not None and previous is not None:
                chroma = warp_error(kept[-1], ab, step.ahead)
                warps.append((chroma, warp_error(previous, rgb, step.ahead)))
            previous = rgb
            frames.append(np.asarray(np.rint(rgb * 255.0), np.uint8))
            kept.append(ab)
        columns = list(zip(*warps, strict=True)) or [(), ()]
        scores = {
            "chroma_warp": mean_of(columns[0]),
            "rgb_warp": mean_of(columns[1]),
            "cdc": cdc(frames),
            "colourfulness": mean_of([colourfulness(f) for f in frames]),
            **{f"drift_{length:.0f}s": self._drift(kept, length) for length in DRIFT_SPANS},
        }
        middle = self._film.shape[1] // 2
        return scores, np.stack([frame[:, middle] for frame in frames], 1)

    def _drift(self, abs_: list[Floats], length: float) -> float:
        moved = [drift(abs_[first], abs_[last], ends) for first, last, ends in self._tracks[length]]
        return mean_of(np.concatenate(moved)) if moved else math.nan

    def _rgb(self, grey: Floats, ab: Floats) -> Floats:
        """R'G'B' ``(h, w, 3)``, 0 to 1, whose BT.709 luma is ``grey``, whatever the matrix of the film."""
        y = torch.from_numpy(grey)[None, None]
        chroma = torch.from_numpy(self._table(grey, ab)).permute(2, 0, 1)[None]  # (h, w, 2) to (1, 2, h, w)
        rgb = rgb_from_ycbcr(y, chroma, BT709)[0].permute(1, 2, 0)
        return np.ascontiguousarray(rgb.clamp(0.0, 1.0).numpy())


def _smoothed(film: Film, abs_: Iterable[Floats], way: Way) -> Iterator[Floats]:
    mode, smoothing, every = way
    return smooth(zip(film.pictures, abs_, strict=True), mode, smoothing, every=every)


def _matched_average(film: Film, steps: Sequence[Step | None], ghost_near: float) -> Scores:
    """The plain average that smooths most among those that ghost no more than ``ghost_near``."""
    if math.isnan(ghost_near):
        return {"smoothing": math.nan, "ghost_near": math.nan, "chroma_warp": math.nan}
    low, reached, high = 0.0, 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        near, _ = ghosting(film, steps, ("average", middle, True))
        if near <= ghost_near:
            low, reached = middle, near
        else:
            high = middle
    filtered = list(_smoothed(film, film.raw, ("average", low, True)))
    pairs = zip(steps, filtered, filtered[1:], strict=False)
    errors = [warp_error(one, other, step.ahead) for step, one, other in pairs if step is not None]
    return {"smoothing": low, "ghost_near": reached, "chroma_warp": mean_of(errors)}


def mean_of(values: Iterable[float]) -> float:
    """Mean of those that are numbers; NaN where none is."""
    known = [float(v) for v in values if not math.isnan(v)]
    return sum(known) / len(known) if known else math.nan


def _decibel(before: float, after: float) -> float:
    if math.isnan(before) or math.isnan(after) or before <= 0.0:
        return math.nan
    return 10.0 * math.log10(before / after) if after > 0.0 else math.inf
