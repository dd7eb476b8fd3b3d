"""Small networks with random weights in place of those that judge, saved as a user would have them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

CHANNELS = 6


class TinyInception(nn.Module):
    """Pictures ``(N, 3, 299, 299)`` to ``(N, 6, 1, 1)``, as the real one gives 2048."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, CHANNELS, 23, stride=23)

    def forward(self, x: Tensor) -> Tensor:
        """Mean of a nonlinear function of patches."""
        return torch.relu(self.layer(x)).mean((2, 3), keepdim=True)


def save_judges(folder: Path, *, inception: bool = True, alexnet: bool = True) -> Path:
    """Write ``inception.pt`` (TorchScript) and ``alexnet.pth`` (state dict) into ``folder``."""
    from torchvision.models import alexnet as build

    folder.mkdir(exist_ok=True)
    torch.manual_seed(5)
    if inception:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r".*torch\.jit\..*deprecated")
            torch.jit.save(torch.jit.script(TinyInception()), folder / "inception.pt")
    if alexnet:
        torch.manual_seed(6)
        state = {f"features.{key}": value for key, value in build(weights=None).features.state_dict().items()}
        torch.save({**state, "classifier.1.bias": torch.zeros(1)}, folder / "alexnet.pth")
    return folder


def photo(seed: int, height: int = 60, width: int = 80) -> NDArray[np.uint8]:
    """Soft blobs of colour, R'G'B' ``(h, w, 3)``."""
    coarse = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(seed))
    rgb = nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return (rgb[0] * 255).byte().permute(1, 2, 0).numpy().copy()


def save_photos(folder: Path, count: int) -> Path:
    """Write ``count`` PNGs of different widths, named by their number."""
    folder.mkdir(exist_ok=True)
    for index in range(count):
        Image.fromarray(photo(index, width=80 + 10 * (index % 3))).save(folder / f"{index}.png")
    return folder
