"""Stage 4, propagate: chroma is carried along motion from picture to picture, and never over a cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcolor.frames import Floats, Picture

_RESIDUAL_SIGMA = 0.05
"""Difference of luma (0..1) after motion at which trust in the carried colour falls to 1/e."""
_CUT_SHARE = 0.45
_CUT_RESIDUAL = 0.10
_SMALLEST = 16
"""Pictures with a shorter side are not searched for motion."""
_LONGEST_MEMORY = 0.97


@dataclass(frozen=True, kw_only=True)
class PropagationState:
    """All that the filter remembers: the last picture and its smoothed ab."""

    grey: Floats
    ab: Floats


class Propagator:
    """Recursive temporal filter over ab.

    Each picture's ab is a mix of the generator's and of the previous smoothed ab, moved along dense
    optical flow (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016) on luma.
    Where luma disagrees after the motion, the generator's counts.

    Args:
        mode: ``flow``, ``average`` (no motion, exponential average) or ``off``.
        smoothing: 0 (none) to 1 (the longest memory).
    """

    def __init__(self, mode: str, smoothing: float) -> None:
        self.state: PropagationState | None = None
        self._mode = mode
        self._memory = smoothing * _LONGEST_MEMORY
        self._flow: Any = cv2.DISOpticalFlow_create(  # type: ignore[attr-defined]
            cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST
        )

    def step(self, picture: Picture, ab: Floats) -> Floats:
        """Smooth the ab ``(h, w, 2)`` of the next picture in order; returns an array of that shape."""
        if self._mode == "off" or self._memory == 0.0:
            return ab
        previous = self.state
        if previous is not None and previous.grey.shape == picture.grey.shape:
            carried, luma = self._carry(previous, picture.grey)
            residual = cv2.blur(np.abs(luma - _match_exposure(luma, picture.grey)), (5, 5))
            if not is_cut(residual):
                trust = self._memory * np.exp(-((residual / _RESIDUAL_SIGMA) ** 2))[..., None]
                ab = (ab + trust * (carried - ab)).astype(np.float32)
        self.state = PropagationState(grey=picture.grey, ab=ab)
        return ab

    def _carry(self, previous: PropagationState, grey: Floats) -> tuple[Floats, Floats]:
        """The previous ab and luma where motion has brought them."""
        if self._mode == "average" or min(grey.shape) < _SMALLEST:
            return previous.ab, previous.grey
        flow = self._flow.calc(_bytes(grey), _bytes(previous.grey), None)
        rows, columns = np.indices(grey.shape, dtype=np.float32)
        at_x, at_y = columns + flow[..., 0], rows + flow[..., 1]
        ab, luma = (
            cv2.remap(plane, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for plane in (previous.ab, previous.grey)
        )
        outside = (at_x < -1) | (at_x > grey.shape[1]) | (at_y < -1) | (at_y > grey.shape[0])
        luma[outside] += 1.0
        return ab, luma


def is_cut(residual: Floats) -> bool:
    """Whether luma ``(h, w)`` differs after motion over so much of the picture that the shot has changed."""
    return float((residual > _CUT_RESIDUAL).mean()) > _CUT_SHARE


def _match_exposure(reference: Floats, grey: Floats) -> Floats:
    """``grey`` with the mean of ``reference``, so that flicker of the lamp is not taken for change."""
    shift = np.float32(np.median(reference - grey)) if grey.size else np.float32(0.0)
    matched: Floats = grey + np.clip(shift, np.float32(-0.15), np.float32(0.15))
    return matched


def _bytes(grey: Floats) -> NDArray[np.uint8]:
    return np.asarray(grey * np.float32(255.0) + np.float32(0.5), np.uint8)
