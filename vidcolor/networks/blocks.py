"""Parts that several networks are built from."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

_INIT_STD = 0.02


def init_normal(module: nn.Module) -> None:
    """Set weights as the pix2pix papers do: N(0, 0.02) convolutions, N(1, 0.02) BatchNorm, zero biases."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, 0.0, _INIT_STD)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, _INIT_STD)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


class InstanceNorm(nn.InstanceNorm2d):
    """InstanceNorm that learns from a single picture, too.

    For one picture whose gradient comes channels last, torch's own (2.14, on a CPU) takes the numbers of that
    gradient in the wrong order.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, h, w)`` to the same."""
        y = super().forward(input)
        if torch.is_grad_enabled() and len(input) == 1 and y.requires_grad:
            y.register_hook(Tensor.contiguous)  # type: ignore[no-untyped-call]
        return y


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with InstanceNorm around which the input passes (Johnson et al., ECCV 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=False),
            InstanceNorm(channels),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=False),
            InstanceNorm(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(N, channels, h, w)`` to the same; h and w at least 2."""
        y: Tensor = self.layers(x)
        return x + y


def stem(c_in: int, c_out: int) -> nn.Sequential:
    """7×7 convolution with reflected edges, ``(N, c_in, h, w)`` to ``(N, c_out, h, w)``."""
    return nn.Sequential(
        nn.ReflectionPad2d(3), nn.Conv2d(c_in, c_out, 7, bias=False), InstanceNorm(c_out), nn.ReLU()
    )


def down(c_in: int, c_out: int) -> nn.Sequential:
    """``(N, c_in, h, w)`` to ``(N, c_out, h/2, w/2)``."""
    convolution = nn.Conv2d(c_in, c_out, 3, 2, 1, bias=False)
    return nn.Sequential(convolution, InstanceNorm(c_out), nn.ReLU())


def up(c_in: int, c_out: int) -> nn.Sequential:
    """``(N, c_in, h, w)`` to ``(N, c_out, 2h, 2w)``."""
    convolution = nn.ConvTranspose2d(c_in, c_out, 3, 2, 1, output_padding=1, bias=False)
    return nn.Sequential(convolution, InstanceNorm(c_out), nn.ReLU())


def head(c_in: int, c_out: int) -> nn.Sequential:
    """7×7 convolution with reflected edges and no norm, the last of a generator."""
    return nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(c_in, c_out, 7))


def resnet_trunk(c_in: int, filters: int, downs: int, blocks: int) -> nn.Sequential:
    """Stem, ``downs`` halvings, residual blocks and as many doublings, without the last convolution.

    ``(N, c_in, h, w)`` to ``(N, filters, h, w)``; h and w must be multiples of ``2 ** (downs + 1)``, since
    InstanceNorm and reflection need more than one pixel in the smallest map.
    """
    widths = [filters * 2**i for i in range(downs + 1)]
    narrowing = [down(a, b) for a, b in pairwise(widths)]
    widening = [up(a, b) for a, b in pairwise(widths[::-1])]
    middle = [ResidualBlock(widths[-1]) for _ in range(blocks)]
    return nn.Sequential(stem(c_in, filters), *narrowing, *middle, *widening)
