"""What the clips have in common: means, and what the project aims at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vidcolor.evaluation.video import ClipScores, Scores, mean_of

_NOTHING = 1e-3
"""A chroma warp error below this, in squared Lab units, is none: films that stand still have it."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A number that the project aims at.

    Attributes:
        value: what was measured; NaN where no clip tells.
        least, most: what it should be.
        strict: whether ``most`` itself is too much.
        note: what else there is to know.
    """

    name: str
    title: str
    value: float
    least: float = -math.inf
    most: float = math.inf
    strict: bool = False
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether it is reached; None where no clip tells."""
        if math.isnan(self.value):
            return None
        return self.least <= self.value <= self.most and not (self.strict and self.value == self.most)

    @property
    def aim(self) -> str:
        """The aim in words."""
        if math.isinf(self.least):
            return f"{'below' if self.strict else 'at most'} {self.most:g}"
        return f"at least {self.least:g}" if math.isinf(self.most) else f"{self.least:g} to {self.most:g}"


def means(clips: Sequence[ClipScores]) -> dict[str, Scores]:
    """Mean over the clips of each score by column, over those clips where it is defined."""
    return {
        column: {
            measure: mean_of(clip.scores[column][measure] for clip in clips)
            for measure in clips[0].scores[column]
        }
        for column in clips[0].scores
    }


def targets(clips: Sequence[ClipScores]) -> list[Target]:
    """The project's aims with what was measured.

    The excess is the ratio of the mean excesses, of those clips whose frame-by-frame colours have more error
    than the true ones. Of films that stand still, where there is no error to compare, both ratios are NaN.
    """
    telling = [c for c in clips if not math.isnan(c.excess) and c.scores["raw"]["chroma_warp"] >= _NOTHING]
    mean = means(clips)
    ours = mean["ours"]
    matched = [c for c in clips if not math.isnan(c.scores["matched"]["chroma_warp"])]
    return [
        Target(
            name="chroma_warp_excess",
            title="chroma warp error over the truth's own, ours of raw's",
            value=_excess(telling),
            most=0.35,
            note=f"{len(telling)} of {len(clips)} clips" if len(telling) < len(clips) else "",
        ),
        Target(
            name="chroma_warp_of_equal_average",
            title="chroma warp error, ours of an average's that ghosts as much",
            value=_of_equal(matched),
            most=1.0,
            strict=True,
            note=f"its smoothing: {mean['matched']['smoothing']:.2f}" if matched else "",
        ),
        Target(
            name="flicker_still_db",
            title="flicker removed, still, dB",
            value=ours["flicker_still_db"],
            least=12.0,
        ),
        Target(
            name="flicker_moving_db",
            title="flicker removed, moving, dB",
            value=ours["flicker_moving_db"],
            least=6.0,
        ),
        Target(name="ghost_near", title="ghosting near occlusions, ab", value=ours["ghost_near"], most=1.5),
        Target(
            name="ghost_elsewhere", title="ghosting elsewhere, ab", value=ours["ghost_elsewhere"], most=0.7
        ),
        _of_each(
            clips, "cdc", "truth", name="cdc_of_truth", title="CDC, ours of the truth's", bounds=(0.67, 1.5)
        ),
        _of_each(
            clips,
            "colourfulness",
            "raw",
            name="colourfulness_kept",
            title="colourfulness (M3), after smoothing of before",
            bounds=(0.97, 1.03),
        ),
    ]


def as_dict(clips: Sequence[ClipScores]) -> dict[str, Any]:
    """All that was measured as values that JSON can hold; what is undefined is None."""
    found = {
        "clips": [
            {
                "name": clip.name,
                "frames": clip.frames,
                "shots": clip.shots,
                "scores": clip.scores,
                "chroma_warp_excess": clip.excess,
                "chroma_warp_of_raw": clip.plain_ratio,
            }
            for clip in clips
        ],
        "means": means(clips),
        "chroma_warp_of_raw": ratio_of_raw(clips),
        "targets": {t.name: {"value": t.value, "aim": t.aim, "met": t.met} for t in targets(clips)},
    }
    plain: dict[str, Any] = _plain(found)
    return plain


def ratio_of_raw(clips: Sequence[ClipScores]) -> float:
    """Mean chroma warp error over the clips, ours of raw's; NaN where raw's is zero."""
    return _ratio(_mean(clips, "ours", "chroma_warp"), _mean(clips, "raw", "chroma_warp"))


def _of_each(
    clips: Sequence[ClipScores],
    measure: str,
    column: str,
    *,
    name: str,
    title: str,
    bounds: tuple[float, float],
) -> Target:
    """Mean over the clips of the ratio of ours to a column, in which no clip outweighs the rest."""
    found = [_ratio(clip.scores["ours"][measure], clip.scores[column][measure]) for clip in clips]
    known = [ratio for ratio in found if not math.isnan(ratio)]
    note = f"clips: {min(known):.2f} to {max(known):.2f}" if len(known) > 1 else ""
    return Target(name=name, title=title, value=mean_of(found), least=bounds[0], most=bounds[1], note=note)


def _excess(clips: Sequence[ClipScores]) -> float:
    truth, raw, ours = (_mean(clips, column, "chroma_warp") for column in ("truth", "raw", "ours"))
    return (ours - truth) / (raw - truth)


def _of_equal(clips: Sequence[ClipScores]) -> float:
    ours, equal = (_mean(clips, column, "chroma_warp") for column in ("ours", "matched"))
    return math.nan if max(ours, equal) < _NOTHING else _ratio(ours, equal)


def _mean(clips: Sequence[ClipScores], column: str, measure: str) -> float:
    return mean_of(clip.scores[column][measure] for clip in clips)


def _ratio(one: float, other: float) -> float:
    return one / other if other > 0.0 else math.nan


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
