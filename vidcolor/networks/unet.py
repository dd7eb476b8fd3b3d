"""U-Nets on a pretrained encoder; the default generator is one of them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidcolor.networks.base import ColourNetwork, bounded_ab
from vidcolor.networks.efficientnet import EfficientNetLite
from vidcolor.networks.exposure import evened


def _fuse(c_in: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True)
    )


class PyramidUNet(ColourNetwork):
    """U-Net (Ronneberger et al., MICCAI 2015) whose contracting path is an encoder that it is given.

    Each step of the expanding path upsamples bilinearly (a transposed convolution would leave a
    checkerboard), joins the encoder's features of that size and fuses both with a 3×3 convolution.
    Chroma is predicted at half the input's size, which is as fine as 4:2:0 holds it.

    Args:
        encoder: L* ``(N, 1, h, w)`` to maps at 1/2, 1/4, 1/8, 1/16 and 1/32.
        channels: those of its maps.
        decoder: channels of the expanding path at 1/16, 1/8, 1/4 and 1/2.
    """

    multiple = 32

    def __init__(
        self, encoder: nn.Module, channels: tuple[int, ...], decoder: tuple[int, int, int, int]
    ) -> None:
        super().__init__()
        self.encoder = encoder
        skips = channels[-2::-1]
        self.bottleneck = nn.Sequential(
            nn.Conv2d(channels[-1], decoder[0], 1, bias=False),
            nn.BatchNorm2d(decoder[0]),
            nn.ReLU(inplace=True),
        )
        widths = (decoder[0], *decoder)
        self.fusions = nn.ModuleList(_fuse(widths[i] + skips[i], widths[i + 1]) for i in range(len(decoder)))
        self.head = nn.Conv2d(decoder[-1], 2, 3, padding=1)
        nn.init.normal_(self.head.weight, std=0.01)

    def forward(self, luminance: Tensor) -> Tensor:
        """ab ``(N, 2, h/2, w/2)`` of L* ``(N, 1, h, w)``; see :class:`ColourNetwork`."""
        return self.decode(self.encoder(luminance))

    def decode(self, features: list[Tensor]) -> Tensor:
        """ab ``(N, 2, h/2, w/2)`` from the encoder's five maps, finest first."""
        x = self.bottleneck(features[-1])
        for fusion, skip in zip(self.fusions, features[-2::-1], strict=True):
            x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = fusion(torch.cat((x, skip), 1))
        return bounded_ab(self.head(x))


class LiteUNet(PyramidUNet):
    """The default generator: a U-Net on an EfficientNet-Lite.

    Args:
        variant: the encoder, see :class:`EfficientNetLite`.
        decoder: see :class:`PyramidUNet`.
        auto_exposure: strength with which exposures are evened out first, 0 to 1
            (:func:`~vidcolor.networks.exposure.evened`).

    Raises:
        ValueError: ``auto_exposure`` is no number from 0 to 1.
    """

    architecture = "lite-unet"
    encoder: EfficientNetLite

    def __init__(
        self,
        variant: str = "lite2",
        decoder: tuple[int, int, int, int] = (192, 128, 64, 48),
        auto_exposure: float = 0.0,
    ) -> None:
        if type(auto_exposure) not in (int, float) or not 0.0 <= auto_exposure <= 1.0:
            raise ValueError(f"auto_exposure must be a number from 0 to 1, not {auto_exposure!r}")
        encoder = EfficientNetLite(variant)
        super().__init__(encoder, encoder.channels, decoder)
        self.config = {"variant": variant, "decoder": list(decoder), "auto_exposure": auto_exposure}
        self._auto_exposure = float(auto_exposure)

    def forward(self, luminance: Tensor) -> Tensor:
        """ab ``(N, 2, h/2, w/2)`` of L* ``(N, 1, h, w)``; see :class:`ColourNetwork`."""
        if self._auto_exposure:
            luminance = evened(luminance, self._auto_exposure)
        return super().forward(luminance)
