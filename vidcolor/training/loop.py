"""The training loop of the first stage: weighted Huber loss on ab, encoder frozen first, then free."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidcolor.colorspace import BT709, SMPTE170M, ab_from_rgb, lightness_from_luma, luma_from_rgb
from vidcolor.networks.unet import LiteUNet
from vidcolor.training.data import PhotoSet, random_batch
from vidcolor.training.degrade import degrade

_HUBER_DELTA = 10.0
_WARM_UP_STEPS = 200


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What a run needs to know.

    Attributes:
        minutes: wall-clock budget over all resumptions; the learning rate follows it down a cosine.
        frozen_share: share of the budget during which the encoder stays as it came.
        crop: side of the square crops, pixels; a multiple of 32.
        chroma_weight: a pixel's loss is multiplied by ``1 + chroma_weight * C / 20`` (C its true chroma,
            at most 60), against the pull of the many grey pixels towards brown.
    """

    minutes: float = 60.0
    frozen_share: float = 0.35
    batch: int = 32
    crop: int = 128
    rate: float = 1e-3
    encoder_rate: float = 2e-4
    chroma_weight: float = 1.0
    ema_decay: float = 0.999
    checkpoint_minutes: float = 3.0
    seed: int = 1


@dataclass
class TrainState:
    """Everything that a later call needs to go on."""

    network: LiteUNet
    average: LiteUNet
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    pictures: int = 0
    losses: list[float] = field(default_factory=list)


def build_state(network: LiteUNet, options: TrainOptions) -> TrainState:
    """Start a run from ``network``: its EMA copy and an AdamW with a slower encoder."""
    average = LiteUNet(**network.config)
    average.load_state_dict(network.state_dict())
    decoder = [p for n, p in network.named_parameters() if not n.startswith("encoder.")]
    groups = [
        {"params": decoder, "peak": options.rate},
        {"params": list(network.encoder.parameters()), "peak": options.encoder_rate},
    ]
    optimiser = torch.optim.AdamW(groups, lr=options.rate, betas=(0.9, 0.99), weight_decay=1e-2)
    return TrainState(network=network, average=average.eval(), optimiser=optimiser)


def train(
    state: TrainState,
    photos: PhotoSet,
    options: TrainOptions,
    checkpoint: Path,
    progress: Callable[[TrainState], None] | None = None,
) -> None:
    """Train until the budget is spent, saving ``checkpoint`` now and then and at the end."""
    rng = np.random.default_rng((options.seed, state.step))
    noise = torch.Generator().manual_seed(options.seed * 1_000_003 + state.step)
    budget, saved = options.minutes * 60.0, state.seconds
    network = state.network.to(memory_format=torch.channels_last)
    while state.seconds < budget:
        started = time.monotonic()
        frozen = state.seconds < options.frozen_share * budget
        _set_modes(network, frozen)
        _set_rates(state, budget, options, frozen)
        loss = _loss(network, random_batch(photos, options.batch, options.crop, rng), noise, options, frozen)
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        state.optimiser.step()
        _update_average(state, options)
        state.step += 1
        state.pictures += options.batch
        state.losses = [*state.losses[-199:], loss.item()]
        state.seconds += time.monotonic() - started
        if state.seconds - saved > options.checkpoint_minutes * 60.0:
            save_checkpoint(state, checkpoint)
            saved = state.seconds
        if progress:
            progress(state)
    save_checkpoint(state, checkpoint)


def _set_modes(network: LiteUNet, frozen: bool) -> None:
    """BatchNorm of the encoder keeps its ImageNet statistics throughout: small crops would blur them."""
    network.train()
    network.encoder.eval()
    network.encoder.requires_grad_(not frozen)


def _set_rates(state: TrainState, budget: float, options: TrainOptions, frozen: bool) -> None:
    warm = min(1.0, (state.step + 1) / _WARM_UP_STEPS)
    cosine = 0.5 * (1.0 + math.cos(math.pi * state.seconds / budget))
    for group in state.optimiser.param_groups:
        group["lr"] = group["peak"] * warm * (0.01 + 0.99 * cosine)


def _loss(
    network: LiteUNet, rgb: Tensor, noise: torch.Generator, options: TrainOptions, frozen: bool
) -> Tensor:
    matrix = BT709 if float(torch.rand((), generator=noise)) < 0.5 else SMPTE170M
    target = F.avg_pool2d(ab_from_rgb(rgb), 2)  # (N, 2, h, w) to (N, 2, h/2, w/2)
    luminance = lightness_from_luma(degrade(luma_from_rgb(rgb, matrix), noise))
    luminance = luminance.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with torch.set_grad_enabled(not frozen):
            features = network.encoder(luminance)
        ab = network.decode(features).float()
    weight = 1.0 + options.chroma_weight * target.norm(dim=1, keepdim=True).clamp_max(60.0) / 20.0
    errors = F.huber_loss(ab, target, reduction="none", delta=_HUBER_DELTA)
    loss: Tensor = (weight * errors).mean() / weight.mean() / _HUBER_DELTA
    return loss


@torch.no_grad()
def _update_average(state: TrainState, options: TrainOptions) -> None:
    decay = min(options.ema_decay, (1.0 + state.step) / (10.0 + state.step))
    own = state.average.state_dict()
    for name, value in state.network.state_dict().items():
        if value.is_floating_point():
            own[name].lerp_(value, 1.0 - decay)
        else:
            own[name].copy_(value)


def save_checkpoint(state: TrainState, path: Path) -> None:
    """Write networks, optimiser and counters to ``path``, whole or not at all."""
    part = path.with_suffix(".part")
    torch.save(
        {
            "network": state.network.state_dict(),
            "average": state.average.state_dict(),
            "optimiser": state.optimiser.state_dict(),
            "counters": {"step": state.step, "seconds": state.seconds, "pictures": state.pictures},
            "losses": state.losses,
        },
        part,
    )
    os.replace(part, path)


def load_checkpoint(state: TrainState, path: Path) -> None:
    """Take up what :func:`save_checkpoint` wrote."""
    stored: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    state.network.load_state_dict(stored["network"])
    state.average.load_state_dict(stored["average"])
    state.optimiser.load_state_dict(stored["optimiser"])
    for name, value in stored["counters"].items():
        setattr(state, name, value)
    state.losses = stored["losses"]
