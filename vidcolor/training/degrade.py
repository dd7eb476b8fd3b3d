"""What time and cheap equipment do to luma, so that the generator learns to see through it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vidcolor.training.damage import dust, scratches
from vidcolor.training.filters import BLOCK, compress, gaussian_blur
from vidcolor.training.randomness import Draws, uniforms
from vidcolor.training.textures import GRAINS, SIDE, grain_at

CLEAN_SHARE = 0.3
_COLUMNS = 16
"""Numbers that one degradation may draw for one picture; the first decides whether it strikes."""


def degrade(
    y: Tensor,
    *,
    seed: int,
    step: int = 0,
    first: int = 0,
    strength: float = 1.0,
) -> Tensor:
    """Degrade luma ``(N, 1, h, w)``, 0..1, each picture in its own way, as film and video age.

    Blur, grain, uneven light, tone, scratches, dust, sharpening and block compression, in the order in
    which they happen to a film; ``CLEAN_SHARE`` of the pictures is spared them all, and each strikes the
    others with the probability in ``_ACTS``. What happens to picture i depends on ``seed``,
    ``step`` and ``first + i`` only, on every device.

    Args:
        step: number of the batch.
        first: place of the first picture in the whole batch, of which ``y`` may be one rank's part.
        strength: 0 leaves luma alone, 1 is typical old film, 2 is worse.
    """
    if strength <= 0.0:
        return y.clamp(0.0, 1.0)
    count = y.shape[0]
    spared = uniforms("spared", seed, step, first=first, rows=count, columns=1)[:, 0] < CLEAN_SHARE
    worn = y.clone()
    for purpose, (act, probability) in _ACTS.items():
        table = uniforms(purpose, seed, step, first=first, rows=count, columns=_COLUMNS)
        struck = ((table[:, 0] < probability) & ~spared).nonzero()[0]
        if len(struck):
            where = torch.from_numpy(struck).to(y.device)
            worn[where] = act(worn[where], Draws(table[struck], y.device), strength)
    return worn.clamp_(0.0, 1.0)


def _soften(y: Tensor, draw: Draws, strength: float) -> Tensor:
    """Lens, gauge and repeated copying: Gaussian blur with a sigma of 0.4 to 1.6 px."""
    return gaussian_blur(y, draw(1, 0.4, 1.6) * strength)


def _grain(y: Tensor, draw: Draws, strength: float) -> Tensor:
    """Film grain of several sizes; sigma 0.01 to 0.06 in middle grey, less in black and in white."""
    texture = grain_at(y, draw.whole(1, GRAINS), draw.whole(2, SIDE), draw.whole(3, SIDE))
    middle = 0.4 + 2.4 * y * (1.0 - y)
    return (y + strength * draw(4, 0.1, 0.24) ** 2 * middle * texture).clamp(0.0, 1.0)


def _uneven_light(y: Tensor, draw: Draws, strength: float) -> Tensor:
    """Flicker and vignetting: a gain of ±10 %, slopes of ±10 %, corners up to 61 % darker."""
    v = torch.linspace(-1.0, 1.0, y.shape[2], device=y.device).view(1, 1, -1, 1)
    u = torch.linspace(-1.0, 1.0, y.shape[3], device=y.device).view(1, 1, 1, -1)
    x0, y0 = draw(5, -0.3, 0.3), draw(6, -0.3, 0.3)
    slope = draw(1, -0.1, 0.1) + draw(2, -0.1, 0.1) * u + draw(3, -0.1, 0.1) * v
    fall = draw(4, -0.2, 0.18).clamp_min(0.0) * ((u - x0) ** 2 + (v - y0) ** 2)
    return (y * (1.0 + strength * (slope - fall)).clamp_min(0.0)).clamp(0.0, 1.0)


def _tone(y: Tensor, draw: Draws, strength: float) -> Tensor:
    """Stock and age: gamma 0.65 to 1.5, black moved by -0.06 to 0.14, white by -0.2 to 0.08."""
    gamma = torch.exp(strength * draw(1, math.log(0.65), math.log(1.5)))
    black = strength * draw(2, -0.06, 0.14)
    white = 1.0 + strength * draw(3, -0.2, 0.08)
    return (black + (white - black) * y.clamp_min(1e-4) ** gamma).clamp(0.0, 1.0)


def _sharpen(y: Tensor, draw: Draws, strength: float) -> Tensor:
    """The halos of unsharp masking, as old prints, scanners and televisions add them."""
    halo = y - gaussian_blur(y, draw(1, 0.7, 1.6))
    return (y + strength * draw(2, 0.3, 1.3) * halo).clamp(0.0, 1.0)


def _compress(y: Tensor, draw: Draws, strength: float) -> Tensor:
    """Block compression as of JPEG, MPEG and DV; coarse steps are rarer than fine ones."""
    return compress(y, draw(1, 0.1, 0.245) ** 2 * strength, draw.whole(2, BLOCK), draw.whole(3, BLOCK))


_ACTS = {
    "_soften": (_soften, 0.45),
    "_grain": (_grain, 0.5),
    "_uneven_light": (_uneven_light, 0.25),
    "_tone": (_tone, 0.5),
    "_scratches": (scratches, 0.12),
    "_dust": (dust, 0.15),
    "_sharpen": (_sharpen, 0.15),
    "_compress": (_compress, 0.35),
}
"""What happens, in this order, and how probably. The names must stay: random numbers follow from them."""
