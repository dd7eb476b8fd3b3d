"""Pictures without colour in training: what they look like, and that they repeat."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vidcolor.training.cards import CARD_SHARE, with_cards

SIDE = 192


def coloured(count: int) -> Tensor:
    torch.manual_seed(3)
    return torch.rand(count, 3, SIDE, SIDE)


def grey(rgb: Tensor) -> Tensor:
    """Which pixels have no colour, ``(N, h, w)``."""
    return rgb.amax(1) - rgb.amin(1) < 1e-6


def test_some_pictures_become_grey_or_are_written_on_and_the_rest_stay() -> None:
    before = coloured(1000)[:, :, :32, :32].contiguous()
    after = with_cards(before, seed=1, step=5)
    changed = (after != before).flatten(1).any(1)
    assert CARD_SHARE * 600 < int(changed.sum()) < CARD_SHARE * 1400
    assert after.min() >= 0.0
    assert after.max() <= 1.0


def test_cards_have_no_colour_and_differ() -> None:
    before = coloured(60)
    after = with_cards(before, seed=1, step=5, share=1.0)
    written = ~grey(after).flatten(1).all(1)
    assert 4 <= int(written.sum()) <= 24  # letters on a picture, which keeps its own colours around them
    assert grey(after)[written].flatten(1).any(1).sum() >= 0.8 * int(written.sum())
    assert (after[written] == before[written]).flatten(1).float().mean(1).min() > 0.3
    cards = after[~written]
    blank = cards.flatten(1).std(1) < 1e-6
    assert 4 <= int(blank.sum()) <= 24
    levels = cards.flatten(1).median(1).values
    assert levels.min() < 0.05
    assert levels.max() > 0.9


def test_walls_are_lit_softly_and_differ() -> None:
    after = with_cards(coloured(60), seed=1, step=5, share=1.0)
    cards = after[grey(after).flatten(1).all(1), 0]
    shades = torch.tensor([len(card.unique()) for card in cards])
    walls = cards[shades > 1000]
    assert 12 <= len(walls) <= 36
    light = torch.nn.functional.avg_pool2d(walls[:, None], 24)[:, 0]
    assert light.flatten(1).std(1).median() > 0.03
    steps = torch.cat([light.diff(dim=at).abs().flatten(1) for at in (1, 2)], 1)
    assert steps.median() < 0.03
    assert walls.flatten(1).median(1).values.std() > 0.1


def test_each_depends_on_seed_step_and_place_alone() -> None:
    before = coloured(12)
    whole = with_cards(before, seed=2, step=7, share=0.7)
    halves = [with_cards(before[at : at + 6], seed=2, step=7, first=at, share=0.7) for at in (0, 6)]
    assert torch.equal(torch.cat(halves), whole)
    assert torch.equal(with_cards(before, seed=2, step=7, share=0.7), whole)
    for other in ({"seed": 3, "step": 7}, {"seed": 2, "step": 8}):
        assert not torch.equal(with_cards(before, **other, share=0.7), whole)


@pytest.mark.parametrize("shape", [(32, 32), (64, 160), (400, 300)], ids=str)
def test_every_size_is_taken(shape: tuple[int, int]) -> None:
    made = with_cards(torch.rand(16, 3, *shape), seed=4, step=0, share=1.0)
    assert made.shape == (16, 3, *shape)
    assert bool(made.isfinite().all())


def test_without_a_share_nothing_happens() -> None:
    before = coloured(4)
    assert with_cards(before, seed=1, step=0, share=0.0) is before
