"""Small grey pictures and plain colours."""

from __future__ import annotations

import cv2
import numpy as np

from vidcolor.frames import Floats, Picture
from vidcolor.motion import Luma


def texture(seed: int, height: int = 96, width: int = 128) -> Floats:
    """Soft random structure ``(height, width)`` that optical flow can follow, 0 to 1."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((height // 8 + 2, width // 8 + 2)).astype(np.float32)
    soft = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(soft, 0, 1), np.float32)


def picture(grey: Floats) -> Picture:
    return Picture(grey=grey, luminance=grey * 100)


def luma(grey: Floats) -> Luma:
    return Luma.of(grey)


def flat(a: float, b: float, shape: tuple[int, int] = (96, 128)) -> Floats:
    return np.broadcast_to(np.array([a, b], np.float32), (*shape, 2)).copy()


def dissolve(old: list[Floats], new: list[Floats], length: int) -> list[Floats]:
    """Arrays of two shots, the last ``length`` of the one mixed with the first of the other."""
    weights = [np.float32((i + 1) / (length + 1)) for i in range(length)]
    mixed = [a * (1 - w) + b * w for a, b, w in zip(old[-length:], new[:length], weights, strict=True)]
    return old[:-length] + mixed + new[length:]
