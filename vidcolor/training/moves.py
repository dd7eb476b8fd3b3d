"""Small moves of the camera: the same picture shifted and zoomed, as in another frame of a film."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vidcolor.training.randomness import Draws, uniforms

_ZOOM = 1.22
"""Largest enlargement, and reduction."""
_SHIFT = 0.09
"""Largest shift along each side, of half of it."""
_BORDER = 0.12
"""Of half a side: what is left out along every edge, where colours depend on what lies beyond it."""


def moves(count: int, device: torch.device, *, seed: int, step: int, first: int = 0) -> Tensor:
    """Matrices ``(count, 2, 3)`` from places in the moved picture to places in the picture, in half sides.

    Zooms are even on a logarithmic scale, from 1/1.22 to 1.22. The move of picture i depends on ``seed``,
    ``step`` and ``first + i`` only, on every device.
    """
    draw = Draws(uniforms("move", seed, step, first=first, rows=count, columns=3), device)
    seen = torch.exp(draw(0, -1.0, 1.0) * math.log(_ZOOM)).flatten()
    zero = torch.zeros_like(seen)
    across, down = (draw(i, -_SHIFT, _SHIFT).flatten() for i in (1, 2))
    return torch.stack(
        [torch.stack([seen, zero, across], 1), torch.stack([zero, seen, down], 1)], 1
    )  # (count, 2, 3)


def moved(planes: Tensor, matrices: Tensor) -> Tensor:
    """The planes ``(N, C, h, w)`` as the moves show them; beyond the edges lies their mirror image."""
    grid = _places(matrices, planes.shape[-2], planes.shape[-1])
    return F.grid_sample(planes, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def in_sight(matrices: Tensor, height: int, width: int) -> Tensor:
    """Places ``(N, h, w)``, bool, of moved pictures, away from the edges, that show what lay so before."""
    limit = 1.0 - _BORDER
    stay = torch.eye(2, 3, device=matrices.device).expand_as(matrices)
    grids = [_places(m, height, width) for m in (matrices, stay)]
    inside: Tensor = (torch.stack(grids).abs() <= limit).all(-1).all(0)  # two of (N, h, w, 2) to (N, h, w)
    return inside


def _places(matrices: Tensor, height: int, width: int) -> Tensor:
    """Where the pixels of moved pictures lie ``(N, h, w, 2)``, in half sides.

    In float32: under autocast its product of matrices would be bf16, whose steps are half a pixel.
    """
    with torch.autocast(matrices.device.type, enabled=False):
        return F.affine_grid(matrices, [len(matrices), 1, height, width], align_corners=False)
