"""Strips: one column of pixels over time, from left to right, so that flicker and its absence can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vidcolor.captions import caption
from vidcolor.errors import OutputError
from vidcolor.evaluation.video import ClipScores
from vidcolor.frames import Rgb
from vidcolor.writing import write_whole

ROWS = ("truth", "raw", "average", "ours")
_BAR = 14
_NARROWEST = 64
"""A film of few frames still has room for its labels."""


def draw_strips(clip: ClipScores) -> Rgb:
    """A picture ``(H, W, 3)``: the middle column of pixels of each frame, a label above each row."""
    rows = [part for name in ROWS for part in (_label(name, clip.frames), _widened(clip.slices[name]))]
    return np.asarray(np.concatenate(rows), np.uint8)


def make_folder(folder: Path) -> None:
    """Make the folder for strips where it is not there, before the work and not after it.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror or error})") from error


def save_strips(folder: Path, clips: Sequence[ClipScores]) -> list[Path]:
    """Write a PNG for each clip into ``folder``, named after the clip; equal names are numbered.

    Raises:
        OutputError: the folder cannot be written to.
    """
    from PIL import Image

    written: list[Path] = []
    for clip in clips:
        name = Path(clip.name).name
        path, number = folder / f"{name}.png", 1
        while path in written:
            number += 1
            path = folder / f"{name}-{number}.png"
        drawn = Image.fromarray(draw_strips(clip))
        write_whole(path, lambda file, drawn=drawn: drawn.save(file, format="PNG"))  # type: ignore[misc]
        written.append(path)
    return written


def _widened(row: Rgb) -> Rgb:
    short = max(0, _NARROWEST - row.shape[1])
    return np.asarray(np.pad(row, ((0, 0), (0, short), (0, 0))), np.uint8)


def _label(text: str, frames: int) -> Rgb:
    return caption(text, max(frames, _NARROWEST), 220, height=_BAR, size=0.36)
