"""U-Nets on a pretrained encoder; the default generator is one of them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidcolor.networks.base import ColourNetwork, bounded_ab, require_share
from vidcolor.networks.efficientnet import EfficientNetLite
from vidcolor.networks.exposure import evened
from vidcolor.networks.guesses import without_cyan, without_violet


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
        less_violet: strength with which weak violet is taken back where the picture is dark, 0 to 1; while
            training it stays (:func:`~vidcolor.networks.guesses.without_violet`).
        less_cyan: likewise of weak cyan amid other colours (:func:`~vidcolor.networks.guesses.without_cyan`).

    Raises:
        ValueError: ``auto_exposure``, ``less_violet`` or ``less_cyan`` is no number from 0 to 1.
    """

    architecture = "lite-unet"
    encoder: EfficientNetLite

    def __init__(
        self,
        variant: str = "lite2",
        decoder: tuple[int, int, int, int] = (192, 128, 64, 48),
        auto_exposure: float = 0.0,
        less_violet: float = 0.0,
        less_cyan: float = 0.0,
    ) -> None:
        require_share("auto_exposure", auto_exposure)
        require_share("less_violet", less_violet)
        require_share("less_cyan", less_cyan)
        encoder = EfficientNetLite(variant)
        super().__init__(encoder, encoder.channels, decoder)
        self.config = {
            "variant": variant,
            "decoder": list(decoder),
            "auto_exposure": auto_exposure,
            "less_violet": less_violet,
            "less_cyan": less_cyan,
        }
        self._auto_exposure = float(auto_exposure)
        self._less_violet = float(less_violet)
        self._less_cyan = float(less_cyan)

    def forward(self, luminance: Tensor) -> Tensor:
        """ab ``(N, 2, h/2, w/2)`` of L* ``(N, 1, h, w)``; see :class:`ColourNetwork`."""
        seen = evened(luminance, self._auto_exposure) if self._auto_exposure else luminance
        ab = super().forward(seen)
        if self._less_violet and not self.training:
            ab = without_violet(ab, luminance, self._less_violet)
        if self._less_cyan and not self.training:
            ab = without_cyan(ab, self._less_cyan)
        return ab
