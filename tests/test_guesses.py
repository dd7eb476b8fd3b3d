from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from vidcolor.networks.guesses import without_cyan, without_violet
from vidcolor.networks.unet import LiteUNet


def colour(hue: float, chroma: float) -> Tensor:
    """ab ``(1, 2, 4, 4)`` of one colour, its hue in degrees."""
    at = torch.tensor([math.cos(math.radians(hue)), math.sin(math.radians(hue))])
    return (chroma * at).view(1, 2, 1, 1).expand(1, 2, 4, 4)


def grey(luminance: float) -> Tensor:
    return torch.full((1, 1, 8, 8), luminance)


@pytest.mark.parametrize("hue", [-40.0, -25.0, -10.0])
def test_weak_violet_is_taken_back_where_it_is_dark(hue: float) -> None:
    violet = colour(hue, 10.0)
    assert torch.allclose(without_violet(violet, grey(30.0), 0.8), violet * 0.2, atol=1e-4)
    assert torch.equal(without_violet(violet, grey(30.0), 0.0), violet)


@pytest.mark.parametrize(
    ("hue", "chroma", "luminance"),
    [
        (-80.0, 10.0, 30.0),  # navy blue
        (30.0, 10.0, 30.0),  # skin in shadow, wood
        (155.0, 10.0, 30.0),  # the opposite
        (-25.0, 35.0, 30.0),  # violet that is meant
        (-25.0, 10.0, 75.0),  # a light pink
        (-25.0, 0.0, 30.0),
    ],
)
def test_other_colours_stay_as_they_are(hue: float, chroma: float, luminance: float) -> None:
    given = colour(hue, chroma)
    assert torch.equal(without_violet(given, grey(luminance), 0.8), given)


def test_nothing_changes_abruptly() -> None:
    """Neighbours in hue, chroma and lightness stay neighbours: a film is made of such."""
    chroma = torch.linspace(0.0, 40.0, 161)
    hue = torch.deg2rad(torch.linspace(-90.0, 40.0, 521))
    ab = torch.stack((chroma[None] * hue.cos()[:, None], chroma[None] * hue.sin()[:, None]))[None]
    calm = without_violet(ab, torch.full((1, 1, 2 * len(hue), 2 * len(chroma)), 40.0), 0.8)
    assert calm.norm() < 0.95 * ab.norm()
    for axis in (2, 3):
        before, after = (torch.diff(one, dim=axis).norm(dim=1).max() for one in (ab, calm))
        assert after < 2.7 * before  # 1 + 2 * 0.8 where chroma is nearly strong
    light = torch.linspace(40.0, 80.0, 81).repeat_interleave(2).expand(1, 1, 8, 162)
    over = without_violet(colour(-25.0, 15.0)[..., :1].expand(1, 2, 4, 81), light, 0.8)
    assert over[..., 0].norm() < 0.25 * over[..., -1].norm()
    assert torch.diff(over, dim=3).norm(dim=1).max() < 0.5


def spot(hue: float, chroma: float, around: tuple[float, float]) -> Tensor:
    """ab ``(1, 2, 48, 48)``: 4 pixels of one colour amid another, each hue and chroma."""
    ab = colour(*around)[..., :1, :1].repeat(1, 1, 48, 48)
    ab[..., 23:25, 23:25] = colour(hue, chroma)[..., :2, :2]
    return ab


SKIN, LEAVES, WATER = (50.0, 20.0), (125.0, 15.0), (190.0, 12.0)


@pytest.mark.parametrize("hue", [165.0, 190.0, 215.0])
@pytest.mark.parametrize("around", [SKIN, LEAVES, (0.0, 0.0)])
def test_weak_cyan_is_taken_back_amid_other_colours(hue: float, around: tuple[float, float]) -> None:
    rim = spot(hue, 20.0, around)
    at = torch.zeros(48, 48, dtype=torch.bool)
    at[23:25, 23:25] = True
    calm = without_cyan(rim, 0.8)
    assert torch.allclose(calm[..., at], rim[..., at] * 0.2, atol=1e-4)
    assert torch.equal(calm[..., ~at], rim[..., ~at])
    assert torch.equal(without_cyan(rim, 0.0), rim)


@pytest.mark.parametrize(
    ("hue", "chroma", "around"),
    [
        (*WATER, WATER),
        (265.0, 15.0, SKIN),  # sky
        (130.0, 15.0, SKIN),  # leaves
        (10.0, 15.0, LEAVES),  # the opposite
        (190.0, 42.0, SKIN),  # cyan that is meant
        (190.0, 0.0, SKIN),
    ],
)
def test_water_sky_leaves_and_loud_cyan_stay_as_they_are(
    hue: float, chroma: float, around: tuple[float, float]
) -> None:
    given = spot(hue, chroma, around)
    assert torch.equal(without_cyan(given, 0.8), given)


def test_cyan_ends_softly_where_its_surroundings_begin_to_share_it() -> None:
    """Water that a film pans onto from a shore does not gain its colour all at once."""
    kept = []
    for width in range(49):
        picture = colour(*SKIN)[..., :1, :1].repeat(1, 1, 48, 96)
        picture[..., 48 - width :] = colour(*WATER)[..., :1, :1]
        picture[..., 20:22, 40:42] = colour(*WATER)[..., :2, :2]
        kept.append(float(without_cyan(picture, 0.8)[0, :, 20, 40].norm()))
    assert kept[0] < 3.0 and kept[-1] > 11.9
    assert all(later >= before - 1e-3 for before, later in itertools.pairwise(kept))
    assert max(later - before for before, later in itertools.pairwise(kept)) < 3.5


@pytest.mark.parametrize("setting", ["less_violet", "less_cyan"])
def test_only_where_films_are_coloured_not_while_training(setting: str) -> None:
    torch.manual_seed(0)
    calm = LiteUNet("lite0", (16, 16, 8, 8), **{setting: 0.8})  # type: ignore[arg-type]
    violet = setting == "less_violet"
    with torch.no_grad():
        calm.head.bias.copy_(torch.tensor([0.1, -0.05] if violet else [-0.02, -0.005]))  # all over
    plain = LiteUNet("lite0", (16, 16, 8, 8))
    plain.load_state_dict(calm.state_dict())
    picture = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(1)) * 40
    with torch.inference_mode():
        assert torch.equal(calm.train()(picture), plain.train()(picture))
        plain.load_state_dict(calm.state_dict())  # its statistics have moved alike
        before, after = plain.eval()(picture), calm.eval()(picture)
    expected = without_violet(before, picture, 0.8) if violet else without_cyan(before, 0.8)
    assert torch.equal(after, expected)
    assert after.norm() < 0.95 * before.norm()
