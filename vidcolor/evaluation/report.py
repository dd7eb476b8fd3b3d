"""From measures of single pictures to the scores of a generator, with their uncertainty."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidcolor.evaluation.collect import Measures
from vidcolor.evaluation.distances import frechet, kernel_distance

HALVES = 10
_NOTHING = 1e-6
MEANS = ("psnr", "ssim", "ab_error", "lpips", "colourfulness", "colourfulness_magnitudes")
_OF_TRUTH = {"psnr": 100.0, "ssim": 1.0, "ab_error": 0.0, "lpips": 0.0, "fid": 0.0, "kid": 0.0}

Scores = dict[str, dict[str, float | None]]
Index = NDArray[np.integer]


@dataclass(frozen=True, kw_only=True)
class Report:
    """Scores of one generator on one set of pictures.

    ``spread`` is an uncertainty: the standard deviation of a score over 10 random halves of the pictures
    (drawn without replacement, the same for all columns, by the seed). For means this is the standard
    error of the mean over all pictures. FID is higher on half the pictures, so its spread tells how much
    the choice of pictures matters, not where the FID of more pictures would lie. KID's spread is the
    standard deviation over its own subsets, as is usual.

    Attributes:
        pictures: how many were scored.
        scores: by column (``grey``, ``ours``, ``truth``, ``targets``) and measure; None: not measured.
        spread: the same keys.
        notes: why a measure is missing.
    """

    pictures: int
    scores: Scores
    spread: Scores
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The scores as JSON holds them."""
        return {"pictures": self.pictures, **self.scores, "spread": self.spread}


def build_report(ours: Measures, reference: Measures, *, kid_subset: int, seed: int = 0) -> Report:
    """Put the scores together from what a :class:`~vidcolor.evaluation.collect.Collector` measured."""
    measures = {**reference, **ours}
    count = len(ours["ours.psnr"])
    notes = []
    scores = _scores(measures, np.arange(count))
    rng = np.random.default_rng(seed)
    parts = [_scores(measures, rng.permutation(count)[: count // 2]) for _ in range(HALVES)]
    spread = {
        column: {name: _deviation([part[column][name] for part in parts]) for name in row}
        for column, row in scores.items()
    }
    if "ours.features" in measures and count < 2:
        notes.append("FID needs two pictures at least")
    if "ours.features" in measures and count < kid_subset:
        notes.append(f"KID with subsets of {kid_subset} pictures needs that many")
    for column in ("grey", "ours"):
        mean, deviation = _kid(measures, column, kid_subset, seed)
        scores[column]["kid"], spread[column]["kid"] = mean, deviation
    scores["truth"]["kid"] = None if scores["ours"]["kid"] is None else 0.0
    spread["truth"]["kid"] = None
    return Report(pictures=count, scores=scores, spread=spread, notes=notes)


def _scores(measures: Measures, index: Index) -> Scores:
    columns: Scores = {}
    for column in ("grey", "ours"):
        row: dict[str, float | None] = {
            name: _mean(measures.get(f"{column}.{name}"), index) for name in MEANS
        }
        row["fid"] = _fid(measures, column, index)
        columns[column] = row
    truth = {name: None if columns["ours"].get(name) is None else best for name, best in _OF_TRUTH.items()}
    for name in ("colourfulness", "colourfulness_magnitudes"):
        truth[name] = _mean(measures[f"truth.{name}"], index)
    columns["truth"] = truth
    columns["targets"] = _targets(columns)
    return columns


def _targets(columns: Scores) -> dict[str, float | None]:
    grey, ours, truth = columns["grey"], columns["ours"], columns["truth"]
    gain = None if ours["psnr"] is None or grey["psnr"] is None else ours["psnr"] - grey["psnr"]
    return {
        "fid_of_grey": _ratio(ours["fid"], grey["fid"]),
        "colourfulness_of_truth": _ratio(ours["colourfulness"], truth["colourfulness"]),
        "colourfulness_magnitudes_of_truth": _ratio(
            ours["colourfulness_magnitudes"], truth["colourfulness_magnitudes"]
        ),
        "psnr_gain": gain,
    }


def _mean(values: NDArray[np.floating] | None, index: Index) -> float | None:
    chosen = np.array([]) if values is None else values[index]
    chosen = chosen[np.isfinite(chosen)]  # a picture may be too small for a measure
    return float(chosen.mean(dtype=np.float64)) if len(chosen) else None


def _fid(measures: Measures, column: str, index: Index) -> float | None:
    if f"{column}.features" not in measures or len(index) < 2:
        return None
    return frechet(measures[f"{column}.features"][index], measures["truth.features"][index])


def _kid(measures: Measures, column: str, subset: int, seed: int) -> tuple[float | None, float | None]:
    features = measures.get(f"{column}.features")
    if features is None or len(features) < subset:
        return None, None
    return kernel_distance(features, measures["truth.features"], subset, seed, paired=True)


def _ratio(above: float | None, below: float | None) -> float | None:
    # a FID of pictures with themselves is not always quite 0
    return None if above is None or below is None or below < _NOTHING else above / below


def _deviation(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.std(known, ddof=1)) if len(known) == len(values) else None
