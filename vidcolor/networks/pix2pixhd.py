"""The generator of pix2pixHD: a global network of residual blocks, and an enhancer for twice the size."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from vidcolor.networks.base import ColourNetwork, bounded_ab, require_between, scale_lightness
from vidcolor.networks.blocks import ResidualBlock, down, head, init_normal, resnet_trunk, stem, up

_ENHANCER_BLOCKS = 3


class Pix2PixHD(ColourNetwork):
    """Wang et al., "High-Resolution Image Synthesis ... with Conditional GANs" (CVPR 2018).

    Without ``enhancer`` this is the global generator alone. With it, the global generator's trunk works
    on the halved picture; its last features are added to those of the enhancer's halving, and residual
    blocks and a doubling follow. The paper trains the first kind, then goes on with the second, whose
    ``trunk`` takes the state of the first's. Chroma comes out at the input's size.

    Args:
        filters: channels of the global generator at full size; doubled at each halving, without a limit.
        downs: halvings of the global generator, 1 to 6.
        blocks: residual blocks of the global generator.
        enhancer: whether there is one.
    """

    architecture = "pix2pixhd"

    def __init__(self, filters: int = 64, downs: int = 4, blocks: int = 9, enhancer: bool = False) -> None:
        super().__init__()
        require_between("filters", filters, 2, 1024)
        require_between("downs", downs, 1, 6)
        require_between("blocks", blocks, 0, 64)
        self.config = {"filters": filters, "downs": downs, "blocks": blocks, "enhancer": enhancer}
        self.multiple = 2 ** (downs + 1) * (2 if enhancer else 1)
        self.trunk = resnet_trunk(1, filters, downs, blocks)
        half = filters // 2
        if enhancer:
            self.enhancer_down = nn.Sequential(stem(1, half), down(half, filters))
            middle = [ResidualBlock(filters) for _ in range(_ENHANCER_BLOCKS)]
            self.enhancer_up = nn.Sequential(*middle, up(filters, half))
        self.head = head(half if enhancer else filters, 2)
        self._enhanced = bool(enhancer)
        init_normal(self)

    def forward(self, luminance: Tensor) -> Tensor:
        """ab ``(N, 2, h, w)`` of L* ``(N, 1, h, w)``; see :class:`ColourNetwork`."""
        x = scale_lightness(luminance).to(next(self.parameters()).dtype)
        if not self._enhanced:
            return bounded_ab(self.head(self.trunk(x)))
        halved = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)  # (N, 1, h, w) to (N, 1, h/2, w/2)
        features = self.enhancer_down(x) + self.trunk(halved)
        return bounded_ab(self.head(self.enhancer_up(features)))
