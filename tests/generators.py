"""One small generator of each architecture, for tests."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from vidcolor.networks.base import ColourNetwork
from vidcolor.networks.cyclegan import CycleGenerator
from vidcolor.networks.encoder_unet import EncoderUNet
from vidcolor.networks.pix2pix import Pix2PixUNet
from vidcolor.networks.pix2pixhd import Pix2PixHD
from vidcolor.networks.unet import LiteUNet

GENERATORS: dict[str, Callable[[], ColourNetwork]] = {
    "lite": lambda: LiteUNet("lite0", (8, 8, 8, 8)),
    "evened lite": lambda: LiteUNet("lite0", (8, 8, 8, 8), 0.6),
    "resnet": lambda: EncoderUNet("resnet18", (8, 8, 8, 8)),
    "mobilenet": lambda: EncoderUNet("mobilenet_v2", (8, 8, 8, 8)),
    "pix2pix": lambda: Pix2PixUNet(4, 5),
    "pix2pixhd": lambda: Pix2PixHD(4, 3, 2),
    "enhanced": lambda: Pix2PixHD(4, 2, 1, enhancer=True),
    "cyclegan": lambda: CycleGenerator(4, 2),
}


def lively(name: str) -> ColourNetwork:
    """A generator in evaluation mode with statistics of some pictures and vivid colours."""
    torch.manual_seed(11)
    network = GENERATORS[name]()
    last = [m for m in network.head.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))][-1]
    nn.init.normal_(last.weight, std=0.1)
    network.train()
    with torch.no_grad():
        network(torch.rand(4, 1, 64, 64) * 100)
    return network.eval()
