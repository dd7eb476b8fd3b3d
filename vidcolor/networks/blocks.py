"""Parts that several networks are built from."""

from __future__ import annotations

from torch import nn

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
