"""Pictures put together anew: turned a little, and with parts of others set into them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vidcolor.training.randomness import Draws, uniforms

INSET_SHARE, TURN_SHARE = 0.35, 0.3
"""Shares of the pictures to which each happens."""
_MOST_DEGREES = 10.0
_SIDES = (0.35, 0.75)
"""Sides of an inset, of those of the picture."""
_MOST_REDUCED = 1.6


def turned(rgb: Tensor, *, seed: int, step: int, first: int = 0, share: float = TURN_SHARE) -> Tensor:
    """Turn some of the pictures by up to 10°, enlarged just so far that no corner stays empty.

    What happens to picture i depends on ``seed``, ``step`` and ``first + i`` only, on every device.

    Args:
        rgb: R'G'B' ``(N, 3, s, s)``, 0..1.
        step: number of the batch.
        first: place of the first picture in the whole batch, of which ``rgb`` may be one rank's part.
        share: of the pictures that this happens to.

    Returns:
        R'G'B' ``(N, 3, s, s)``, 0..1; ``rgb`` itself where nothing happens.
    """
    struck, draw = _struck("turn", rgb, seed, step, first, share)
    if struck is None:
        return rgb
    angle = draw(1, -1.0, 1.0) * math.radians(_MOST_DEGREES)
    cos, sin = torch.cos(angle), torch.sin(angle)
    reach = 1.0 / (cos.abs() + sin.abs())  # of a square that stays within the turned one
    zero = torch.zeros_like(cos)
    made = rgb.clone()
    made[struck] = _seen_through(
        rgb[struck], ((cos * reach, -sin * reach, zero), (sin * reach, cos * reach, zero))
    )
    return made


def with_insets(
    rgb: Tensor, others: Tensor, *, seed: int, step: int, first: int = 0, share: float = INSET_SHARE
) -> Tensor:
    """Set a part of another picture into some of the pictures, so that the whole tells less about its parts.

    As CutMix (Yun et al., ICCV 2019), with rectangles whose content may be reduced, up to 1.6 times.
    What happens to picture i depends on ``seed``, ``step`` and ``first + i`` only, on every device.

    Args:
        rgb: R'G'B' ``(N, 3, s, s)``, 0..1.
        others: as many others, of the same size.
        step, first, share: as of :func:`turned`.

    Returns:
        R'G'B' ``(N, 3, s, s)``, 0..1; ``rgb`` itself where nothing happens.
    """
    struck, draw = _struck("inset", rgb, seed, step, first, share)
    if struck is None:
        return rgb
    half = draw(1, *_SIDES), draw(2, *_SIDES)  # width and height, in half widths of the picture
    most = torch.minimum(1.0 / torch.maximum(*half), torch.full_like(half[0], _MOST_REDUCED))
    reduced = most ** draw(3, 0.0, 1.0)
    place = [draw(4 + i, -1.0, 1.0) * (1.0 - h) for i, h in enumerate(half)]
    source = [draw(6 + i, -1.0, 1.0) * (1.0 - h * reduced) for i, h in enumerate(half)]
    zero = torch.zeros_like(reduced)
    shift = [s - reduced * p for s, p in zip(source, place, strict=True)]
    inset = _seen_through(others[struck], ((reduced, zero, shift[0]), (zero, reduced, shift[1])))
    at = (torch.arange(rgb.shape[-1], device=rgb.device) + 0.5) * (2.0 / rgb.shape[-1]) - 1.0
    inside = ((at - place[0]).abs() < half[0]) & ((at.view(-1, 1) - place[1]).abs() < half[1])
    made = rgb.clone()
    made[struck] = torch.where(inside, inset, rgb[struck])
    return made


def _struck(
    purpose: str, rgb: Tensor, seed: int, step: int, first: int, share: float
) -> tuple[Tensor | None, Draws]:
    """Places of the pictures that something happens to, None if there is none, and their numbers."""
    table = uniforms(purpose, seed, step, first=first, rows=rgb.shape[0], columns=8)
    struck = (table[:, 0] < share).nonzero()[0]
    draws = Draws(table[struck], rgb.device)
    return (torch.from_numpy(struck).to(rgb.device) if len(struck) else None), draws


def _seen_through(
    rgb: Tensor, rows: tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
) -> Tensor:
    """Sample each picture at places given by a 2×3 matrix, whose entries are ``(N, 1, 1, 1)``."""
    matrix = torch.stack([torch.cat([e.flatten()[:, None] for e in row], 1) for row in rows], 1)  # (N, 2, 3)
    grid = F.affine_grid(matrix, list(rgb.shape), align_corners=False)
    return F.grid_sample(rgb, grid, mode="bilinear", padding_mode="border", align_corners=False)
