"""The generator of CycleGAN, which translates between grey and colour pictures without pairs."""

from __future__ import annotations

import torch
from torch import Tensor

from vidcolor.networks.base import AB_SCALE, ColourNetwork, require_between, scale_lab
from vidcolor.networks.blocks import head, init_normal, resnet_trunk

_DOWNS = 2


class CycleGenerator(ColourNetwork):
    """Zhu et al., "Unpaired ... Translation using Cycle-Consistent Adversarial Networks" (ICCV 2017).

    :meth:`translate` takes and gives pictures, as the cycle needs it, and serves both directions. As a
    colorizer the network is asked for the grey picture's translation, of which only ab is taken.

    Args:
        filters: channels at full size, doubled at each of the two halvings.
        blocks: residual blocks: 6 for pictures of 128 px, 9 for larger ones.
    """

    architecture = "cyclegan"
    multiple = 2 ** (_DOWNS + 1)

    def __init__(self, filters: int = 64, blocks: int = 9) -> None:
        super().__init__()
        require_between("filters", filters, 1, 1024)
        require_between("blocks", blocks, 0, 64)
        self.config = {"filters": filters, "blocks": blocks}
        self.trunk = resnet_trunk(3, filters, _DOWNS, blocks)
        self.head = head(filters, 3)
        init_normal(self)

    def forward(self, luminance: Tensor) -> Tensor:
        """ab ``(N, 2, h, w)`` of L* ``(N, 1, h, w)``; see :class:`ColourNetwork`."""
        grey = luminance.new_zeros(len(luminance), 2, *luminance.shape[-2:])
        return self.translate(scale_lab(luminance, grey))[:, 1:] * AB_SCALE

    def translate(self, lab: Tensor) -> Tensor:
        """Scaled Lab ``(N, 3, h, w)`` in ±1 (see :func:`scale_lab`) to the same, float32."""
        x = lab.to(next(self.parameters()).dtype)
        return torch.tanh(self.head(self.trunk(x)).float())
