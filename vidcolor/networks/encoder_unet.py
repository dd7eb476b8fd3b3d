"""The generator of the two-stage recipe: a U-Net on one of torchvision's ImageNet encoders."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vidcolor.networks.unet import PyramidUNet

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of R'G'B' in 0..1, by which torchvision's weights want it normalised."""


@dataclass(frozen=True, kw_only=True)
class _Recipe:
    """How a torchvision classifier is cut: the children of ``within`` that end at each size."""

    within: str
    stages: tuple[tuple[str, ...], ...]
    channels: tuple[int, ...]


_RESNET = _Recipe(
    within="",
    stages=(("conv1", "bn1", "relu"), ("maxpool", "layer1"), ("layer2",), ("layer3",), ("layer4",)),
    channels=(64, 64, 128, 256, 512),
)
_MOBILENET = _Recipe(
    within="features",
    stages=tuple(
        tuple(map(str, range(first, end))) for first, end in ((0, 2), (2, 4), (4, 7), (7, 14), (14, 18))
    ),
    channels=(16, 24, 32, 96, 320),
)
_RECIPES = {"resnet18": _RESNET, "resnet34": _RESNET, "mobilenet_v2": _MOBILENET}


class ImageNetEncoder(nn.Module):
    """Feature pyramid of a torchvision classifier (He et al., CVPR 2016; Sandler et al., CVPR 2018).

    Args:
        name: ``resnet18``, ``resnet34`` or ``mobilenet_v2``.

    Attributes:
        channels: channels of the five outputs, at 1/2, 1/4, 1/8, 1/16 and 1/32 of the input's size.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        import torchvision.models  # slow, and needed by this network alone

        recipe = _RECIPES[name]
        whole = getattr(torchvision.models, name)(weights=None).get_submodule(recipe.within)
        children = dict(whole.named_children())
        self.stages = nn.ModuleList(
            nn.Sequential(OrderedDict((n, children[n]) for n in names)) for names in recipe.stages
        )
        self.channels = recipe.channels
        self._prefix = f"{recipe.within}." if recipe.within else ""

    def forward(self, luminance: Tensor) -> list[Tensor]:
        """Five maps, finest first (see ``channels``), of L* ``(N, 1, h, w)`` in 0..100.

        L*/100 stands in for the coded grey value of all three channels; they are normalised apart and
        not folded into the stem, since zero padding has to mean the mean colour.
        """
        grey = luminance / 100.0
        x = torch.cat([(grey - m) / s for m, s in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)], 1)
        x = x.to(next(self.parameters()).dtype)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features

    def load_imagenet(self, state: Mapping[str, Tensor]) -> None:
        """Take torchvision's ImageNet weights; its classifier is not needed.

        Raises:
            ValueError: a tensor is missing or has another shape: the weights are another encoder's.
        """
        own = self.state_dict()
        for name in own:
            theirs = self._prefix + name.split(".", 2)[2]  # ours is "stages.N." and the name over there
            if theirs not in state:
                if name.endswith("num_batches_tracked"):
                    continue  # older files have none
                raise ValueError(f"{theirs} is not in the weights")
            if own[name].shape != state[theirs].shape:
                shapes = f"{tuple(own[name].shape)} here, {tuple(state[theirs].shape)} in the weights"
                raise ValueError(f"{theirs}: {shapes}")
            own[name] = state[theirs].to(own[name].dtype)
        self.load_state_dict(own)


class EncoderUNet(PyramidUNet):
    """A U-Net on a torchvision encoder, as popular two-stage pix2pix colorizers have.

    Args:
        encoder: see :class:`ImageNetEncoder`.
        decoder: see :class:`PyramidUNet`.
    """

    architecture = "encoder-unet"
    encoder: ImageNetEncoder

    def __init__(
        self, encoder: str = "resnet18", decoder: tuple[int, int, int, int] = (256, 128, 64, 48)
    ) -> None:
        body = ImageNetEncoder(encoder)
        super().__init__(body, body.channels, decoder)
        self.config = {"encoder": encoder, "decoder": list(decoder)}
