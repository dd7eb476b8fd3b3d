"""The training loop: the same for all recipes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from vidcolor.errors import WeightsError
from vidcolor.training.batches import Batch
from vidcolor.training.objectives import Made, total
from vidcolor.training.options import TrainOptions
from vidcolor.training.parallel import Place, average_gradients, average_statistics, mean_of, same_everywhere
from vidcolor.training.precision import training_precision
from vidcolor.training.recipes import Stage
from vidcolor.training.schedule import position, rate_factor
from vidcolor.training.state import TrainState, begin_stage


@dataclass(frozen=True, kw_only=True)
class Event:
    """What happened in a step.

    Attributes:
        step: number of steps done.
        stage: number of the stage, from 0.
        progress: share of the budget that is used.
        losses: unweighted, by name, means over all processes.
        rate: learning rate of the generator.
        pictures_per_second: over all processes, in this step.
        stage_ended: whether this was the last step of its stage.
        ended: whether this was the last step.
    """

    step: int
    stage: int
    progress: float
    losses: dict[str, float] = field(default_factory=dict)
    rate: float
    pictures_per_second: float
    stage_ended: bool
    ended: bool


def train(
    state: TrainState,
    batches: Iterator[Batch],
    stages: tuple[Stage, ...],
    options: TrainOptions,
    place: Place,
    report: Callable[[Event], None],
) -> None:
    """Train until the budget is spent.

    Args:
        state: as built or loaded; changed in place.
        batches: from the state's step on.
        stages: of the recipe.
        report: called after each step; what it takes is not counted as time of training.

    Raises:
        WeightsError: a loss is no number any more.
    """
    counters = state.counters
    if not state.optimisers:
        begin_stage(state, stages[0], options)
    now = position(stages, options, counters.step, counters.seconds, counters.stage)
    while now.total < 1.0:
        started = time.monotonic()
        if now.stage > counters.stage:
            counters.stage, counters.stage_start = now.stage, counters.step
            begin_stage(state, stages[now.stage], options)
        stage = stages[now.stage]
        _prepare(state, stage, options, now.within)
        torch.manual_seed((options.seed * 1_000_003 + counters.step) * place.world + place.rank)  # dropout
        losses = _step(state, next(batches), stage, options, place)
        average_statistics(state.networks.values(), place)
        _update_average(state, options)
        counters.step += 1
        counters.pictures += options.batch
        seconds = same_everywhere(time.monotonic() - started, place)
        counters.seconds += seconds
        now = position(stages, options, counters.step, counters.seconds, counters.stage)
        report(
            Event(
                step=counters.step,
                stage=counters.stage,
                progress=now.total,
                losses=losses,
                rate=state.optimisers["generator"].param_groups[0]["lr"],
                pictures_per_second=options.batch / max(seconds, 1e-9),
                stage_ended=now.stage != counters.stage or now.total >= 1.0,
                ended=now.total >= 1.0,
            )
        )


def _prepare(state: TrainState, stage: Stage, options: TrainOptions, within: float) -> None:
    """Modes, rates and randomness of a step."""
    step = state.counters.step
    if state.block_dropout is not None:
        state.block_dropout.begin(step)
    for network in state.networks.values():
        network.train()
    encoder = getattr(state.generator, "encoder", None)
    if isinstance(encoder, nn.Module) and state.pretrained:
        encoder.eval()  # ImageNet's statistics stay: those of small crops would blur them
        encoder.requires_grad_(step >= options.freeze_encoder)
    if stage.keep_norms:
        for layer in state.generator.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
    factor = rate_factor(stage, within, step - state.counters.stage_start, options.warm_up)
    for optimiser in state.optimisers.values():
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * factor


def _autocast(options: TrainOptions, device: torch.device) -> AbstractContextManager[object]:
    dtype = training_precision(options.precision, device)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


def _step(
    state: TrainState, batch: Batch, stage: Stage, options: TrainOptions, place: Place
) -> dict[str, float]:
    """Discriminators first, then generators; returns the unweighted losses."""
    parts = batch.split(options.accumulate)
    made = [_make(state, parts[0], stage, options, place)] if len(parts) == 1 else [None] * len(parts)
    sums: dict[str, float] = {}
    if stage.adversarial:
        _judges_learn(state, True)
        for part, ready in zip(parts, made, strict=True):
            with _autocast(options, place.device):
                if ready is None:
                    with torch.no_grad(), _norms_aside(state), _same_blocks(state):
                        ready = state.objective.make(part, stage)
                losses = state.objective.adversary_losses(ready, stage)
            _backward(state, losses["adversary"], losses, len(parts), sums)
        _update(state, "adversary", options, place)
        _judges_learn(state, False)
    for part, ready in zip(parts, made, strict=True):
        if ready is None:
            ready = _make(state, part, stage, options, place)
        with _autocast(options, place.device):
            losses = state.objective.generator_losses(ready, part, stage)
        _backward(state, total(losses, stage), losses, len(parts), sums)
    _update(state, "generator", options, place)
    state.scaler.update()
    return mean_of(sums, place)


def _make(state: TrainState, batch: Batch, stage: Stage, options: TrainOptions, place: Place) -> Made:
    with _autocast(options, place.device):
        return state.objective.make(batch, stage)


@contextmanager
def _norms_aside(state: TrainState) -> Iterator[None]:
    """Leave BatchNorm's statistics alone: the generators see the same pictures once more."""
    layers = [
        layer
        for network in state.networks.values()
        for layer in network.modules()
        if isinstance(layer, nn.BatchNorm2d) and layer.training and layer.track_running_stats
    ]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


def _same_blocks(state: TrainState) -> AbstractContextManager[None]:
    """Leave out the blocks that are going to be left out where the generator learns."""
    return nullcontext() if state.block_dropout is None else state.block_dropout.without_gradients()


def _judges_learn(state: TrainState, learn: bool) -> None:
    for judge in state.judges:
        judge.requires_grad_(learn)


def _backward(
    state: TrainState, loss: Tensor, losses: dict[str, Tensor], parts: int, sums: dict[str, float]
) -> None:
    for name, value in losses.items():
        number = float(value.detach())
        if not math.isfinite(number):
            raise _diverged(state, f"the {name} loss")
        sums[name] = sums.get(name, 0.0) + number / parts
    state.scaler.scale(loss / parts).backward()  # type: ignore[no-untyped-call]


def _diverged(state: TrainState, what: str) -> WeightsError:
    return WeightsError(
        f"{what} is no number any more at step {state.counters.step}: "
        "begin anew with a lower --rate, or with --precision fp32"
    )


def _update(state: TrainState, name: str, options: TrainOptions, place: Place) -> None:
    optimiser = state.optimisers[name]
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    average_gradients(parameters, place)
    state.scaler.unscale_(optimiser)
    norm = nn.utils.clip_grad_norm_(parameters, options.largest_norm)
    if not state.scaler.is_enabled() and not math.isfinite(float(norm)):
        raise _diverged(state, f"the gradient of the {name}")
    state.scaler.step(optimiser)
    optimiser.zero_grad(set_to_none=True)


@torch.no_grad()
def _update_average(state: TrainState, options: TrainOptions) -> None:
    """EMA of all weights and BatchNorm statistics; short at first, or the start would linger."""
    step = state.counters.step
    decay = min(options.ema, (1.0 + step) / (10.0 + step))
    own = state.average.state_dict()
    now = state.networks["generator"].state_dict()
    real = [name for name, value in now.items() if value.is_floating_point()]
    multi_average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    multi_average([own[n] for n in real], [now[n] for n in real], None)
    for name in now.keys() - set(real):
        own[name].copy_(now[name])
