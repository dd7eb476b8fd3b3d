"""BatchNorm statistics taken anew, from pictures as they are going to be coloured.

In training they follow damaged pictures, title cards and weights that still change; where weights are a mean
of several runs they fit none of them (Izmailov et al., "Averaging Weights Leads to Wider Optima and Better
Generalization", UAI 2018; Wu and Johnson, "Rethinking 'Batch' in BatchNorm", 2021).
"""

from __future__ import annotations

import math

import torch
from torch import nn

from vidcolor.colorspace import lightness_from_luma, luma_from_rgb
from vidcolor.matrices import BT709
from vidcolor.networks.base import ColourNetwork
from vidcolor.training.data import PhotoSet
from vidcolor.training.sampling import sample_batch

_BATCH = 16
_SEED_OFFSET = 4_000_000_000


def norms_of(network: nn.Module) -> list[nn.BatchNorm2d]:
    """The BatchNorm layers of a generator, those of an encoder excepted."""
    kept = set(getattr(network, "encoder", nn.Module()).modules())
    return [m for m in network.modules() if isinstance(m, nn.BatchNorm2d) and m not in kept]


@torch.no_grad()
def recalibrate(network: ColourNetwork, photos: PhotoSet, count: int, *, crop: int, seed: int) -> None:
    """Take mean and variance of each BatchNorm layer anew, in place; those of an encoder stay.

    They become the means over batches of 16 undamaged crops.

    Args:
        network: a generator, on its device; it is left in the modes that it was in.
        photos: where the crops come from.
        count: how many crops, rounded up to whole batches.
        crop: their side, pixels.
        seed: of their choice.
    """
    layers = norms_of(network)
    before = [(layer.training, layer.momentum) for layer in layers]
    device = next(network.parameters()).device
    for layer in layers:
        layer.reset_running_stats()
        layer.training, layer.momentum = True, None  # no momentum: a plain mean
    try:
        for step in range(math.ceil(count / _BATCH)):
            rgb = sample_batch(photos, step=step, size=_BATCH, crop=crop, seed=seed + _SEED_OFFSET)
            network(lightness_from_luma(luma_from_rgb(rgb.to(device), BT709)))
    finally:
        for layer, (training, momentum) in zip(layers, before, strict=True):
            layer.training, layer.momentum = training, momentum
