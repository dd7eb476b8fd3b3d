"""A fixed set of pictures on which a run is judged while it goes on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vidcolor.colorspace import ab_from_rgb, lightness_from_luma, luma_from_rgb
from vidcolor.matrices import BT709
from vidcolor.networks.base import ColourNetwork
from vidcolor.training.batches import picture_of
from vidcolor.training.data import PhotoSet
from vidcolor.training.features import FeatureNetwork
from vidcolor.training.losses import perceptual_loss

_BATCH = 8
_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Means over the fixed pictures; a quick look that ``vidcolor-eval`` does not replace.

    Attributes:
        psnr, grey_psnr: of R'G'B' in dB, of the coloured and of the grey pictures.
        ab_error: mean distance in the ab plane, Lab units.
        colourfulness: mean chroma relative to the truth's.
        perceptual: distance of features, see :func:`.losses.perceptual_loss`; None without a network.
    """

    psnr: float
    grey_psnr: float
    ab_error: float
    colourfulness: float
    perceptual: float | None

    @property
    def score(self) -> float:
        """What ``--keep best`` keeps the lowest of."""
        return self.ab_error if self.perceptual is None else self.perceptual


def fixed_pictures(photos: PhotoSet, count: int, size: int) -> Tensor:
    """Central squares of ``count`` evenly spread photographs, ``(N, 3, size, size)``, 0..1, on the CPU."""
    squares = [torch.empty((0, 3, size, size), dtype=torch.uint8)]
    for index in np.unique(np.linspace(0, len(photos) - 1, min(count, len(photos))).astype(int)).tolist():
        picture = np.array(photos.picture(index))
        side = min(picture.shape[:2])
        top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
        square = torch.from_numpy(picture[top : top + side, left : left + side]).permute(2, 0, 1)[None]
        squares.append(F.interpolate(square, size=(size, size), mode="bilinear", antialias=True))
    return torch.cat(squares).float() / 255.0


@torch.inference_mode()
def validate(
    network: ColourNetwork, features: FeatureNetwork | None, pictures: Tensor, device: torch.device
) -> tuple[Validation, NDArray[np.uint8]]:
    """Judge a generator in evaluation mode on R'G'B' ``(N, 3, h, w)``.

    Returns:
        The numbers, and a picture ``(H, W, 3)``: rows of grey, made and true, a column for each of the
        first eight.
    """
    rows: list[Tensor] = []
    shown: list[Tensor] = []
    for rgb in torch.split(pictures, _BATCH):
        rgb = rgb.to(device)
        lightness, true_ab = lightness_from_luma(luma_from_rgb(rgb, BT709)), ab_from_rgb(rgb)
        ab = F.interpolate(network(lightness).float(), size=rgb.shape[-2:], mode="bilinear")
        made, grey = picture_of(lightness, ab), picture_of(lightness, torch.zeros_like(ab))
        distance = torch.zeros(len(rgb))
        if features is not None:
            whole = perceptual_loss(features(rgb), features(made))
            distance = whole.expand(len(rgb)).cpu()
        rows.append(
            torch.stack(
                (
                    _psnr(made, rgb),
                    _psnr(grey, rgb),
                    (ab - true_ab).norm(dim=1).mean((1, 2)).cpu(),
                    ab.norm(dim=1).mean((1, 2)).cpu(),
                    true_ab.norm(dim=1).mean((1, 2)).cpu(),
                    distance,
                ),
                1,
            )
        )
        shown += [torch.cat(triple, 1) for triple in zip(grey, made, rgb, strict=True)]
    psnr, grey_psnr, error, chroma, true_chroma, distance_mean = torch.cat(rows).mean(0).tolist()
    result = Validation(
        psnr=psnr,
        grey_psnr=grey_psnr,
        ab_error=error,
        colourfulness=chroma / max(true_chroma, 1e-6),
        perceptual=None if features is None else distance_mean,
    )
    grid = torch.cat(shown[:_SHOWN], 2).permute(1, 2, 0)  # (3, H, W) to (H, W, 3)
    return result, (grid.clamp(0, 1) * 255.0).round().byte().cpu().numpy()


def _psnr(one: Tensor, other: Tensor) -> Tensor:
    error = (one - other).square().mean((1, 2, 3)).clamp_min(1e-10)
    return (-10.0 / math.log(10.0) * error.log()).cpu()
