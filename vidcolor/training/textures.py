"""Large tiles of grain and dirt, made once from fixed seeds; pictures take parts of them at random places."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SIDE = 1024
_GRAINS_PX = (0.0, 0.6, 1.0, 1.6)
"""Sigmas of the softening of the grain's layers."""
GRAINS = len(_GRAINS_PX)
_SPECKS, _HAIRS = 1400, 60


def grain_at(y: Tensor, layers: list[int], tops: list[int], lefts: list[int]) -> Tensor:
    """Grain of variance one in the shape of ``y`` ``(N, 1, h, w)``, of each picture's layer and place."""
    tiles = _grain_tiles(str(y.device))
    return torch.stack([_part(tiles[n], t, m, y) for n, t, m in zip(layers, tops, lefts, strict=True)])


def dirt_at(y: Tensor, tops: list[int], lefts: list[int]) -> tuple[Tensor, Tensor]:
    """Opacity (0..1) and rarity (0..1, one value for each speck) of dirt, both ``(N, 1, h, w)``."""
    tiles = _dirt_tiles(str(y.device))
    parts = torch.stack([_part(tiles, t, m, y) for t, m in zip(tops, lefts, strict=True)])  # (N, 2, h, w)
    return parts[:, 0:1], parts[:, 1:2]


def _part(tile: Tensor, top: int, left: int, like: Tensor) -> Tensor:
    """``(layers, h, w)`` of a tile ``(layers, SIDE, SIDE)``, which repeats."""
    height, width = like.shape[-2:]
    if top + height <= SIDE and left + width <= SIDE:
        return tile[:, top : top + height, left : left + width]
    rows = torch.arange(top, top + height, device=tile.device) % SIDE
    columns = torch.arange(left, left + width, device=tile.device) % SIDE
    return tile.index_select(1, rows).index_select(2, columns)


@lru_cache(maxsize=4)
def _grain_tiles(device: str) -> Tensor:
    """``(GRAINS, 1, SIDE, SIDE)``; each is filtered with wrapped edges."""
    noise = np.random.default_rng(1).standard_normal((SIDE, SIDE))
    layers = [_softened(noise, sigma) for sigma in _GRAINS_PX]
    return torch.from_numpy(np.stack([t / t.std() for t in layers])).float()[:, None].to(device)


def _softened(noise: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    at = np.fft.fftfreq(SIDE)
    pass_band = np.exp(-2.0 * (np.pi * sigma) ** 2 * (at[:, None] ** 2 + at[None, :] ** 2))
    soft: NDArray[np.float64] = np.fft.ifft2(np.fft.fft2(noise) * pass_band).real
    return soft


@lru_cache(maxsize=4)
def _dirt_tiles(device: str) -> Tensor:
    """Opacity and rarity ``(2, SIDE, SIDE)``."""
    rng = np.random.default_rng(2)
    opacity = np.zeros((SIDE, SIDE), np.float32)
    rarity = np.ones((SIDE, SIDE), np.float32)
    for number in range(_SPECKS + _HAIRS):
        trail = _hair(rng) if number >= _SPECKS else rng.uniform(0, SIDE, (1, 2))
        radius = 0.6 if number >= _SPECKS else 0.6 + rng.exponential(0.7)
        squeeze, rank = rng.uniform(0.5, 1.0), float(rng.random())
        for row, column in trail:
            _dab(opacity, rarity, row, column, min(radius, 4.0), squeeze, rank)
    return torch.from_numpy(np.stack((opacity, rarity))).to(device)


def _hair(rng: np.random.Generator) -> NDArray[np.float64]:
    """Points half a pixel apart along a curl, ``(n, 2)``."""
    bends = np.cumsum(rng.normal(0.0, 0.03, int(rng.integers(20, 90)))) + rng.normal(0.0, 0.02)
    angles = rng.uniform(0.0, 2.0 * np.pi) + np.cumsum(bends) * 0.3
    steps = 0.5 * np.stack((np.sin(angles), np.cos(angles)), 1)
    trail: NDArray[np.float64] = rng.uniform(0, SIDE, (1, 2)) + np.cumsum(steps, 0)
    return trail


def _dab(
    opacity: NDArray[np.float32],
    rarity: NDArray[np.float32],
    row: float,
    column: float,
    radius: float,
    squeeze: float,
    rank: float,
) -> None:
    """Put a soft-edged ellipse on the tile, which wraps around; the darker of what overlaps stays."""
    reach = int(radius) + 2
    rows = np.arange(int(row) - reach, int(row) + reach + 1)
    columns = np.arange(int(column) - reach, int(column) + reach + 1)
    far = np.hypot((rows[:, None] - row) / squeeze, columns[None, :] - column)
    dab = np.clip(radius + 0.5 - far, 0.0, 1.0).astype(np.float32)
    at = np.ix_(rows % SIDE, columns % SIDE)
    more = dab > opacity[at]
    opacity[at] = np.where(more, dab, opacity[at])
    rarity[at] = np.where(more, np.float32(rank), rarity[at])
