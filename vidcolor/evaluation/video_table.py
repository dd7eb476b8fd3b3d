"""The scores of films as people read them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from vidcolor.evaluation.options import VideoOptions
from vidcolor.evaluation.video import COLUMNS, ClipScores
from vidcolor.evaluation.video_report import means, ratio_of_raw, targets

_ROWS = (
    ("chroma_warp", "chroma warp error, ab²", 3, 1.0),
    ("rgb_warp", "R'G'B' warp error × 1000", 3, 1000.0),
    ("cdc", "CDC × 1000", 3, 1000.0),
    ("colourfulness", "colourfulness (M3)", 2, 1.0),
    ("drift_1s", "drift over 1 s, ab", 2, 1.0),
    ("drift_5s", "drift over 5 s, ab", 2, 1.0),
    ("ghost_near", "ghosting near occlusions, ab", 2, 1.0),
    ("ghost_elsewhere", "ghosting elsewhere, ab", 2, 1.0),
    ("flicker_still_db", "flicker removed, still, dB", 1, 1.0),
    ("flicker_moving_db", "flicker removed, moving, dB", 1, 1.0),
)
_PALE = "below truth"
_NAME_WIDTH = 28


def table(clips: Sequence[ClipScores], options: VideoOptions, judge: str) -> str:
    """One line a clip, then the means, then the aims."""
    return "\n".join(
        [*_head(options, judge), "", *_clip_lines(clips), "", *_mean_lines(clips), "", *_aims(clips)]
    )


def _head(options: VideoOptions, judge: str) -> list[str]:
    return [
        f"{options.weights}: {options.temporal}, smoothing {options.smoothing:g}, "
        f"{'every frame, ' if options.every_frame else ''}"
        f"render size {options.render_size}, at most {options.limit} frames a clip, motion by {judge}",
        "truth: true colours; raw: frame by frame; average: plain average at that smoothing; ours: as asked",
    ]


def _clip_lines(clips: Sequence[ClipScores]) -> list[str]:
    titles = ("truth", "raw", "average", "ours", "excess", "ours/raw")
    lines = [
        f"{'':{_NAME_WIDTH + 14}}{'chroma warp error':^60}{'ghosting':^14}{'flicker, dB':^14}",
        f"{'clip':{_NAME_WIDTH}}{'frames':>7}{'shots':>7}"
        + "".join(f"{t:>12}" if t == "excess" else f"{t:>9}" for t in titles)
        + f"{'near':>8}{'else':>6}{'still':>8}{'moving':>8}",
    ]
    return [*lines, *(_clip_line(clip) for clip in clips)]


def _clip_line(clip: ClipScores) -> str:
    ours = clip.scores["ours"]
    warps = [clip.scores[c]["chroma_warp"] for c in ("truth", "raw", "average", "ours")]
    excess = _PALE if _is_pale(clip) else _cell(clip.excess, 3)
    ghosts = f"{_cell(ours['ghost_near'], 2):>8}{_cell(ours['ghost_elsewhere'], 2):>6}"
    removed = f"{_cell(ours['flicker_still_db'], 1):>8}{_cell(ours['flicker_moving_db'], 1):>8}"
    return (
        f"{Path(clip.name).name[: _NAME_WIDTH - 1]:{_NAME_WIDTH}}{clip.frames:7}{clip.shots:7}"
        + "".join(f"{_cell(warp, 3):>9}" for warp in warps)
        + f"{excess:>12}{_cell(clip.plain_ratio, 3):>9}{ghosts}{removed}"
    )


def _mean_lines(clips: Sequence[ClipScores]) -> list[str]:
    mean = means(clips)
    lines = [f"{'mean over clips':32}" + "".join(f"{c:>11}" for c in COLUMNS)]
    for measure, title, digits, scale in _ROWS:
        cells = (_cell(mean[c].get(measure, math.nan) * scale, digits) for c in COLUMNS)
        lines.append(f"{title:32}" + "".join(f"{cell:>11}" for cell in cells))
    lines.append(f"chroma warp error, ours of raw's: {_cell(ratio_of_raw(clips), 3)}")
    pale = sum(map(_is_pale, clips))
    if pale:
        lines.append(
            f"{_PALE}: on {pale} of {len(clips)} clips colours frame by frame have no more error than "
            "the true ones (the paler, the less), and the excess says nothing"
        )
    return lines


def _aims(clips: Sequence[ClipScores]) -> list[str]:
    words = {True: "met", False: "not met", None: "not known"}
    lines = []
    for target in targets(clips):
        note = f" ({target.note})" if target.note else ""
        lines.append(
            f"{target.title:62}{_cell(target.value, 3):>9}  {target.aim:16}{words[target.met]}{note}"
        )
    return lines


def _is_pale(clip: ClipScores) -> bool:
    """Whether there is no excess to speak of: raw colours have no more error than the true ones."""
    return clip.scores["raw"]["chroma_warp"] <= clip.scores["truth"]["chroma_warp"]


def _cell(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"
