"""Words on sheets of pictures."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

GROUND = 24
"""Grey of what lies around pictures."""


def caption(
    text: str, width: int, brightness: int, *, height: int = 24, size: float = 0.45
) -> NDArray[np.uint8]:
    """A bar ``(height, width, 3)`` with a line of text.

    Args:
        brightness: of the letters, 0 to 255.
        size: of the letters, as OpenCV's font scale.
    """
    bar = np.full((height, width, 3), GROUND, np.uint8)
    plain = text.encode("ascii", "replace").decode()  # the font has no other letters
    place = (height // 4, round(height * 0.7))
    cv2.putText(bar, plain, place, cv2.FONT_HERSHEY_SIMPLEX, size, (brightness,) * 3, 1, cv2.LINE_AA)
    return bar
