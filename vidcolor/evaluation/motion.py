"""Motion between grey pictures as the judge of films sees it: by another method than the filter's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcolor.frames import Floats
from vidcolor.motion import fetch, places

Mask = NDArray[np.bool_]
FlowMethod = Callable[[Floats, Floats], Floats]
"""Y' ``(h, w)`` of two pictures, 0 to 1, to the flow ``(h, w, 2)`` in pixels (right, down): where each
pixel of the first lies in the second."""


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Motion from one picture to another.

    Attributes:
        flow: ``(h, w, 2)``, pixels, from the first picture to the second.
        hidden: ``(h, w)``, where a pixel of the first picture is not to be seen in the second.
        unsure: ``(h, w)``, ``hidden`` or at an edge of the motion, where flow is not to be trusted.
    """

    flow: Floats
    hidden: Mask
    unsure: Mask

    def fetch(self, second: Floats) -> Floats:
        """``second`` ``(h, w, ...)`` moved to where the first picture has it."""
        return fetch(second, self.flow)


def farneback(one: Floats, other: Floats) -> Floats:
    """Farnebäck, "Two-frame motion estimation based on polynomial expansion" (SCIA 2003)."""
    first, second = (np.asarray(np.rint(np.clip(g, 0, 1) * 255), np.uint8) for g in (one, other))
    flow = cv2.calcOpticalFlowFarneback(first, second, None, 0.5, 5, 15, 4, 7, 1.5, 0)
    return np.asarray(flow, np.float32)


def between(forward: Floats, backward: Floats) -> Motion:
    """Motion with the masks of Ruder et al. 2016 that Lai et al. 2018 use.

    A pixel is hidden where flow there and back does not lead home: |f + b|² > 0.01 (|f|² + |b|²) + 0.5,
    or out of the picture. An edge of the motion is where |∇u|² + |∇v|² > 0.01 |f|² + 0.002.

    Args:
        forward, backward: flow ``(h, w, 2)`` from the first picture to the second, and from that back.
    """
    height, width = forward.shape[:2]
    returning = fetch(backward, forward)
    home = forward + returning
    length = (forward**2).sum(-1) + (returning**2).sum(-1)
    x, y = places(forward)
    gone = (x < 0) | (y < 0) | (x > width - 1) | (y > height - 1)
    hidden = ((home**2).sum(-1) > 0.01 * length + 0.5) | gone
    slopes = sum(np.gradient(forward[..., c], axis=a) ** 2 for c in (0, 1) for a in (0, 1))
    edge = slopes > 0.01 * (forward**2).sum(-1) + 0.002
    return Motion(flow=forward, hidden=hidden, unsure=hidden | edge)
