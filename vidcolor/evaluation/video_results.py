"""The results file of films: everything needed to know what was measured, on what, with what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from vidcolor import _version
from vidcolor.evaluation.backbones import file_digest
from vidcolor.evaluation.results import installed, plain
from vidcolor.evaluation.video import ClipScores, VideoOptions
from vidcolor.evaluation.video_report import as_dict

_LIBRARIES = ("torch", "torchvision", "numpy", "opencv-python", "av")


def results(
    clips: Sequence[ClipScores],
    options: VideoOptions,
    damaged: list[str],
    judge: dict[str, str],
    generator: tuple[Path, dict[str, str]],
) -> dict[str, Any]:
    """The content of a results file.

    Args:
        clips: the scores.
        options: what was asked for.
        damaged: names of clips left out.
        judge: who judged motion.
        generator: file and metadata of the weights.
    """
    path, described = generator
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "weights": {"name": options.weights, "sha256": file_digest(path), "metadata": described},
        "data": {"clips": {clip.name: file_digest(Path(clip.name)) for clip in clips}, "damaged": damaged},
        "judge": judge,
        "versions": {"vidcolor": _version.__version__, **{name: installed(name) for name in _LIBRARIES}},
        "options": plain(options),
        "scores": as_dict(clips),
    }
