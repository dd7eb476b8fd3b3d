"""What generators and discriminators are asked for: one objective for paired training, one for unpaired.

Both offer the same three calls to the loop: ``make`` runs the generators, ``adversary_losses`` and
``generator_losses`` return named losses, unweighted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidcolor.networks.cyclegan import CycleGenerator
from vidcolor.networks.discriminators import Projected
from vidcolor.training.batches import Batch, picture_of, reduced, scaled_lab
from vidcolor.training.losses import (
    adversary_loss,
    deception_loss,
    huber,
    l1,
    matching_loss,
    perceptual_loss,
    relative_distance,
)
from vidcolor.training.moves import in_sight, moved
from vidcolor.training.recipes import Recipe, Stage

_SOME = 2
Losses = dict[str, Tensor]
Evidence = Tensor | list[Tensor]


@dataclass(frozen=True, kw_only=True)
class View:
    """A picture as those see it who judge it.

    Attributes:
        evidence: what the discriminator takes, a picture or, for :class:`Projected`, features.
        features: maps for the perceptual loss, or none.
    """

    evidence: Evidence
    features: list[Tensor]

    def detached(self) -> Evidence:
        """The evidence without its history."""
        return (
            self.evidence.detach()
            if isinstance(self.evidence, Tensor)
            else [f.detach() for f in self.evidence]
        )


@dataclass(frozen=True, kw_only=True)
class Made:
    """Results of one pass of the generators; views and pictures that a stage does not need are missing."""

    ab: Tensor
    target: Tensor
    view: View | None = None
    truth: View | None = None
    pictures: dict[str, Tensor] | None = None


class Objective(Protocol):
    """See the module."""

    def make(self, batch: Batch, stage: Stage) -> Made:
        """Run the generators."""

    def adversary_losses(self, made: Made, stage: Stage) -> Losses:
        """Losses of the discriminators; nothing flows back into the generators."""

    def generator_losses(self, made: Made, batch: Batch, stage: Stage) -> Losses:
        """Losses of the generators; the discriminators' gradients are not wanted."""


class Paired:
    """The true colour of every pixel is known.

    Args:
        generator: L* to ab.
        adversary: the discriminator.
        features: network for the perceptual loss, or None.
        recipe: says what the discriminator sees and the form of the adversarial loss.
    """

    def __init__(
        self, generator: nn.Module, adversary: nn.Module, features: nn.Module | None, recipe: Recipe
    ) -> None:
        self._generator, self._adversary, self._features = generator, adversary, features
        self._recipe = recipe

    def make(self, batch: Batch, stage: Stage) -> Made:
        """ab of the seen L*, with views of it and of the truth where the stage judges them."""
        ab = self._generator(batch.seen)
        target = reduced(batch.ab, ab)
        if not (stage.adversarial or self._perceives(stage)):
            return Made(ab=ab, target=target)
        with torch.no_grad():
            truth = self._view(batch, target, stage)
        return Made(ab=ab, target=target, view=self._view(batch, ab, stage), truth=truth)

    def _perceives(self, stage: Stage) -> bool:
        return self._features is not None and stage.weights.get("perceptual", 0.0) > 0.0

    def _view(self, batch: Batch, ab: Tensor, stage: Stage) -> View:
        projected = isinstance(self._adversary, Projected)
        picture = (
            picture_of(batch.clean, ab) if self._perceives(stage) or self._recipe.sees == "rgb" else None
        )
        features: list[Tensor] = []
        if self._features is not None and picture is not None and (projected or self._perceives(stage)):
            features = self._features(picture)
        if projected:
            return View(evidence=features, features=features)
        shown = picture if picture is not None and self._recipe.sees == "rgb" else scaled_lab(batch.seen, ab)
        return View(evidence=shown, features=features)

    def _judge(self, evidence: Evidence) -> list[list[Tensor]]:
        maps: list[list[Tensor]] = self._adversary(evidence)
        return maps

    def _inconsistency(self, made: Made, batch: Batch) -> Tensor:
        """How far ab lies apart from that of the picture moved and degraded otherwise; of every second one.

        BatchNorm takes the statistics that it has for both: with those of the batch for one alone, the same
        picture lay apart from itself by more than half of what is measured here.
        """
        assert batch.again is not None and batch.moves is not None
        with _kept_norms(self._generator) as learning:
            first: Tensor = self._generator(batch.seen[::_SOME]) if learning else made.ab[::_SOME]
            again: Tensor = self._generator(batch.again[::_SOME])
        matrices = batch.moves[::_SOME]
        return relative_distance(
            again.float(), moved(first.float(), matrices), in_sight(matrices, *first.shape[-2:])
        )

    def adversary_losses(self, made: Made, stage: Stage) -> Losses:
        """The discriminator's loss on the truth and on what was made."""
        assert made.view is not None and made.truth is not None
        on_true, on_made = self._judge(made.truth.detached()), self._judge(made.view.detached())
        return {"adversary": adversary_loss(self._recipe.gan, on_true, on_made)}

    def generator_losses(self, made: Made, batch: Batch, stage: Stage) -> Losses:
        """Pixel, perceptual, adversarial and matching losses, those that the stage weighs."""
        losses = {}
        if stage.weights.get("pixel", 0.0) > 0.0:
            target = made.target
            losses["pixel"] = (
                l1(made.ab, target) if stage.pixel == "l1" else huber(made.ab, target, stage.chroma_weight)
            )
        if stage.weights.get("consistency", 0.0) > 0.0:
            losses["consistency"] = self._inconsistency(made, batch)
        if made.view is None or made.truth is None:
            return losses
        if self._perceives(stage):
            losses["perceptual"] = perceptual_loss(made.truth.features, made.view.features)
        if stage.adversarial:
            on_made = self._judge(made.view.evidence)
            losses["gan"] = deception_loss(self._recipe.gan, on_made)
            if stage.weights.get("matching", 0.0) > 0.0:
                with torch.no_grad():
                    on_true = self._judge(made.truth.evidence)
                losses["matching"] = matching_loss(on_true, on_made)
        return losses


@contextmanager
def _kept_norms(network: nn.Module) -> Iterator[bool]:
    """Have BatchNorm take the statistics that it has; whether there was one that took the batch's."""
    layers = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d) and m.training]
    for layer in layers:
        layer.eval()
    try:
        yield bool(layers)
    finally:
        for layer in layers:
            layer.train()


class Unpaired:
    """CycleGAN: grey pictures and other, coloured ones (Zhu et al., ICCV 2017; without a picture history).

    Args:
        colourer, greyer: generators of scaled Lab, grey to colour and back.
        colour_adversary, grey_adversary: their discriminators.
        recipe: gives the form of the adversarial loss.
    """

    def __init__(
        self,
        colourer: CycleGenerator,
        greyer: CycleGenerator,
        colour_adversary: nn.Module,
        grey_adversary: nn.Module,
        recipe: Recipe,
    ) -> None:
        self._colourer, self._greyer = colourer, greyer
        self._colour_adversary, self._grey_adversary = colour_adversary, grey_adversary
        self._recipe = recipe

    def make(self, batch: Batch, stage: Stage) -> Made:
        """Both translations."""
        assert batch.others is not None
        grey = scaled_lab(batch.seen, torch.zeros_like(batch.ab))
        coloured, greyed = self._colourer.translate(grey), self._greyer.translate(batch.others)
        pictures = {"grey": grey, "colour": batch.others, "coloured": coloured, "greyed": greyed}
        return Made(ab=coloured[:, 1:], target=batch.ab, pictures=pictures)

    def adversary_losses(self, made: Made, stage: Stage) -> Losses:
        """Both discriminators' losses, added."""
        p = _pictures(made)
        form = self._recipe.gan
        colour = adversary_loss(
            form, self._colour_adversary(p["colour"]), self._colour_adversary(p["coloured"].detach())
        )
        grey = adversary_loss(
            form, self._grey_adversary(p["grey"]), self._grey_adversary(p["greyed"].detach())
        )
        return {"adversary": colour + grey}

    def generator_losses(self, made: Made, batch: Batch, stage: Stage) -> Losses:
        """Adversarial, cycle and identity losses, each the sum of both directions."""
        p = _pictures(made)
        form = self._recipe.gan
        losses = {
            "gan": deception_loss(form, self._colour_adversary(p["coloured"]))
            + deception_loss(form, self._grey_adversary(p["greyed"])),
            "cycle": F.l1_loss(self._greyer.translate(p["coloured"]), p["grey"])
            + F.l1_loss(self._colourer.translate(p["greyed"]), p["colour"]),
        }
        if stage.weights.get("identity", 0.0) > 0.0:
            losses["identity"] = F.l1_loss(self._colourer.translate(p["colour"]), p["colour"]) + F.l1_loss(
                self._greyer.translate(p["grey"]), p["grey"]
            )
        return losses


def _pictures(made: Made) -> dict[str, Tensor]:
    assert made.pictures is not None
    return made.pictures


def total(losses: Losses, stage: Stage) -> Tensor:
    """The weighted sum of a generator's losses."""
    return torch.stack([stage.weights[name] * loss.float() for name, loss in losses.items()]).sum()
