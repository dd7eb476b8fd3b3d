"""Degradations of luma: bounded, repeatable, independent of how a batch is divided."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch

from vidcolor.training.degrade import _ACTS, CLEAN_SHARE, degrade
from vidcolor.training.filters import compress, gaussian_blur
from vidcolor.training.randomness import _GOLDEN, Draws, _mix, permutation, uniforms
from vidcolor.training.textures import GRAINS, SIDE, dirt_at, grain_at


def luma(count: int = 16, height: int = 64, width: int = 64) -> torch.Tensor:
    coarse = torch.rand(count, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)


def test_the_result_is_luma_of_the_same_shape() -> None:
    y = luma()
    worn = degrade(y, seed=1, step=2)
    assert worn.shape == y.shape and worn.dtype == torch.float32
    assert worn.min() >= 0 and worn.max() <= 1
    assert torch.equal(y, luma()), "the argument is left alone"


def test_counters_alone_decide_what_happens() -> None:
    y = luma()
    assert torch.equal(degrade(y, seed=1, step=2), degrade(y, seed=1, step=2))
    assert not torch.equal(degrade(y, seed=1, step=2), degrade(y, seed=1, step=3))
    assert not torch.equal(degrade(y, seed=1, step=2), degrade(y, seed=2, step=2))


def test_two_ranks_together_do_what_one_does() -> None:
    y = luma(24)
    whole = degrade(y, seed=3, step=1)
    halves = torch.cat([degrade(y[:12], seed=3, step=1), degrade(y[12:], seed=3, step=1, first=12)])
    assert (whole - halves).abs().mean() < 1e-5


def test_a_stated_share_stays_clean_and_the_others_differ() -> None:
    y = luma(4).repeat(100, 1, 1, 1)
    same = (degrade(y, seed=5) == y).flatten(1).all(1).float().mean().item()
    assert CLEAN_SHARE * 0.8 < same < CLEAN_SHARE + 0.12


@pytest.mark.parametrize("purpose", _ACTS)
def test_each_act_strikes_as_often_as_it_should(purpose: str, monkeypatch: pytest.MonkeyPatch) -> None:
    probability = _ACTS[purpose][1]
    monkeypatch.setattr(
        "vidcolor.training.degrade._ACTS", {purpose: (lambda y, draw, strength: y + 0.1, probability)}
    )
    struck = (degrade(torch.full((2000, 1, 1, 1), 0.5), seed=3) > 0.55).float().mean().item()
    assert struck == pytest.approx((1.0 - CLEAN_SHARE) * probability, abs=0.03)


def acted(purpose: str, y: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
    """What an act makes of one luma ``(h, w)``, with 300 different draws."""
    table = uniforms("test", 1, 2, first=0, rows=300, columns=16)
    many = y.expand(300, 1, *y.shape)
    return _ACTS[purpose][0](many, Draws(table, torch.device("cpu")), strength)[:, 0]


def test_light_falls_off_towards_all_edges() -> None:
    mean = acted("_uneven_light", torch.full((9, 9), 0.5)).mean(0)
    assert mean[4, 4] == pytest.approx(0.5, abs=0.01)
    edges, corners = mean[[0, 8, 4, 4], [4, 4, 0, 8]], mean[[0, 0, 8, 8], [0, 8, 0, 8]]
    assert (corners < edges).all() and (edges < mean[4, 4] - 0.01).all() and (corners > 0.35).all()


def test_tones_go_up_with_luma_between_a_raised_black_and_a_lowered_white() -> None:
    toned = acted("_tone", torch.linspace(0, 1, 11)[None])[:, 0]
    assert (toned.diff(dim=1) >= 0).all()
    assert 0.12 < toned[:, 0].max() <= 0.141 and 0.8 <= toned[:, -1].min() < 0.82
    assert toned[:, 5].min() < 0.4 and toned[:, 5].max() > 0.6


def test_grain_is_strongest_in_middle_grey_and_shifts_nothing() -> None:
    grained = acted("_grain", torch.tensor([0.1, 0.5, 0.9]).repeat_interleave(8).expand(24, 24))
    dark, middle, light = (grained[..., at : at + 8] for at in (0, 8, 16))
    assert middle.mean() == pytest.approx(0.5, abs=0.01)
    assert 0.02 < middle.std() < 0.06 and dark.std() < 0.8 * middle.std() > light.std()


def test_wear_is_all_bright_or_all_dark() -> None:
    for purpose in ("_scratches", "_dust"):
        worn = acted(purpose, torch.full((32, 64), 0.5)).flatten(1) - 0.5
        bright, dark = (worn > 0).any(1), (worn < 0).any(1)
        assert not (bright & dark).any()
        assert bright.sum() / (bright | dark).sum() == pytest.approx(0.6, abs=0.08)
        assert 0.4 < worn.abs().max() <= 0.5


def test_of_three_scratches_the_second_and_third_are_rarer() -> None:
    across = acted("_scratches", torch.full((3, 300), 0.5))[:, 1] != 0.5
    lines = (across[:, 1:] & ~across[:, :-1]).sum(1)
    assert lines.max() == 3
    assert lines.float().mean() == pytest.approx(1 + 1 / 2 + 1 / 3, abs=0.15)


def test_more_dust_lies_on_worse_film() -> None:
    shares = [(acted("_dust", torch.full((64, 64), 0.5), s) != 0.5).float().mean() for s in (0.3, 1, 3)]
    assert shares[0] < 0.5 * shares[1] and shares[1] < 0.8 * shares[2]


def test_strength_goes_from_nothing_to_much() -> None:
    y = luma(64)
    changes = [(degrade(y, seed=1, strength=s) - y).abs().mean().item() for s in (0.0, 0.5, 1.0, 2.0)]
    assert changes[0] == 0.0
    assert changes == sorted(changes)
    assert 0.01 < changes[2] < 0.1


@pytest.mark.parametrize("size", [(8, 8), (31, 45), (5, 3), (1100, 16)])
def test_any_size_is_taken(size: tuple[int, int]) -> None:
    y = luma(12, *size)
    assert degrade(y, seed=2).shape == y.shape


def test_fine_steps_of_compression_change_nothing_wherever_the_blocks_lie() -> None:
    y = luma(3, 21, 34)
    step = torch.full((3, 1, 1, 1), 1e-6)
    assert torch.allclose(compress(y, step, [0, 3, 7], [0, 7, 2]), y, atol=1e-4)


def test_coarse_compression_leaves_blocks_of_one_grey() -> None:
    y = luma(1, 16, 16)
    blocks = compress(y, torch.full((1, 1, 1, 1), 3.0), [0], [0]).view(2, 8, 2, 8)
    assert torch.allclose(blocks, blocks[:, :1, :, :1].expand_as(blocks), atol=1e-5)


def test_every_picture_is_blurred_with_its_own_sigma() -> None:
    y = torch.zeros(2, 1, 21, 21)
    y[:, :, 10, 10] = 1.0
    blurred = gaussian_blur(y, torch.tensor([0.6, 1.5]).view(2, 1, 1, 1))
    at = torch.arange(21.0) - 10
    spread = (blurred.sum((1, 2)) * at**2).sum(1).sqrt()
    assert torch.allclose(spread, torch.tensor([0.6, 1.5]), atol=0.03)


def test_numbers_are_uniform_and_differ_in_every_counter() -> None:
    numbers = uniforms("test", 1, 2, first=0, rows=400, columns=8)
    assert np.histogram(numbers, 10, (0.0, 1.0))[0] == pytest.approx(320, rel=0.25)
    assert np.array_equal(numbers[7:9], uniforms("test", 1, 2, first=7, rows=2, columns=8))
    others = [("other", 1, 2), ("test", 2, 2), ("test", 1, 3)]
    for counters in others:
        other = uniforms(*counters, first=0, rows=400, columns=8)
        assert abs(np.corrcoef(numbers.ravel(), other.ravel())[0, 1]) < 0.06
    assert abs(np.corrcoef(numbers.T)[np.triu_indices(8, 1)]).max() < 0.25


def test_the_hash_is_that_of_splitmix64() -> None:
    first = _mix(np.arange(1, 4, dtype=np.uint64) * _GOLDEN)  # what it gives from a state of 0 on
    assert [hex(number) for number in first] == [
        "0xe220a8397b1dcdaf",
        "0x6e789e6aa1b965f4",
        "0x6c45d188009454f",
    ]


def test_what_is_drawn_has_the_range_that_was_asked_for() -> None:
    draw = Draws(uniforms("test", 1, 2, first=0, rows=400, columns=2), torch.device("cpu"))
    assert set(draw.whole(0, 5)) == set(range(5))
    numbers = draw(1, -2.0, 3.0)
    assert numbers.shape == (400, 1, 1, 1)
    assert -2.0 <= numbers.min() < -1.9 and 2.9 < numbers.max() <= 3.0


def test_each_epoch_shows_every_picture_once_in_an_order_of_its_own() -> None:
    first, second = permutation(1, 0, 50), permutation(1, 1, 50)
    assert sorted(first) == sorted(second) == list(range(50))
    assert not np.array_equal(first, second)
    with pytest.raises(ValueError, match="read-only"):  # they are kept
        first[0] = 1


def test_grain_has_variance_one_and_each_layer_is_softer_than_the_one_before() -> None:
    whole = torch.zeros(GRAINS, 1, SIDE, SIDE)
    layers = grain_at(whole, list(range(GRAINS)), [0] * GRAINS, [0] * GRAINS)[:, 0]
    assert torch.allclose(layers.std((1, 2)), torch.ones(GRAINS), atol=1e-3)
    for axis in (1, 2):  # likeness of neighbours, over the edges, too
        alike = (layers * layers.roll(1, axis)).mean((1, 2)).tolist()
        assert abs(alike[0]) < 0.01
        assert all(later > before + 0.1 for before, later in pairwise(alike))


def test_textures_go_on_beyond_their_edges() -> None:
    part, whole = torch.zeros(1, 1, 8, 6), torch.zeros(1, 1, SIDE, SIDE)
    top, left = SIDE - 3, SIDE - 5
    rolled = grain_at(whole, [2], [0], [0]).roll((3, 5), (2, 3))[..., :8, :6]
    assert torch.equal(grain_at(part, [2], [top], [left]), rolled)
    for found, tile in zip(dirt_at(part, [top], [left]), dirt_at(whole, [0], [0]), strict=True):
        assert torch.equal(found, tile.roll((3, 5), (2, 3))[..., :8, :6])


def test_dirt_is_many_specks_and_some_hairs_each_of_one_rarity() -> None:
    opacity, rarity = (t[0, 0].numpy() for t in dirt_at(torch.zeros(1, 1, SIDE, SIDE), [0], [0]))
    assert opacity.min() == 0.0 and opacity.max() == 1.0
    assert 0.002 < (opacity > 0).mean() < 0.05
    assert (rarity[opacity == 0] == 1.0).all()
    count, labels, stats, _ = cv2.connectedComponentsWithStats((opacity > 0).astype(np.uint8))
    assert 1000 < count < 1500
    long = stats[1:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(1) > 12
    assert 20 < long.sum() < 80
    first = {label: rarity[labels == label] for label in range(1, 60)}
    assert sum(np.ptp(values) == 0 for values in first.values()) > 50, "few lie on each other"
    assert len({float(values[0]) for values in first.values()}) > 50
