"""Pictures brought to another size."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import cv2
from numpy.typing import NDArray

Plane = TypeVar("Plane", bound=NDArray[Any])


def resized(plane: Plane, shape: tuple[int, ...]) -> Plane:
    """A plane ``(h, w)`` at another height and width: by means of areas where it shrinks, else bilinear."""
    shrinks = shape[0] * shape[1] < plane.shape[0] * plane.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cast(Plane, cv2.resize(plane, (shape[1], shape[0]), interpolation=method))
