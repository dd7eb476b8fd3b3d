"""Builds the networks of a run, and refuses early what does not fit together."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vidcolor.checkpoint import load_generator
from vidcolor.errors import UsageError, WeightsError
from vidcolor.networks.base import ColourNetwork
from vidcolor.networks.cyclegan import CycleGenerator
from vidcolor.networks.discriminators import Projected
from vidcolor.networks.efficientnet import EfficientNetLite
from vidcolor.networks.encoder_unet import ImageNetEncoder
from vidcolor.networks.pix2pixhd import Pix2PixHD
from vidcolor.training.calibration import norms_of
from vidcolor.training.depth import BlockDropout
from vidcolor.training.features import FeatureNetwork, load_features, read_state, torchvision_state
from vidcolor.training.objectives import Objective, Paired, Unpaired
from vidcolor.training.options import TORCHVISION, Files, TrainOptions
from vidcolor.training.precision import training_precision
from vidcolor.training.recipes import RECIPES, Recipe
from vidcolor.training.state import TrainState


def build_state(options: TrainOptions, files: Files, device: torch.device) -> TrainState:
    """Networks as they are before the first step, the same in all processes.

    Raises:
        UsageError: generator arguments, crop or precision that do not fit, options that would do nothing.
        WeightsError: encoder, features or initial weights that do not fit.
    """
    recipe = RECIPES[options.recipe]
    if options.first_share is not None and len(recipe.stages) == 1:
        raise UsageError(f"--first-share: the recipe {options.recipe} has one stage")
    if files.encoder is not None and files.init is not None:
        raise UsageError("--encoder: --init brings its own; name one of them")
    torch.manual_seed(options.seed)
    generator, made = _generator(recipe, options, files)
    features = load_features(files.features) if files.features else None
    channels = None if features is None else features.channels
    networks: dict[str, nn.Module] = {"generator": generator, "adversary": recipe.adversary(channels)}
    if recipe.unpaired:
        networks["greyer"] = type(generator)(**generator.config)
        networks["grey_adversary"] = recipe.adversary(channels)
    if not isinstance(networks["adversary"], Projected):
        _check_size(networks["adversary"], options.crop if recipe.sees == "rgb" else made, options.crop)
    _check_use(options, networks, pretrained=files.encoder is not None or files.init is not None)
    average = copy.deepcopy(generator).eval().requires_grad_(False)
    for network in (*networks.values(), average, *([features] if features is not None else [])):
        network.to(device).to(memory_format=torch.channels_last)
    encoder, dropout = getattr(generator, "encoder", None), None
    if isinstance(encoder, EfficientNetLite) and recipe.block_dropout:
        dropout = BlockDropout(encoder, recipe.block_dropout, options.seed)
    if options.freeze_norm:
        _freeze_norms(networks.values())
    scaled = device.type == "cuda" and training_precision(options.precision, device) == torch.float16
    return TrainState(
        networks=networks,
        average=average,
        features=features,
        pretrained=files.encoder is not None or files.init is not None,
        objective=_objective(networks, features, recipe),
        block_dropout=dropout,
        scaler=torch.amp.GradScaler(device.type, enabled=scaled),
    )


def _check_use(options: TrainOptions, networks: dict[str, nn.Module], *, pretrained: bool) -> None:
    """Refuse what would do nothing."""
    if options.freeze_encoder and not (pretrained and hasattr(networks["generator"], "encoder")):
        raise UsageError(
            "--freeze-encoder: there is no pretrained encoder, from --encoder or --init, to keep"
        )
    if options.freeze_norm and not any(
        isinstance(layer, nn.BatchNorm2d) for network in networks.values() for layer in network.modules()
    ):
        raise UsageError("--freeze-norm: no network of this recipe has BatchNorm")
    if options.recalibrate and not norms_of(networks["generator"]):
        raise UsageError("--recalibrate: this generator has no BatchNorm")


def missing_networks(options: TrainOptions, files: Files) -> list[str]:
    """A line for each pretrained network that the recipe is made for and does not get."""
    lines = []
    if options.recipe in ("default", "resnet") and files.encoder is None and files.init is None:
        lines.append("no --encoder: the generator's encoder learns from nothing, which takes far longer")
    if options.recipe == "default" and files.features is None:
        lines.append("no --features: no perceptual loss, and patches judge instead of pretrained features")
    if options.recipe == "pix2pixhd" and files.features is None:
        lines.append("no --features: no perceptual loss")
    return lines


@torch.no_grad()
def _made_size(generator: ColourNetwork, crop: int) -> int:
    return int(generator.eval()(torch.zeros(1, 1, crop, crop)).shape[-1])


@torch.no_grad()
def _check_size(adversary: nn.Module, side: int, crop: int) -> None:
    """Refuse crops that are too small for the discriminator to look at."""
    try:
        adversary.eval()(torch.zeros(1, 3, side, side))
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"--crop {crop}: too small for the discriminator of this recipe") from error


def _objective(networks: dict[str, nn.Module], features: FeatureNetwork | None, recipe: Recipe) -> Objective:
    if not recipe.unpaired:
        return Paired(networks["generator"], networks["adversary"], features, recipe)
    colourer, greyer = networks["generator"], networks["greyer"]
    assert isinstance(colourer, CycleGenerator) and isinstance(greyer, CycleGenerator)
    return Unpaired(colourer, greyer, networks["adversary"], networks["grey_adversary"], recipe)


def _generator(recipe: Recipe, options: TrainOptions, files: Files) -> tuple[ColourNetwork, int]:
    """The generator, and the side of what it makes of a crop."""
    found = None if files.init is None else load_generator(str(files.init)).network
    _check_arguments(recipe.generator, options.generator)
    try:
        generator = recipe.generator(**_arguments(recipe, options, found))
        whole = options.crop % generator.multiple == 0
        made = _made_size(generator, options.crop) if whole else 0
    except (TypeError, ValueError, LookupError, RuntimeError, ArithmeticError) as error:
        given = ", ".join(f"{k}={v}" for k, v in options.generator.items())
        raise UsageError(f"--generator-option {given}: not for this recipe's generator ({error})") from error
    if not whole:
        larger = -(-options.crop // generator.multiple) * generator.multiple
        fewer = ", or fewer downs by -g" if "downs" in generator.config else ""
        raise UsageError(
            f"--crop {options.crop}: a {_described(generator)} needs a multiple of {generator.multiple}; "
            f"choose --crop {larger}{fewer}"
        )
    if files.encoder is not None:
        _load_encoder(generator, files.encoder)
    if files.init is not None and found is not None:
        _load_initial(generator, found, files.init)
    return generator, made


def _check_arguments(kind: type[ColourNetwork], given: Mapping[str, Any]) -> None:
    """Refuse names that the generator does not know, and switches that are neither true nor false."""
    known = {n: p for n, p in inspect.signature(kind.__init__).parameters.items() if n != "self"}
    for name, value in given.items():
        if name not in known:
            raise UsageError(f"-g {name}: this recipe's generator has {', '.join(known)}")
        if str(known[name].annotation) == "bool" and not isinstance(value, bool):
            raise UsageError(f"-g {name}={value}: true or false")


def _arguments(recipe: Recipe, options: TrainOptions, found: nn.Module | None) -> dict[str, Any]:
    """What the generator's constructor is told; weights to begin with count for more than the recipe."""
    begun = found.config if isinstance(found, recipe.generator) else recipe.arguments
    return {**begun, **options.generator}


def _load_initial(generator: ColourNetwork, found: nn.Module, path: Path) -> None:
    """Begin with weights of the same architecture, or a pix2pixHD with enhancer with a global generator."""
    if type(found) is type(generator) and _shapes(found) == _shapes(generator):
        generator.load_state_dict(found.state_dict())
        return
    same = isinstance(found, Pix2PixHD) and isinstance(generator, Pix2PixHD)
    if same and {**generator.config, "enhancer": False} == found.config:
        generator.get_submodule("trunk").load_state_dict(found.get_submodule("trunk").state_dict())
        return
    raise WeightsError(f"{path}: holds {_described(found)}, the run trains {_described(generator)}")


def _shapes(network: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


def _described(network: nn.Module) -> str:
    config = getattr(network, "config", {})
    return f"{getattr(network, 'architecture', '?')} ({', '.join(f'{k}={v}' for k, v in config.items())})"


def _load_encoder(generator: ColourNetwork, path: Path) -> None:
    encoder = getattr(generator, "encoder", None)
    if not isinstance(encoder, (EfficientNetLite, ImageNetEncoder)):
        raise UsageError(f"--encoder: the {generator.architecture} generator has no pretrained encoder")
    if str(path) != TORCHVISION:
        state = read_state(path)
    elif isinstance(encoder, ImageNetEncoder):
        state = torchvision_state(str(generator.config["encoder"]))
    else:
        raise UsageError(f"--encoder {TORCHVISION}: torchvision has no weights of this encoder; name a file")
    try:
        encoder.load_imagenet(state)
    except ValueError as error:
        raise WeightsError(f"{path}: not ImageNet weights of this encoder ({error})") from error


def _freeze_norms(networks: Iterable[nn.Module]) -> None:
    """BatchNorm layers that stay in evaluation mode whatever is asked of them."""
    for network in networks:
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
                layer.train = lambda mode=True, own=layer: own  # type: ignore[method-assign, misc]
