"""Automatic gamma correction, so that colours depend less on how light or dark a film happens to be."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_MIDDLE = 0.48
"""Mean L* over 100 of the photographs that the default generator was trained on."""
_BLACK, _DARK = 0.01, 0.08
"""L* over 100 up to which pixels do not count (bars around a picture), and from which on wholly."""
_PRIOR = 0.02
"""Weight of ``_MIDDLE`` in the mean, beside 1 for a picture without black: black frames stay as they are."""
_LEAST, _MOST = 0.6, 1.6


def gamma_corrected(luminance: Tensor, strength: float) -> Tensor:
    """Bring pictures nearer to one exposure, as by a camera's gamma control.

    Each picture is raised to a power: with a ``strength`` of 1 to that which takes its mean to middle grey,
    log(middle) / log(mean), and else to that ratio's own power ``strength``, within 0.6 and 1.6.

    Args:
        luminance: L* ``(N, 1, h, w)``, 0 to 100.
        strength: 0 leaves pictures alone, 1 takes as much as there is out of their exposures.

    Returns:
        L* ``(N, 1, h, w)``, float32.
    """
    x = torch.clamp(luminance.float() / 100.0, 1e-3, 1.0)
    weight = torch.clamp((x - _BLACK) / (_DARK - _BLACK), 0.0, 1.0)
    axes = (1, 2, 3)
    lit = (weight * x).mean(axes, keepdim=True) + _PRIOR * _MIDDLE
    mean = torch.clamp(lit / (weight.mean(axes, keepdim=True) + _PRIOR), 0.01, 0.99)
    # log(ratio), of two logarithms below zero
    ratio = torch.log(torch.log(mean) * -1.0) * -1.0 + math.log(-math.log(_MIDDLE))
    power = torch.clamp(torch.exp(ratio * strength), _LEAST, _MOST)
    return torch.exp(torch.log(x) * power) * 100.0
