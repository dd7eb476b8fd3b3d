"""The default generator: a U-Net on a pretrained EfficientNet-Lite encoder."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidcolor.networks.efficientnet import EfficientNetLite

_AB_SCALE = 110.0


def _fuse(c_in: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True)
    )


class LiteUNet(nn.Module):
    """U-Net (Ronneberger et al., MICCAI 2015) whose contracting path is an EfficientNet-Lite.

    Each step of the expanding path upsamples bilinearly (a transposed convolution would leave a
    checkerboard), joins the encoder's features of that size and fuses both with a 3×3 convolution.
    Chroma is predicted at half the input's size, which is as fine as 4:2:0 holds it.

    Args:
        variant: the encoder, see :class:`EfficientNetLite`.
        decoder: channels of the expanding path at 1/16, 1/8, 1/4 and 1/2.
    """

    multiple = 32
    """Height and width of the input must be multiples of this."""

    def __init__(
        self, variant: str = "lite2", decoder: tuple[int, int, int, int] = (192, 128, 64, 48)
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {"variant": variant, "decoder": list(decoder)}
        self.encoder = EfficientNetLite(variant)
        skips = self.encoder.channels[-2::-1]
        deepest = self.encoder.channels[-1]
        self.bottleneck = nn.Sequential(
            nn.Conv2d(deepest, decoder[0], 1, bias=False), nn.BatchNorm2d(decoder[0]), nn.ReLU(inplace=True)
        )
        widths = (decoder[0], *decoder)
        self.fusions = nn.ModuleList(_fuse(widths[i] + skips[i], widths[i + 1]) for i in range(len(decoder)))
        self.head = nn.Conv2d(decoder[-1], 2, 3, padding=1)
        nn.init.normal_(self.head.weight, std=0.01)

    def forward(self, luminance: Tensor) -> Tensor:
        """Predict chroma.

        Args:
            luminance: L* of the grey picture, ``(N, 1, h, w)``, 0..100, h and w multiples of 32.

        Returns:
            CIELAB ab, ``(N, 2, h/2, w/2)``, in Lab units within ±110.
        """
        return self.decode(self.encoder(luminance))

    def decode(self, features: list[Tensor]) -> Tensor:
        """ab ``(N, 2, h/2, w/2)`` from the encoder's five maps, finest first."""
        x = self.bottleneck(features[-1])
        for fusion, skip in zip(self.fusions, features[-2::-1], strict=True):
            x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = fusion(torch.cat((x, skip), 1))
        return torch.tanh(self.head(x).float()) * _AB_SCALE
