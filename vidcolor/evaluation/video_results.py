"""The results file of films: everything needed to know what was measured, on what, with what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vidcolor.checkpoint import Generator
from vidcolor.evaluation.backbones import file_digest
from vidcolor.evaluation.options import VideoOptions
from vidcolor.evaluation.results import origin, plain
from vidcolor.evaluation.video import ClipScores
from vidcolor.evaluation.video_report import as_dict

_LIBRARIES = ("torch", "torchvision", "numpy", "opencv-python", "av")


def results(
    clips: Sequence[ClipScores],
    options: VideoOptions,
    damaged: list[str],
    judge: dict[str, str],
    generator: Generator,
) -> dict[str, Any]:
    """The content of a results file.

    Args:
        clips: the scores.
        options: what was asked for.
        damaged: names of clips left out.
        judge: who judged motion.
        generator: what was scored.
    """
    return {
        **origin(options.weights, generator, _LIBRARIES),
        "data": {"clips": {clip.name: file_digest(Path(clip.name)) for clip in clips}, "damaged": damaged},
        "judge": judge,
        "options": plain(options),
        "scores": as_dict(clips),
    }
