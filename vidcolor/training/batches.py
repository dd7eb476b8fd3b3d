"""What a step learns from: pictures as the generator sees them, and their true colours."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from vidcolor.colorspace import ab_from_rgb, lightness_from_luma, luma_from_rgb, rgb_from_lab
from vidcolor.matrices import BT709, SMPTE170M
from vidcolor.networks.base import scale_lab
from vidcolor.training.cards import with_cards
from vidcolor.training.data import PhotoSet
from vidcolor.training.degrade import degrade
from vidcolor.training.mixing import turned, with_insets
from vidcolor.training.moves import moved, moves
from vidcolor.training.options import TrainOptions
from vidcolor.training.parallel import Place
from vidcolor.training.randomness import uniforms
from vidcolor.training.recipes import Recipe
from vidcolor.training.sampling import sample_batch

_SIZE_STEP = 32
_SMALLEST = 0.55
"""Of the crops' size: that of the smallest where sizes vary."""
_AGAIN = 2_000_003
"""Added to the seed for the second degradation of a picture."""
_OTHERS = 1_000_003
"""Added to the seed for the colour pictures of unpaired training."""
_INSETS = 3_000_017
"""Added to the seed for the pictures of which parts are set into others."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One process's part of a step.

    Attributes:
        seen: L* of the degraded grey picture, ``(N, 1, h, w)``, 0..100: the generator's input.
        clean: L* before it was degraded.
        ab: the true ab, ``(N, 2, h, w)``.
        again: L* of the same pictures moved and degraded otherwise, ``(N, 1, h, w)``: what they may look like
            in another frame; where a recipe asks for it.
        moves: how they moved, ``(N, 2, 3)``, see :func:`.moves.moves`.
        others: scaled Lab ``(N, 3, h, w)`` of other pictures, in unpaired training.
    """

    seen: Tensor
    clean: Tensor
    ab: Tensor
    again: Tensor | None = None
    moves: Tensor | None = None
    others: Tensor | None = None

    def split(self, parts: int) -> list[Batch]:
        """The batch in ``parts`` equal parts."""
        if parts == 1:
            return [self]
        pieces: dict[str, Sequence[Tensor | None]] = {}
        for part in fields(self):
            planes = getattr(self, part.name)
            pieces[part.name] = [None] * parts if planes is None else planes.chunk(parts)
        return [Batch(**{name: piece[i] for name, piece in pieces.items()}) for i in range(parts)]  # type: ignore[arg-type]


def scaled_lab(lightness: Tensor, ab: Tensor) -> Tensor:
    """Lab ``(N, 3, h, w)`` in ±1 at the size of ``ab``, to which L* ``(N, 1, H, W)`` is averaged down."""
    return scale_lab(reduced(lightness, ab), ab)


def picture_of(lightness: Tensor, ab: Tensor) -> Tensor:
    """R'G'B' ``(N, 3, h, w)``, 0..1, of L* ``(N, 1, h, w)`` and ab of that size or of a smaller one."""
    if ab.shape[-2:] != lightness.shape[-2:]:
        ab = F.interpolate(ab, size=lightness.shape[-2:], mode="bilinear", align_corners=False)
    return rgb_from_lab(lightness, ab).clamp(0.0, 1.0)


def reduced(planes: Tensor, other: Tensor) -> Tensor:
    """Planes ``(N, C, H, W)`` averaged down to the size of ``other``."""
    height, width = other.shape[-2:]
    if planes.shape[-2:] == other.shape[-2:]:
        return planes
    return F.adaptive_avg_pool2d(planes, (height, width))


def batches(
    photos: PhotoSet, options: TrainOptions, place: Place, *, first_step: int, recipe: Recipe
) -> Iterator[Batch]:
    """The batches of all steps from ``first_step`` on, without end; each depends on seed and step alone.

    In unpaired training every other picture is shown grey, and the rest in colour.
    """
    others = None
    if recipe.unpaired:
        count = len(photos)
        photos, others = photos.subset(range(0, count, 2)), photos.subset(range(1, count, 2))
    twice = any(stage.weights.get("consistency", 0.0) > 0.0 for stage in recipe.stages)
    step = first_step
    while True:
        side = _side(options, step) if recipe.mixing else options.crop
        rgb = _crops(photos, options, place, step, options.seed, side)
        first = place.rank * rgb.shape[0]
        if others is None:
            rgb = with_cards(rgb, seed=options.seed, step=step, first=first)
            if recipe.mixing:
                insets = _crops(photos, options, place, step, options.seed + _INSETS, side)
                rgb = turned(rgb, seed=options.seed, step=step, first=first)
                rgb = with_insets(rgb, insets, seed=options.seed, step=step, first=first)
        batch = prepare(rgb, options, step=step, first=first, twice=twice)
        if others is not None:
            other = _crops(others, options, place, step, options.seed + _OTHERS, side)
            lab = scaled_lab(lightness_from_luma(luma_from_rgb(other, BT709)), ab_from_rgb(other))
            batch = replace(batch, others=lab)
        yield batch
        step += 1


def _side(options: TrainOptions, step: int) -> int:
    """Pixels of a step's crops: those of ``options.crop`` every other time, else fewer, down to about half.

    Smaller crops show smaller parts of the photographs, and these smaller.
    """
    sides = range(math.ceil(options.crop * _SMALLEST / _SIZE_STEP) * _SIZE_STEP, options.crop, _SIZE_STEP)
    draw = float(uniforms("side", options.seed, step, first=0, rows=1, columns=1)[0, 0])
    return sides[int((2.0 * draw - 1.0) * len(sides))] if sides and draw >= 0.5 else options.crop


def _crops(photos: PhotoSet, options: TrainOptions, place: Place, step: int, seed: int, side: int) -> Tensor:
    made = sample_batch(
        photos,
        step=step,
        size=options.batch,
        crop=side,
        seed=seed,
        rank=place.rank,
        world=place.world,
    )
    return made.to(place.device)


def prepare(rgb: Tensor, options: TrainOptions, *, step: int, first: int, twice: bool = False) -> Batch:
    """Grey and true colours of R'G'B' ``(N, 3, h, w)``, 0..1; luma is BT.709's or BT.601's by chance.

    Args:
        first: place of the first picture in the whole batch.
        twice: make ``again``.
    """
    draws = uniforms("matrix", options.seed, step, first=first, rows=rgb.shape[0], columns=1)
    modern = torch.from_numpy(draws[:, 0] < 0.5).to(rgb.device).view(-1, 1, 1, 1)
    y = torch.where(modern, luma_from_rgb(rgb, BT709), luma_from_rgb(rgb, SMPTE170M))
    worn = degrade(y, seed=options.seed, step=step, first=first, strength=options.strength)
    again = matrices = None
    if twice:
        matrices = moves(len(y), y.device, seed=options.seed, step=step, first=first)
        other = degrade(
            moved(y, matrices), seed=options.seed + _AGAIN, step=step, first=first, strength=options.strength
        )
        again = lightness_from_luma(other).contiguous(memory_format=torch.channels_last)
    return Batch(
        seen=lightness_from_luma(worn).contiguous(memory_format=torch.channels_last),
        clean=lightness_from_luma(y),
        ab=ab_from_rgb(rgb),
        again=again,
        moves=matrices,
    )
