"""Where a run stands in its budget, and the learning rates that follow from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from vidcolor.training.options import TrainOptions
from vidcolor.training.recipes import Recipe, Stage

_FLOOR = 0.01
_WARM_SHARE = 0.1


def stages_of(recipe: Recipe, options: TrainOptions) -> tuple[Stage, ...]:
    """The recipe's stages with the shares asked for; a stage without a share is left out."""
    stages = recipe.stages
    if options.first_share is not None and len(stages) > 1:
        rest = sum(s.share for s in stages[1:])
        shares = [options.first_share, *((1.0 - options.first_share) * s.share / rest for s in stages[1:])]
        stages = tuple(replace(s, share=share) for s, share in zip(stages, shares, strict=True))
    return tuple(s for s in stages if s.share > 0.0)


@dataclass(frozen=True, kw_only=True)
class Position:
    """Stage by number, and how much of the stage and of the whole budget is used, 0..1."""

    stage: int
    within: float
    total: float


def position(
    stages: tuple[Stage, ...], options: TrainOptions, step: int, seconds: float, reached: int = 0
) -> Position:
    """Where step ``step`` stands after ``seconds`` of work; ``total`` of 1 or more means the end.

    A run whose budget was raised does not go back behind the stage that it has ``reached``.
    """
    total = 0.0
    if options.steps is not None:
        total = step / options.steps
    if options.minutes is not None:
        total = max(total, seconds / (options.minutes * 60.0))
    start = 0.0
    for index, stage in enumerate(stages):
        last = index + 1 == len(stages)
        if index >= reached and (total < start + stage.share or last):
            within = min(1.0, max(0.0, (total - start) / stage.share))
            return Position(stage=index, within=within, total=total)
        start += stage.share
    raise AssertionError("a recipe without stages")


def rate_factor(stage: Stage, within: float, steps_in_stage: int, warm_up: int) -> float:
    """Factor on a stage's peak rate: a linear warm-up, of a tenth of the stage at most, and the decay."""
    warm = min(1.0, max((steps_in_stage + 1) / warm_up, within / _WARM_SHARE)) if warm_up else 1.0
    if stage.decay == "cosine":
        return warm * (_FLOOR + (1.0 - _FLOOR) * 0.5 * (1.0 + math.cos(math.pi * within)))
    return warm * min(1.0, max(_FLOOR, 2.0 * (1.0 - within)))
