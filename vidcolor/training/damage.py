"""Wear of the film's surface: scratches along its run, dust and hairs."""

from __future__ import annotations

import torch
from torch import Tensor

from vidcolor.training.randomness import Draws
from vidcolor.training.textures import SIDE, dirt_at

_SCRATCHES = 3


def scratches(y: Tensor, draw: Draws, strength: float) -> Tensor:
    """Lay one to three nearly vertical lines, dark or bright, over luma ``(N, 1, h, w)``.

    Takes columns 1 to 13 of ``draw``.
    """
    height, width = y.shape[-2:]
    rows = torch.linspace(0.0, 1.0, height, device=y.device).view(1, 1, -1, 1)
    columns = torch.arange(width, dtype=y.dtype, device=y.device).view(1, 1, 1, -1)
    sign = torch.where(draw(1, 0.0, 1.0) < 0.6, 1.0, -1.0)
    for line in range(_SCRATCHES):
        at = 2 + 4 * line
        where = draw(at, 0.0, 1.0) * width + draw(at + 1, -2.5, 2.5) * rows
        breadth, faint = draw(at + 2, 0.3, 1.1), draw(at + 3, 0.0, 1.0)
        # the second and third line are there once in two and once in three
        depth = strength * (0.1 + 0.4 * faint) * (faint * (line + 1) % 1.0 < 1.0 / (line + 1))
        patchy = 0.6 + 0.4 * torch.sin(7.0 * rows + 40.0 * faint)
        mask = (breadth + 0.5 - (columns - where).abs()).clamp(0.0, 1.0) * patchy
        y = y + sign * depth * mask
    return y.clamp(0.0, 1.0)


def dust(y: Tensor, draw: Draws, strength: float) -> Tensor:
    """Cover luma ``(N, 1, h, w)`` with specks and hairs, all white (dirt on the negative) or all black.

    Takes columns 1 to 5 of ``draw``.
    """
    opacity, rarity = dirt_at(y, draw.whole(1, SIDE), draw.whole(2, SIDE))
    colour = torch.where(draw(3, 0.0, 1.0) < 0.6, 0.95, 0.05)
    shown = opacity * (rarity < (strength * draw(4, 0.15, 0.8)).clamp_max(1.0))
    return y + (draw(5, 0.5, 1.0) * shown) * (colour - y)
