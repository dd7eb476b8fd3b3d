"""Linear filters and block compression, with parameters of their own for each picture of a batch."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

_REACH = 5
BLOCK = 8


def gaussian_blur(y: Tensor, sigma: Tensor) -> Tensor:
    """Blur ``(N, 1, h, w)`` with a sigma ``(N, 1, 1, 1)`` in pixels each, up to about 2."""
    count, _, height, width = y.shape
    reach = min(_REACH, height - 1, width - 1)
    at = torch.arange(-reach, reach + 1, dtype=y.dtype, device=y.device)
    kernels = torch.exp(-0.5 * (at / sigma.clamp_min(1e-3)) ** 2)  # (N, 1, 1, k)
    kernels = kernels / kernels.sum(3, keepdim=True)
    planes = F.pad(y, (reach, reach, reach, reach), mode="reflect").transpose(0, 1)  # (1, N, h + 2r, w + 2r)
    rows = F.conv2d(planes, kernels, groups=count)
    return F.conv2d(rows, kernels.transpose(2, 3), groups=count).transpose(0, 1)  # (N, 1, h, w)


def compress(y: Tensor, step: Tensor, tops: list[int], lefts: list[int]) -> Tensor:
    """Quantise the 8×8 DCT of luma ``(N, 1, h, w)`` with steps that rise with frequency.

    Args:
        step: ``(N, 1, 1, 1)``, the quantiser's finest step where luma is 0..1 and the DCT orthonormal.
        tops, lefts: 0..7, where in a block each picture begins.
    """
    count, _, height, width = y.shape
    tall, wide = _whole_blocks(height), _whole_blocks(width)
    edge = BLOCK - 1
    wider = F.pad(y, (edge, wide - width, edge, tall - height), mode="replicate")[:, 0]
    begins = list(zip(range(count), tops, lefts, strict=True))
    padded = torch.stack([wider[i, edge - t :, edge - m :][:tall, :wide] for i, t, m in begins])
    # (N, tall, wide) to (N, tall / 8, wide / 8, 8, 8) to (N, blocks, 64)
    blocks = padded.view(count, tall // BLOCK, BLOCK, wide // BLOCK, BLOCK).transpose(2, 3)
    basis, rise = (t.to(y) for t in _dct())
    spectrum = blocks.reshape(count, -1, BLOCK * BLOCK) @ basis.T
    steps = step.view(-1, 1, 1) * rise
    restored = (torch.round(spectrum / steps) * steps) @ basis
    flat = restored.view(count, tall // BLOCK, wide // BLOCK, BLOCK, BLOCK).transpose(2, 3)
    whole = flat.reshape(count, 1, tall, wide).clamp(0.0, 1.0)
    return torch.stack([whole[i, :, t : t + height, m : m + width] for i, t, m in begins])


def _whole_blocks(length: int) -> int:
    """Length of whole blocks that cover ``length`` wherever in the first block it begins."""
    return -(-(length + BLOCK - 1) // BLOCK) * BLOCK


@lru_cache(maxsize=1)
def _dct() -> tuple[Tensor, Tensor]:
    """Orthonormal two-dimensional DCT-II ``(64, 64)``, a pair of frequencies in each row, and their steps."""
    k = torch.arange(BLOCK, dtype=torch.float64)
    basis = torch.cos(math.pi * (2.0 * k[None] + 1.0) * k[:, None] / (2.0 * BLOCK)) / 2.0
    basis[0] /= math.sqrt(2.0)
    rise = (1.0 + k[:, None] + k[None, :]) / 2.0
    return torch.kron(basis, basis).float(), rise.flatten().float()
