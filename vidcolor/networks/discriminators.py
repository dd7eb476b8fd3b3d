"""Discriminators: networks that tell true pictures from generated ones, patch by patch.

Each gives, for each of its scales, a list of feature maps, finest first, whose last is the logits
``(N, 1, h', w')``: GAN losses read the last of each list, feature matching those before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from vidcolor.networks.blocks import InstanceNorm, init_normal

_SLOPE = 0.2
_WIDEST = 8
_NORMS = ("batch", "instance", "spectral")


class PatchGAN(nn.Module):
    """The patch discriminator of pix2pix (Isola et al., CVPR 2017): each logit sees 70×70 pixels.

    Args:
        in_channels: those of the picture, 3 for L* and ab.
        filters: channels of the first layer; each layer after it has twice as many, at most eightfold.
        n_layers: layers that halve the size; 3 see 70 pixels, 2 see 34, 4 see 142.
        norm: ``batch``, ``instance``, or ``spectral`` (of the weights; Miyato et al., ICLR 2018).
    """

    def __init__(
        self, in_channels: int = 3, filters: int = 64, n_layers: int = 3, norm: str = "batch"
    ) -> None:
        super().__init__()
        if norm not in _NORMS:
            raise ValueError(f"norm {norm!r}: one of {', '.join(_NORMS)}")
        widths = [filters * min(2**i, _WIDEST) for i in range(n_layers + 1)]
        self.layers = nn.ModuleList(
            [_layer(in_channels, widths[0], 2, "spectral" if norm == "spectral" else "none")]
        )
        for index in range(n_layers):
            stride = 2 if index + 1 < n_layers else 1
            self.layers.append(_layer(widths[index], widths[index + 1], stride, norm))
        self.layers.append(_convolution(widths[-1], 1, 4, 1, spectral=norm == "spectral"))

    def forward(self, picture: Tensor) -> list[list[Tensor]]:
        """One list of maps of ``(N, in_channels, h, w)``, ±1 (Lab) or 0..1 (R'G'B'), the logits last."""
        return [_all_maps(self.layers, picture)]


class MultiScale(nn.Module):
    """PatchGANs that look at a picture and at halves of it (Wang et al., "pix2pixHD", CVPR 2018).

    Args:
        scales: number of PatchGANs; each next one sees the picture at half the size of the one before.
        in_channels, filters, n_layers, norm: see :class:`PatchGAN`.
    """

    def __init__(
        self,
        scales: int = 3,
        in_channels: int = 3,
        filters: int = 64,
        n_layers: int = 3,
        norm: str = "instance",
    ) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchGAN(in_channels, filters, n_layers, norm) for _ in range(scales))

    def forward(self, picture: Tensor) -> list[list[Tensor]]:
        """A list of maps for each scale of ``(N, in_channels, h, w)``, full size first."""
        maps = []
        for index, scale in enumerate(self.scales):
            if index:
                picture = F.avg_pool2d(picture, 3, 2, 1, count_include_pad=False)
            maps += scale(picture)
        return maps


class Projected(nn.Module):
    """Heads on the features of a pretrained network (Sauer et al., "Projected GANs", NeurIPS 2021).

    The network's maps, all but the finest, are mixed across channels by fixed random 1×1 convolutions,
    and across scales, from coarse to fine, by fixed random 3×3 ones; a small head judges each of them.
    Only the heads learn. Adapted: the caller runs the frozen network, which serves the perceptual loss
    too, and all mixed maps are equally wide.

    Args:
        channels: of the network's maps, finest first, each half the size of the one before.
        width: channels of the mixed maps.
    """

    def __init__(self, channels: Sequence[int], width: int = 64) -> None:
        super().__init__()
        mixed = channels[1:]
        self.across_channels = nn.ModuleList(nn.Conv2d(c, width, 1) for c in mixed)
        self.across_scales = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in mixed)
        for convolution in (*self.across_channels, *self.across_scales):
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="linear")
            nn.init.zeros_(convolution.bias)
        downs = range(len(mixed) - 1, -1, -1)  # all heads end at the coarsest map's size
        self.heads = nn.ModuleList(_head(width, count) for count in downs)
        for frozen in (self.across_channels, self.across_scales):
            frozen.requires_grad_(False)

    def requires_grad_(self, requires_grad: bool = True) -> Projected:
        """Let gradients into the heads or not; all else stays frozen."""
        self.heads.requires_grad_(requires_grad)
        return self

    def forward(self, features: Sequence[Tensor]) -> list[list[Tensor]]:
        """A list of maps for each of the network's maps ``(N, C, h, w)`` but the finest, finest first."""
        mixed = [mix(f) for mix, f in zip(self.across_channels, features[1:], strict=True)]
        for index in range(len(mixed) - 1, -1, -1):
            if index + 1 < len(mixed):
                size = mixed[index].shape[-2:]
                coarser = F.interpolate(mixed[index + 1], size=size, mode="bilinear", align_corners=False)
                mixed[index] = mixed[index] + coarser
            mixed[index] = self.across_scales[index](mixed[index])
        return [_all_maps(head.children(), m) for head, m in zip(self.heads, mixed, strict=True)]


def _convolution(
    c_in: int, c_out: int, kernel: int, stride: int, *, spectral: bool, bias: bool = True
) -> nn.Module:
    convolution = nn.Conv2d(c_in, c_out, kernel, stride, padding=1, bias=bias)
    init_normal(convolution)
    return spectral_norm(convolution) if spectral else convolution


def _layer(c_in: int, c_out: int, stride: int, norm: str) -> nn.Sequential:
    """4×4 convolution, norm and LeakyReLU."""
    normed = norm in ("batch", "instance")
    layers = [_convolution(c_in, c_out, 4, stride, spectral=norm == "spectral", bias=not normed)]
    if normed:
        layers.append(nn.BatchNorm2d(c_out) if norm == "batch" else InstanceNorm(c_out))
        init_normal(layers[-1])
    return nn.Sequential(*layers, nn.LeakyReLU(_SLOPE, inplace=True))


def _head(width: int, downs: int) -> nn.ModuleList:
    """``downs`` halvings and one logit, all with spectral norm."""
    layers: list[nn.Module] = [_layer(width, width, 2, "spectral") for _ in range(downs)]
    return nn.ModuleList([*layers, _convolution(width, 1, 3, 1, spectral=True)])


def _all_maps(layers: Iterable[nn.Module], x: Tensor) -> list[Tensor]:
    maps = []
    for layer in layers:
        x = layer(x)
        maps.append(x)
    return maps
