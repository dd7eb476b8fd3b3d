"""Automatic exposure, so that colours depend less on how light or dark a film happens to be."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_MIDDLE = 0.48
"""Mean L* over 100 of the photographs that the default generator was trained on."""
_BLACK, _DARK = 0.01, 0.08
"""L* over 100 up to which pixels do not count (bars around a picture), and from which on wholly."""
_PRIOR = 0.02
"""Weight of ``_MIDDLE`` in the mean, beside 1 for a picture without black: black frames stay as they are."""
_MOST = 4.0
"""Slope of the steepest curve where it is steepest, in black or in white."""


def evened(luminance: Tensor, strength: float) -> Tensor:
    """Bring pictures nearer to one exposure, by a curve that leaves black and white where they are.

    The curve is the bias function of Schlick ("Fast Alternatives to Perlin's Bias and Gain Functions",
    Graphics Gems IV, 1994), x / (x + (1 - x) / slope), which stands in for a power: made of nothing but
    sums, products and quotients, it has the same bits however threads share a picture. The slope is the
    ratio of the odds m / (1 - m) of middle grey to those of the picture's mean, to the power of
    ``strength``, from 1/4 to 4.

    Args:
        luminance: L* ``(N, 1, h, w)``, 0 to 100; height and width are multiples of 16.
        strength: 0 leaves pictures alone, 1 takes as much as there is out of their exposures.

    Returns:
        L* ``(N, 1, h, w)``, float32.
    """
    x = torch.clamp(luminance.float() / 100.0, 0.0, 1.0)
    weight = torch.clamp((x - _BLACK) / (_DARK - _BLACK), 0.0, 1.0)
    lit = _mean(weight * x) + _PRIOR * _MIDDLE
    mean = torch.clamp(lit / (_mean(weight) + _PRIOR), 0.01, 0.99)
    odds = mean / (mean * -1.0 + 1.0)
    slope = torch.exp((torch.log(odds) * -1.0 + math.log(_MIDDLE / (1.0 - _MIDDLE))) * strength)
    slope = torch.clamp(slope, 1.0 / _MOST, _MOST)
    return x * slope / (x * (slope - 1.0) + 1.0) * 100.0


def _mean(planes: Tensor) -> Tensor:
    """Of each picture, ``(N, 1, 1, 1)``, block by block: threads that share a long sum tell in its digits."""
    return F.avg_pool2d(planes, 16).mean((1, 2, 3), keepdim=True)
