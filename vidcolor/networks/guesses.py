"""Weak colours that a generator gives what it does not know are taken back.

Made of sums, products, quotients, roots, means and linear interpolation, they have the same bits however
threads share a picture.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_VIOLET, _VIOLET_NEAR, _VIOLET_FAR = -25.0, 20.0, 50.0
"""Middle of violet and purple in the plane of a and b, degrees; how far from it a hue counts wholly, and from
where on not at all: at -75 degrees is navy blue, at 25 skin in shadow."""
_VIOLET_WEAK, _VIOLET_STRONG = 15.0, 30.0
"""Chroma up to which it may be a guess, and from which on a colour is meant."""
_DARK, _LIGHT = 50.0, 70.0
"""L* up to which violet is taken back wholly, and from which on not at all."""

_CYAN, _CYAN_NEAR, _CYAN_FAR = 190.0, 25.0, 50.0
"""As of violet: at 140 degrees is foliage, at 240 begins the blue of skies."""
_CYAN_WEAK, _CYAN_STRONG = 25.0, 40.0
_AROUND = 16
"""Side of the squares of ab in which cyan is counted."""
_APART, _SHARED = 1.0, 4.0
"""Mean of cyan's chroma in a square up to which it stands alone there, and from which on it is shared."""


def without_violet(ab: Tensor, luminance: Tensor, strength: float) -> Tensor:
    """Bring weak violets and purples nearer to grey where the picture is dark or middling.

    Of what can have any colour, dark suits, uniforms, cars, an averaging loss makes violet as often as not,
    between the blue, red and brown that they have in photographs.

    Args:
        ab: ``(N, 2, h, w)``, Lab units, float32.
        luminance: L* that it was predicted from, ``(N, 1, 2h, 2w)``, 0 to 100.
        strength: part of such chroma that is taken, 0 to 1.

    Returns:
        ab ``(N, 2, h, w)``, of the same hues.
    """
    near, chroma = _near(ab, _VIOLET, _VIOLET_NEAR, _VIOLET_FAR)
    violet = near * _fading(chroma, _VIOLET_WEAK, _VIOLET_STRONG)
    dark = _fading(F.avg_pool2d(luminance.float(), 2), _DARK, _LIGHT)
    return ab - ab * (violet * dark * strength)


def without_cyan(ab: Tensor, strength: float) -> Tensor:
    """Bring weak cyan nearer to grey where what lies around it is of another colour.

    Glints, rims of white things and sky between leaves get the complement of what they border on. Water and
    hazy hills share their cyan with what is around them, and keep it.

    Args:
        ab: ``(N, 2, h, w)``, Lab units, float32, ``h`` and ``w`` multiples of 16.
        strength: part of such chroma that is taken, 0 to 1.

    Returns:
        ab ``(N, 2, h, w)``, of the same hues.
    """
    near, chroma = _near(ab, _CYAN, _CYAN_NEAR, _CYAN_FAR)
    cyan = near * _fading(chroma, _CYAN_WEAK, _CYAN_STRONG)
    around = F.avg_pool2d(near * chroma, _AROUND)
    around = F.interpolate(around, size=ab.shape[-2:], mode="bilinear", align_corners=False)
    return ab - ab * (cyan * _fading(around, _APART, _SHARED) * strength)


def _near(ab: Tensor, hue: float, near: float, far: float) -> tuple[Tensor, Tensor]:
    """How near colours are to a hue, 0 to 1 (all in degrees), and their chroma, ``(N, 1, h, w)`` each."""
    a, b = ab[:, :1], ab[:, 1:]
    chroma = torch.sqrt(a * a + b * b + 1e-6)
    alike = (a * math.cos(math.radians(hue)) + b * math.sin(math.radians(hue))) / chroma
    least, wholly = math.cos(math.radians(far)), math.cos(math.radians(near))
    return torch.clamp((alike - least) / (wholly - least), 0.0, 1.0), chroma


def _fading(value: Tensor, wholly: float, none: float) -> Tensor:
    """1 up to ``wholly``, 0 from ``none`` on, between them in proportion."""
    return torch.clamp((value - none) / (wholly - none), 0.0, 1.0)
