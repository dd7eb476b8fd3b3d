"""Pictures brought to another size."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = TypeVar("Plane", bound=NDArray[Any])


def resized(plane: Plane, shape: tuple[int, ...]) -> Plane:
    """A plane ``(h, w)`` at another height and width: by means of areas where it shrinks, else bilinear."""
    shrinks = shape[0] * shape[1] < plane.shape[0] * plane.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cast(Plane, cv2.resize(plane, (shape[1], shape[0]), interpolation=method))


def shrink(plane: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """``plane`` ``(h, w, ...)`` at a ``factor``-th of its size, area-averaged; no side falls below 1."""
    size = (max(1, round(plane.shape[1] / factor)), max(1, round(plane.shape[0] / factor)))
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)
