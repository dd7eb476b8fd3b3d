"""The generator of pix2pix: a U-Net of strided convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidcolor.networks.base import ColourNetwork, bounded_ab, require_between, scale_lightness
from vidcolor.networks.blocks import init_normal

_WIDEST = 8
_DROPPED = 3


class Pix2PixUNet(ColourNetwork):
    """U-Net of Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks" (CVPR 2017).

    4×4 convolutions halve the size ``downs`` times and transposed ones double it again, each joined
    with the map of its size on the way down. Chroma comes out at the input's size.

    Args:
        filters: channels of the first layer; each next has twice as many, at most eightfold.
        downs: halvings, 2 to 10; 8 for pictures of 256 px, 7 for 128 px.
        dropout: share of values dropped in the three innermost layers on the way up, in training only.
    """

    architecture = "pix2pix-unet"

    def __init__(self, filters: int = 64, downs: int = 8, dropout: float = 0.5) -> None:
        super().__init__()
        require_between("filters", filters, 1, 1024)
        require_between("downs", downs, 2, 10)
        self.config = {"filters": filters, "downs": downs, "dropout": dropout}
        self.multiple = 2**downs
        widths = [filters * min(2**i, _WIDEST) for i in range(downs)]
        self.down = nn.ModuleList([nn.Sequential(nn.Conv2d(1, filters, 4, 2, 1))])
        for index in range(1, downs):
            self.down.append(_down(widths[index - 1], widths[index], norm=index + 1 < downs))
        self.up = nn.ModuleList()
        for index in range(downs - 1, 0, -1):
            innermost = index == downs - 1
            drop = dropout if downs - 1 - index < _DROPPED else 0.0
            self.up.append(_up(widths[index] * (1 if innermost else 2), widths[index - 1], drop))
        self.head = nn.ConvTranspose2d(2 * filters, 2, 4, 2, 1)
        init_normal(self)

    def forward(self, luminance: Tensor) -> Tensor:
        """ab ``(N, 2, h, w)`` of L* ``(N, 1, h, w)``; see :class:`ColourNetwork`."""
        x = scale_lightness(luminance).to(self.head.weight.dtype)
        maps = []
        for down in self.down:
            x = down(x)
            maps.append(x)
        x = maps.pop()
        for up, skip in zip(self.up, maps[::-1], strict=True):
            x = torch.cat((up(x), skip), 1)
        return bounded_ab(self.head(torch.relu(x)))


def _down(c_in: int, c_out: int, *, norm: bool) -> nn.Sequential:
    layers = [nn.LeakyReLU(0.2), nn.Conv2d(c_in, c_out, 4, 2, 1, bias=not norm)]
    return nn.Sequential(*layers, *([nn.BatchNorm2d(c_out)] if norm else []))


def _up(c_in: int, c_out: int, dropout: float) -> nn.Sequential:
    convolution = nn.ConvTranspose2d(c_in, c_out, 4, 2, 1, bias=False)
    return nn.Sequential(nn.ReLU(), convolution, nn.BatchNorm2d(c_out), nn.Dropout(dropout))
