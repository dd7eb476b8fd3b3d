"""What time and cheap equipment do to luma, so that the generator learns to see through it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_BLOCK = 8


def degrade(y: Tensor, generator: torch.Generator) -> Tensor:
    """Degrade luma ``(N, 1, h, w)``, 0..1, each picture differently: tone, blur, grain, compression.

    Each of the four strikes with probability one half, so that one picture in sixteen stays clean.
    """
    y = _tone(y, generator)
    y = torch.where(_chance(y, generator), _blur(y, generator), y)
    y = torch.where(_chance(y, generator), _grain(y, generator), y)
    y = torch.where(_chance(y, generator), _compress(y, generator), y)
    return y.clamp(0.0, 1.0)


def _uniform(y: Tensor, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand((y.shape[0], 1, 1, 1), generator=generator).to(y.device)


def _chance(y: Tensor, generator: torch.Generator) -> Tensor:
    return _uniform(y, 0.0, 1.0, generator) < 0.5


def _tone(y: Tensor, generator: torch.Generator) -> Tensor:
    """Gamma of 0.7 to 1.4, then fading: black raised by up to 0.1, white lowered by up to 0.15."""
    gamma = torch.exp(_uniform(y, math.log(0.7), math.log(1.4), generator))
    black, white = _uniform(y, 0.0, 0.1, generator), _uniform(y, 0.85, 1.0, generator)
    toned = black + (white - black) * y.clamp_min(1e-4) ** gamma
    return torch.where(_chance(y, generator), toned, y)


def _blur(y: Tensor, generator: torch.Generator) -> Tensor:
    """Gaussian blur; one sigma (0.4 to 1.5 px) a batch, as it sets the kernel."""
    sigma = 0.4 + 1.1 * float(torch.rand((), generator=generator))
    at = torch.arange(-4, 5, dtype=y.dtype, device=y.device)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(y, (4, 4, 4, 4), mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))


def _grain(y: Tensor, generator: torch.Generator) -> Tensor:
    """Film grain: normal noise (sigma 0.01 to 0.08), softened to a grain of one to two pixels."""
    noise = torch.randn(y.shape, generator=generator).to(y.device)
    soft = F.avg_pool2d(noise, 3, 1, 1) * 2.0
    share = _uniform(y, 0.0, 1.0, generator)
    return y + _uniform(y, 0.01, 0.08, generator) * (share * soft + (1.0 - share) * noise)


def _compress(y: Tensor, generator: torch.Generator) -> Tensor:
    """Quantise the 8×8 DCT with steps that rise with frequency, as JPEG and MPEG do."""
    height, width = y.shape[-2] // _BLOCK * _BLOCK, y.shape[-1] // _BLOCK * _BLOCK
    k = torch.arange(_BLOCK, dtype=y.dtype, device=y.device)
    basis = torch.cos(math.pi * (2.0 * k[None] + 1.0) * k[:, None] / (2.0 * _BLOCK)) / 2.0
    basis[0] /= math.sqrt(2.0)
    blocks = y[..., :height, :width].unfold(2, _BLOCK, _BLOCK).unfold(3, _BLOCK, _BLOCK)
    spectrum = basis @ blocks @ basis.T
    step = _uniform(y, 0.01, 0.06, generator)[..., None, None] * (1.0 + k[None] + k[:, None]) / 2.0
    restored = basis.T @ (torch.round(spectrum / step) * step) @ basis
    out = y.clone()
    out[..., :height, :width] = restored.permute(0, 1, 2, 4, 3, 5).reshape(*y.shape[:2], height, width)
    return out
