"""Weak violet on dark things, which a generator gives what it does not know, is taken back."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_HUE = math.radians(-25.0)
"""Middle of violet and purple in the plane of a and b."""
_NEAR, _FAR = math.cos(math.radians(20.0)), math.cos(math.radians(50.0))
"""Cosine of the angle to it up to which a hue counts wholly, and from which on not at all: at -75 degrees is
navy blue, at 25 skin in shadow."""
_WEAK, _STRONG = 15.0, 30.0
"""Chroma up to which it may be a guess, and from which on a colour is meant."""
_DARK, _LIGHT = 50.0, 70.0
"""L* up to which it is taken back wholly, and from which on not at all."""


def without_violet(ab: Tensor, luminance: Tensor, strength: float) -> Tensor:
    """Bring weak violets and purples nearer to grey where the picture is dark or middling.

    Of what can have any colour, dark suits, uniforms, cars, an averaging loss makes violet as often as not,
    between the blue, red and brown that they have in photographs. Made of sums, products, quotients and a
    root, it has the same bits however threads share a picture.

    Args:
        ab: ``(N, 2, h, w)``, Lab units, float32.
        luminance: L* that it was predicted from, ``(N, 1, 2h, 2w)``, 0 to 100.
        strength: part of such chroma that is taken, 0 to 1.

    Returns:
        ab ``(N, 2, h, w)``, of the same hues.
    """
    a, b = ab[:, :1], ab[:, 1:]
    chroma = torch.sqrt(a * a + b * b + 1e-6)
    alike = (a * math.cos(_HUE) + b * math.sin(_HUE)) / chroma
    violet = torch.clamp((alike - _FAR) / (_NEAR - _FAR), 0.0, 1.0)
    weak = torch.clamp((chroma - _STRONG) / (_WEAK - _STRONG), 0.0, 1.0)
    light = F.avg_pool2d(luminance.float(), 2)
    dark = torch.clamp((light - _LIGHT) / (_DARK - _LIGHT), 0.0, 1.0)
    return ab - ab * (violet * weak * dark * strength)
