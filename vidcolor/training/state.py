"""The state of a run: networks, optimisers, counters; how it begins, is saved and goes on."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vidcolor.checkpoint import load_generator
from vidcolor.errors import OutputError, ResumeMismatch, UsageError, WeightsError
from vidcolor.networks.base import ColourNetwork
from vidcolor.networks.cyclegan import CycleGenerator
from vidcolor.networks.discriminators import Projected
from vidcolor.networks.efficientnet import EfficientNetLite
from vidcolor.networks.encoder_unet import ImageNetEncoder
from vidcolor.training.features import FeatureNetwork, load_features, read_state
from vidcolor.training.objectives import Objective, Paired, Unpaired
from vidcolor.training.options import Files, TrainOptions
from vidcolor.training.recipes import RECIPES, Recipe, Stage

_FORMAT = 1


@dataclass(kw_only=True)
class Counters:
    """How far a run is; ``best`` is the lowest validation score so far, ``seconds`` is time at work."""

    step: int = 0
    seconds: float = 0.0
    pictures: int = 0
    stage: int = 0
    stage_start: int = 0
    best: float = float("inf")


@dataclass(kw_only=True)
class TrainState:
    """Everything that a later process needs to go on.

    Attributes:
        networks: ``generator``, ``adversary``; in unpaired training also ``greyer``, ``grey_adversary``.
        average: running mean of the generator's weights (EMA), in evaluation mode.
        features: the frozen feature network, or None.
        pretrained: whether the generator's encoder came with weights.
        optimisers: of the present stage: ``generator`` and, where it is adversarial, ``adversary``.
        scaler: gradient scaler for fp16.
    """

    networks: dict[str, nn.Module]
    average: ColourNetwork
    features: FeatureNetwork | None
    pretrained: bool
    objective: Objective
    scaler: torch.amp.GradScaler
    optimisers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)

    @property
    def generator(self) -> ColourNetwork:
        """The generator that learns."""
        network = self.networks["generator"]
        assert isinstance(network, ColourNetwork)
        return network


def build_state(options: TrainOptions, files: Files, device: torch.device) -> TrainState:
    """Networks as they are before the first step, the same in all processes.

    Raises:
        UsageError: unknown recipe or generator arguments.
        WeightsError: encoder, features or initial weights that do not fit.
    """
    recipe = RECIPES[options.recipe]
    torch.manual_seed(options.seed)
    generator = _generator(recipe, options, files)
    features = load_features(files.features) if files.features else None
    channels = None if features is None else features.channels
    networks: dict[str, nn.Module] = {"generator": generator, "adversary": recipe.adversary(channels)}
    if recipe.unpaired:
        networks["greyer"] = type(generator)(**generator.config)
        networks["grey_adversary"] = recipe.adversary(channels)
    if not recipe.unpaired and not isinstance(networks["adversary"], Projected):
        side = options.crop if recipe.sees == "rgb" else _made_size(generator, options.crop)
        _check_size(networks["adversary"], side, options.crop)
    average = copy.deepcopy(generator).eval().requires_grad_(False)
    for network in (*networks.values(), average, *([features] if features is not None else [])):
        network.to(device).to(memory_format=torch.channels_last)
    if options.freeze_norm:
        _freeze_norms(networks.values())
    return TrainState(
        networks=networks,
        average=average,
        features=features,
        pretrained=files.encoder is not None or files.init is not None,
        objective=_objective(networks, features, recipe),
        scaler=torch.amp.GradScaler(device.type, enabled=_needs_scaling(options, device)),
    )


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


def _needs_scaling(options: TrainOptions, device: torch.device) -> bool:
    return options.precision == "fp16" and device.type == "cuda"


def _objective(networks: dict[str, nn.Module], features: FeatureNetwork | None, recipe: Recipe) -> Objective:
    if not recipe.unpaired:
        return Paired(networks["generator"], networks["adversary"], features, recipe)
    colourer, greyer = networks["generator"], networks["greyer"]
    assert isinstance(colourer, CycleGenerator) and isinstance(greyer, CycleGenerator)
    return Unpaired(colourer, greyer, networks["adversary"], networks["grey_adversary"], recipe)


def _generator(recipe: Recipe, options: TrainOptions, files: Files) -> ColourNetwork:
    try:
        generator = recipe.generator(**(recipe.arguments | options.generator))
    except (TypeError, ValueError, KeyError) as error:
        raise UsageError(f"generator options {options.generator}: {error}") from error
    if options.crop % generator.multiple:
        raise UsageError(
            f"--crop {options.crop}: the {options.recipe} generator needs a multiple of {generator.multiple}"
        )
    if files.encoder is not None:
        _load_encoder(generator, files.encoder)
    if files.init is not None:
        found = load_generator(str(files.init)).network
        if type(found) is not type(generator) or found.config != generator.config:
            raise WeightsError(
                f"{files.init}: holds {_described(found)}, the run trains {_described(generator)}"
            )
        generator.load_state_dict(found.state_dict())
    return generator


def _described(network: nn.Module) -> str:
    config = getattr(network, "config", {})
    return f"{getattr(network, 'architecture', '?')} ({', '.join(f'{k}={v}' for k, v in config.items())})"


def _load_encoder(generator: ColourNetwork, path: Path) -> None:
    encoder = getattr(generator, "encoder", None)
    if not isinstance(encoder, (EfficientNetLite, ImageNetEncoder)):
        raise UsageError(f"--encoder: the {generator.architecture} generator has no pretrained encoder")
    try:
        encoder.load_imagenet(read_state(path))
    except ValueError as error:
        raise WeightsError(f"{path}: not ImageNet weights of this encoder ({error})") from error


def _freeze_norms(networks: Any) -> None:
    """BatchNorm layers that stay in evaluation mode whatever is asked of them."""
    for network in networks:
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
                layer.train = lambda mode=True, own=layer: own  # type: ignore[method-assign, misc]


def begin_stage(state: TrainState, stage: Stage, options: TrainOptions) -> None:
    """Fresh optimisers for a stage."""
    generator = state.generator
    encoder = [p for n, p in generator.named_parameters() if n.startswith("encoder.")]
    others = [p for n, p in generator.named_parameters() if not n.startswith("encoder.")]
    if "greyer" in state.networks:
        others += list(state.networks["greyer"].parameters())
    rate = stage.rate * options.rate
    groups = [{"params": others, "peak": rate}]
    if encoder:
        groups.append({"params": encoder, "peak": rate * stage.encoder_factor})
    state.optimisers = {
        "generator": torch.optim.AdamW(groups, lr=rate, betas=stage.betas, weight_decay=stage.weight_decay)
    }
    if stage.adversarial:
        networks = [state.networks[n] for n in ("adversary", "grey_adversary") if n in state.networks]
        judges = [p for n in networks for p in n.requires_grad_(True).parameters() if p.requires_grad]
        peak = stage.adversary_rate * options.rate
        state.optimisers["adversary"] = torch.optim.AdamW(
            [{"params": judges, "peak": peak}], lr=peak, betas=stage.betas, weight_decay=0.0
        )


def save_checkpoint(state: TrainState, options: TrainOptions, data: str, path: Path) -> None:
    """Write the whole state to ``path``, or nothing; ``data`` is the digest of the pictures.

    Random numbers need no place in it: each is a function of the seed and the step.

    Raises:
        OutputError: it cannot be written; what stood there before is still there.
    """
    stored: dict[str, Any] = {
        "format": _FORMAT,
        "options": options.fixed(),
        "data": data,
        "networks": {n: network.state_dict() for n, network in state.networks.items()},
        "average": state.average.state_dict(),
        "optimisers": {n: o.state_dict() for n, o in state.optimisers.items()},
        "scaler": state.scaler.state_dict(),
        "counters": vars(state.counters),
    }
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            torch.save(stored, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        raise OutputError(
            f"{path}: cannot write the checkpoint ({error}); the one before is kept: make room and run again"
        ) from error


def load_checkpoint(
    state: TrainState, options: TrainOptions, data: str, stages: tuple[Stage, ...], path: Path
) -> None:
    """Take up what :func:`save_checkpoint` wrote.

    Raises:
        ResumeMismatch: it belongs to other options, or cannot be read.
    """
    try:
        stored: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        wanted = options.fixed()
        other = [k for k, v in stored["options"].items() if wanted.get(k) != v]
        if stored["format"] != _FORMAT or other:
            raise ResumeMismatch(
                f"{path}: begun with other options ({', '.join(other) or 'another version'}); "
                "use the same, another --work-dir, or --restart"
            )
        if stored["data"] != data:
            raise ResumeMismatch(f"{path}: begun with other pictures; use another --work-dir, or --restart")
        state.counters = Counters(**stored["counters"])
        for name, network in state.networks.items():
            network.load_state_dict(stored["networks"][name])
        state.average.load_state_dict(stored["average"])
        state.scaler.load_state_dict(stored["scaler"])
        begin_stage(state, stages[state.counters.stage], options)
        for name, optimiser in state.optimisers.items():
            optimiser.load_state_dict(stored["optimisers"][name])
    except ResumeMismatch:
        raise
    except Exception as error:  # torch raises what it likes on damaged files
        raise ResumeMismatch(
            f"{path}: damaged, or of another version ({str(error).splitlines()[0]}); --restart begins anew"
        ) from error
