"""Torch, which computes generators anywhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from vidcolor.frames import Floats
from vidcolor.networks.fusing import fuse_activations


def in_torch(network: nn.Module, device: torch.device, precision: str) -> Callable[[Floats], Floats]:
    """A network on its device, L* ``(N, 1, H, W)`` to ab ``(N, 2, H/k, W/k)``; it is changed for that."""
    network.to(device, getattr(torch, precision)).to(memory_format=torch.channels_last)
    if device.type == "cpu":
        fuse_activations(network)

    @torch.inference_mode()
    def run(luminance: Floats) -> Floats:
        moved = torch.from_numpy(luminance).to(device).contiguous(memory_format=torch.channels_last)
        return np.asarray(network(moved).float().cpu().numpy())

    return run
