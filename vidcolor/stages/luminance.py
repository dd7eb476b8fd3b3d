"""Stage 2, luminance: luma planes become the L* that the generator sees, upright and in square pixels."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np

from vidcolor.colorspace import lightness_from_luma
from vidcolor.frames import Codes, Floats, Frame, Picture
from vidcolor.resizing import resized

_PLACES = 1 << 16
_HALVED_FIRST = 4
"""From so many times the render size on, means of four pixels come first: a quarter of the time."""
_LONGEST = 4
"""A long side beyond this many short sides is squeezed: it is no picture, and memory is finite."""
_FITTING = 32
"""What the sides of a picture are padded to for the default generator: work for nothing."""
_MOST_SQUEEZED = 1.0 / 32.0
"""Part of a long side that may be squeezed away to do without."""


def render_shape(frame: Frame, render_size: int) -> tuple[int, int]:
    """Height and width, as stored, of the frame, its short side ``render_size``, in pixels square to 3 %.

    A long side that is a little more than a multiple of 32 becomes that: 16:9 is 256×448, not 256×455, which
    would be padded to 480.
    """
    height, width = square_shape(frame, render_size)
    if height > width:
        return _squeezed(height), width
    return height, _squeezed(width) if width > height else width


def _squeezed(side: int) -> int:
    over = side % _FITTING
    return side - over if over <= side * _MOST_SQUEEZED else side


def square_shape(frame: Frame, short: int) -> tuple[int, int]:
    """Height and width, as stored, of the frame in square pixels, its short side ``short``."""
    width, height = frame.luma.shape[1] * float(frame.aspect), float(frame.luma.shape[0])
    scale = short / min(width, height)
    longest = _LONGEST * short
    return (
        min(longest, max(1, round(height * scale))),
        min(longest, max(1, round(width * scale))),
    )


def luminance(frame: Frame, luma: Codes, render_size: int) -> Picture:
    """Make what the generator sees of a frame, or of one of its fields.

    Args:
        frame: where the luma comes from.
        luma: codes ``(h, w)`` of the frame or a field.
        render_size: short side of the result in pixels.
    """
    grey = rendered(frame, luma, render_size)
    return Picture(grey=grey, luminance=lightness(grey))


def lightness(grey: Floats) -> Floats:
    """L* of Y' in 0 to 1, any shape, by a table of :func:`~vidcolor.colorspace.lightness_from_luma`.

    The table has 65,536 places, so that L* is off by 0.001 at most; powers of every pixel take six times as
    long.
    """
    return _table()[np.asarray(grey * np.float32(_PLACES - 1) + np.float32(0.5), np.uint16)]


@lru_cache(maxsize=1)
def _table() -> Floats:
    steps = np.arange(_PLACES, dtype=np.float64) / (_PLACES - 1)
    return np.asarray(lightness_from_luma(steps), np.float32)


def rendered(frame: Frame, luma: Codes, render_size: int) -> Floats:
    """Y' ``(h, w)`` at render size, upright, 0 to 1; arguments as of :func:`luminance`."""
    height, width = render_shape(frame, render_size)
    while min(luma.shape[0] // height, luma.shape[1] // width) >= _HALVED_FIRST and not any(
        side % 2
        for side in luma.shape  # half a row too few would move the picture
    ):
        luma = np.asarray(cv2.resize(luma, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    codes = luma.astype(np.float32)  # bytes take nearly twice as long, and are rounded once more
    small = resized(codes, (height, width))
    upright = frame.orientation.upright(np.clip(frame.signal.expand(small), 0.0, 1.0))
    return np.ascontiguousarray(upright, np.float32)


def padded(luminances: list[np.ndarray], multiple: int) -> Floats:
    """Stack L* planes ``(h, w)`` of one shape to ``(N, 1, H, W)``, edges repeated up to ``multiple``."""

    height, width = luminances[0].shape
    bottom = math.ceil(height / multiple) * multiple - height
    right = math.ceil(width / multiple) * multiple - width
    planes = [cv2.copyMakeBorder(p, 0, bottom, 0, right, cv2.BORDER_REPLICATE) for p in luminances]
    return np.stack(planes)[:, None]
