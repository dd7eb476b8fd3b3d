"""Networks whose features tell what a picture shows, for the perceptual loss and the projected adversary."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from vidcolor.errors import WeightsError, first_line
from vidcolor.networks.efficientnet import EfficientNetLite
from vidcolor.networks.encoder_unet import IMAGENET_MEAN, IMAGENET_STD

_VGG_TAPS = (3, 8, 15, 22, 29)  # relu1_2 … relu5_3 of VGG-16


def read_state(path: Path) -> dict[str, Tensor]:
    """A state dict (``.pth``) without running code that it may hold.

    Raises:
        WeightsError: unreadable, no plain state dict, or with values that are no numbers.
    """
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:  # torch advises to run what the file holds
        raise WeightsError(f"{path}: damaged, or holds more than tensors: a state dict is needed") from error
    except Exception as error:  # torch raises what it likes on damaged files
        raise WeightsError(f"{path}: not readable as a state dict ({first_line(error)})") from error
    plain = isinstance(state, Mapping) and all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()
    )
    if not plain:
        raise WeightsError(f"{path}: not a plain state dict of tensors")
    if not all(bool(value.isfinite().all()) for value in state.values()):
        raise WeightsError(f"{path}: some of its weights are no numbers (NaN or infinite)")
    return dict(state)


def torchvision_state(name: str) -> dict[str, Tensor]:
    """ImageNet weights of a torchvision classifier, downloaded to torch's cache where they are not there.

    Raises:
        WeightsError: they cannot be had.
    """
    from torchvision.models import get_model_weights

    try:
        weights = next(iter(get_model_weights(name)))
        state: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError(
            f"torchvision's weights of {name} cannot be had ({first_line(error)}); name a file with --encoder"
        ) from error
    return state


class Vgg16Features(nn.Module):
    """Maps after the last ReLU of each block of VGG-16 (Simonyan and Zisserman, ICLR 2015)."""

    channels = (64, 128, 256, 512, 512)

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import vgg16

        self.layers = vgg16(weights=None).features[: _VGG_TAPS[-1] + 1]
        for layer in self.layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, picture: Tensor) -> list[Tensor]:
        """Five maps of R'G'B' ``(N, 3, h, w)`` in 0..1, finest first."""
        x, maps = (picture - self.mean) / self.std, []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in _VGG_TAPS:
                maps.append(x)
        return maps


FeatureNetwork = EfficientNetLite | Vgg16Features


def load_features(path: Path) -> FeatureNetwork:
    """A frozen feature network of R'G'B' ``(N, 3, h, w)`` in 0..1, its kind told by the file's tensors.

    Args:
        path: ImageNet state dict of EfficientNet-Lite0, 1 or 2, or of torchvision's VGG-16.

    Raises:
        WeightsError: unreadable, or of none of these.
    """
    state = read_state(path)
    network: FeatureNetwork
    if "features.0.weight" in state:
        network = vgg = Vgg16Features()
        wanted = {k.removeprefix("features."): v for k, v in state.items() if k.startswith("features.")}
        try:
            vgg.layers.load_state_dict(
                {k: v for k, v in wanted.items() if int(k.split(".")[0]) <= _VGG_TAPS[-1]}
            )
        except (RuntimeError, ValueError) as error:
            raise WeightsError(f"{path}: not weights of VGG-16 ({first_line(error)})") from error
    else:
        network = _efficientnet_of(state, path)
    network.eval().requires_grad_(False)
    return network


def _efficientnet_of(state: Mapping[str, Tensor], path: Path) -> EfficientNetLite:
    """The EfficientNet-Lite of R'G'B' that ``state`` fits.

    Raises:
        WeightsError: it fits none of the variants.
    """
    for variant in ("lite2", "lite1", "lite0"):
        network = EfficientNetLite(variant, in_channels=3)
        try:
            network.load_imagenet(state)
        except ValueError:
            continue
        return network
    raise WeightsError(f"{path}: ImageNet weights of EfficientNet-Lite0, 1, 2 or VGG-16 are needed")
