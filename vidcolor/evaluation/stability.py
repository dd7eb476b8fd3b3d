"""How far colours move when the grey picture changes a little, as it does from frame to frame."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcolor.errors import InputError
from vidcolor.evaluation.images import luma_of, still_frame
from vidcolor.frames import Floats, Rgb
from vidcolor.resizing import resized
from vidcolor.stages.luminance import luminance, padded, render_shape
from vidcolor.stages.predict import Predictor

TARGET = 0.15
_BORDER = 16
"""Pixels at render size that are left out along every edge, of the picture and of what is in sight."""

Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Change:
    """A small change of the grey picture.

    Attributes:
        shift: (right, down) in pixels at render size.
        scale: zoom about the middle; the size of the picture stays.
        gamma: exponent on Y'.
        grain: standard deviation of added noise, in codes of 8 bits.
    """

    name: str
    shift: tuple[int, int] = (0, 0)
    scale: float = 1.0
    gamma: float = 1.0
    grain: float = 0.0

    def matrix(self, shape: tuple[int, int]) -> Matrix:
        """Where the points of a picture ``(h, w)`` go: ``(2, 3)``, as OpenCV has it."""
        middle = ((shape[1] - 1) / 2.0, (shape[0] - 1) / 2.0)
        moves = [m - self.scale * m + s for m, s in zip(middle, self.shift, strict=True)]
        return np.array([[self.scale, 0.0, moves[0]], [0.0, self.scale, moves[1]]])

    def apply(self, luma: Rgb, rng: np.random.Generator) -> Rgb:
        """The changed luma ``(h, w)``; what comes into sight at the edges mirrors the picture."""
        size = (luma.shape[1], luma.shape[0])
        moved = np.asarray(luma, np.float32)
        if self.shift != (0, 0) or self.scale != 1.0:
            matrix = self.matrix((size[1], size[0]))
            moved = np.asarray(
                cv2.warpAffine(moved, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
            )
        toned = 255.0 * (moved / 255.0) ** self.gamma
        noise = self.grain * rng.standard_normal(toned.shape) if self.grain else 0.0
        return np.asarray(np.clip(np.rint(toned + noise), 0, 255), np.uint8)

    def align(self, ab: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Bring ab ``(h, w, 2)`` of the changed picture back; also which pixels ``(h, w)`` are comparable."""
        height, width = ab.shape[:2]
        matrix, flags = self.matrix((height, width)), cv2.INTER_LINEAR
        seen = np.zeros((height, width), np.float32)
        seen[_BORDER:-_BORDER, _BORDER:-_BORDER] = 1.0
        back = cv2.warpAffine(ab, matrix, (width, height), flags=flags | cv2.WARP_INVERSE_MAP)
        inside = cv2.warpAffine(seen, matrix, (width, height), flags=flags | cv2.WARP_INVERSE_MAP)
        return np.asarray(back, np.float32), (np.asarray(inside) > 0.999) & (seen > 0.0)


CHANGES = (
    Change(name="shift 8 px right", shift=(8, 0)),
    Change(name="shift 8 px down", shift=(0, 8)),
    Change(name="scale 0.9", scale=0.9),
    Change(name="scale 1.1", scale=1.1),
    Change(name="gamma 0.8", gamma=0.8),
    Change(name="gamma 1.25", gamma=1.25),
    Change(name="grain 4 of 255", grain=4.0),
)


@dataclass(frozen=True, kw_only=True)
class Stability:
    """What changes did.

    Attributes:
        pictures: how many were looked at.
        chroma: mean length of ab without any change, Lab units.
        moved: by the name of the change, mean distance of ab from ab without it, over ``chroma``.
        spread: standard error of each, from picture to picture (the chroma taken as exact); None of a single
            picture, which tells nothing of others.
    """

    pictures: int
    chroma: float
    moved: dict[str, float]
    spread: dict[str, float | None]


def measure_stability(
    pictures: Iterable[tuple[str, Rgb]],
    predictor: Predictor,
    render_size: int,
    *,
    seed: int = 0,
    changes: tuple[Change, ...] = CHANGES,
) -> Stability:
    """Compare ab of each picture's luma with ab of its changed luma; there is a picture at least.

    The luma is brought to render size first, so that pixels of a change are those that the generator sees;
    that is more than twice what is left out along the edges.

    Raises:
        InputError: the generator leaves all pictures grey.
    """
    rows: list[list[float]] = []
    for number, (_, rgb) in enumerate(pictures):
        rng = np.random.default_rng([seed, number])
        rows.append(_one(_at_render_size(luma_of(rgb), render_size), predictor, render_size, changes, rng))
    table = np.array(rows)
    chroma = float(table[:, 0].mean())
    if chroma < 1e-3:
        raise InputError("the generator leaves every picture grey: there is no colour that could move")
    errors = table[:, 1:].std(0, ddof=1) / math.sqrt(len(rows)) / chroma if len(rows) > 1 else None
    names = [change.name for change in changes]
    return Stability(
        pictures=len(rows),
        chroma=chroma,
        moved=dict(zip(names, map(float, table[:, 1:].mean(0) / chroma), strict=True)),
        spread=dict(zip(names, [None] * len(names) if errors is None else map(float, errors), strict=True)),
    )


def _at_render_size(luma: Rgb, render_size: int) -> Rgb:
    return resized(luma, render_shape(still_frame(luma), render_size))


def _one(
    luma: Rgb,
    predictor: Predictor,
    render_size: int,
    changes: tuple[Change, ...],
    rng: np.random.Generator,
) -> list[float]:
    """Mean chroma, then the mean distance of ab after each change."""
    lumas = [luma, *(change.apply(luma, rng) for change in changes)]
    seen = [luminance(still_frame(one), one, render_size) for one in lumas]
    shape = (seen[0].grey.shape[0], seen[0].grey.shape[1])
    base, *others = predictor(padded([s.luminance for s in seen], predictor.multiple), shape)
    row = [float(np.linalg.norm(base, axis=-1).mean())]
    for change, ab in zip(changes, others, strict=True):
        back, inside = change.align(ab)
        row.append(float(np.linalg.norm(back - base, axis=-1)[inside].mean()))
    return row
