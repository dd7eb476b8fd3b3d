"""What a training run is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from vidcolor.errors import UsageError
from vidcolor.training.parallel import Place
from vidcolor.training.recipes import RECIPES

TORCHVISION = "torchvision"
"""In place of an encoder's file: the weights that torchvision offers for it, downloaded where need be."""


_LIMITS: dict[str, tuple[float, float]] = {
    "steps": (1, math.inf),
    "minutes": (0.0, math.inf),
    "first_share": (0.0, 1.0),
    "batch": (1, math.inf),
    "accumulate": (1, math.inf),
    "crop": (32, math.inf),
    "rate": (0.0, math.inf),
    "warm_up": (0, math.inf),
    "clip": (0.0, math.inf),
    "ema": (0.0, 1.0),
    "freeze_encoder": (0, math.inf),
    "strength": (0.0, 2.0),
    "seed": (0, 2**32 - 1),
    "every": (1, math.inf),
    "checkpoint_minutes": (0.0, math.inf),
    "recalibrate": (0, math.inf),
}
"""Least and most of each number; NaN is within none."""


def _setting(default: Any, *, fixed: bool = True) -> Any:
    """A field; ``fixed`` ones must be the same when a run goes on, the others may change."""
    return field(default=default, metadata={"fixed": fixed})


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Options of a run, validated when built. What is None is the recipe's.

    Attributes:
        recipe: a key of :data:`vidcolor.training.recipes.RECIPES`.
        generator: constructor arguments of the generator that differ from the recipe's.
        steps, minutes: budget over all resumptions, whichever ends first; stages and learning rates follow
            it. With ``minutes`` they follow the clock; ``steps`` repeats a run, exactly on one CPU thread.
        first_share: share of the budget for the first stage.
        batch: pictures a step, over all processes.
        accumulate: parts that a step's batch is computed in, for want of memory.
        crop: side of the square crops, pixels.
        rate: factor on the recipe's learning rates.
        warm_up: steps over which a stage's rate rises from zero; a tenth of the stage at most.
        clip: largest norm of a network's gradient, if it is not the recipe's: 5 for ``default`` and
            ``resnet``, none for the others, whose papers clip none.
        ema: decay of the averaged weights, those that are scored and saved.
        freeze_encoder: steps during which a pretrained encoder stays as it came.
        freeze_norm: keep all BatchNorm statistics as they are.
        strength: of the film degradations; 0 is none.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        every: steps between validations.
        checkpoint_minutes: time between checkpoints; one follows each validation too.
        recalibrate: crops on which BatchNorm statistics are taken anew at the end, an encoder's excepted; see
            :mod:`.calibration`.
        keep: ``last`` or ``best`` (lowest perceptual distance on the validation pictures, or lowest ab
            error where there is no feature network).
    """

    recipe: str = _setting("default")
    generator: dict[str, Any] = field(default_factory=dict, metadata={"fixed": True})
    steps: int | None = _setting(None, fixed=False)
    minutes: float | None = _setting(None, fixed=False)
    first_share: float | None = _setting(None)
    batch: int = _setting(32)
    accumulate: int = _setting(1)
    crop: int = _setting(128)
    rate: float = _setting(1.0)
    warm_up: int = _setting(200)
    clip: float | None = _setting(None)
    ema: float = _setting(0.999)
    freeze_encoder: int = _setting(0)
    freeze_norm: bool = _setting(False)
    strength: float = _setting(1.0)
    precision: str = _setting("auto")
    seed: int = _setting(1)
    every: int = _setting(1000, fixed=False)
    checkpoint_minutes: float = _setting(3.0, fixed=False)
    recalibrate: int = _setting(0, fixed=False)
    keep: str = _setting("last", fixed=False)

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise UsageError("a budget is needed: --steps or --minutes")
        if self.batch % max(1, self.accumulate):
            raise UsageError(f"--batch {self.batch} does not divide into {self.accumulate} parts")
        if self.keep not in ("last", "best"):
            raise UsageError(f"--keep {self.keep}: last or best")
        for name, (least, most) in _LIMITS.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                above = f" to {most:g}" if math.isfinite(most) else " or more"
                raise UsageError(f"--{name.replace('_', '-')} {value}: {least:g}{above}")
        if self.recalibrate and self.keep == "best":
            raise UsageError("--recalibrate is for the last weights: the best are kept as they were judged")

    @property
    def largest_norm(self) -> float:
        """``clip``, or else the recipe's."""
        return RECIPES[self.recipe].clip if self.clip is None else self.clip

    def fixed(self) -> dict[str, Any]:
        """The fields that a run goes on with only if they are the same."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.metadata["fixed"]}
        return found | {"clip": self.largest_norm}


@dataclass(frozen=True, kw_only=True)
class Files:
    """Where a run reads and writes.

    Attributes:
        out: the weights to write.
        work: folder for checkpoint, metrics and sample pictures.
        encoder: ImageNet state dict of the generator's encoder, or :data:`TORCHVISION`.
        features: ImageNet state dict of the network behind perceptual loss and projected adversary.
        init: weights of the same architecture to begin with.
    """

    out: Path
    work: Path
    encoder: Path | None = None
    features: Path | None = None
    init: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """A run as one of its processes has to carry it out.

    Attributes:
        options: what is asked for.
        files: where it reads and writes.
        place: of this process among those that train together.
    """

    options: TrainOptions
    files: Files
    place: Place
