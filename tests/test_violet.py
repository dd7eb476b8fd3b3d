from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from vidcolor.networks.unet import LiteUNet
from vidcolor.networks.violet import without_violet


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


def test_only_where_films_are_coloured_not_while_training() -> None:
    torch.manual_seed(0)
    calm = LiteUNet("lite0", (16, 16, 8, 8), less_violet=0.8)
    with torch.no_grad():
        calm.head.bias.copy_(torch.tensor([0.1, -0.05]))  # violet all over
    plain = LiteUNet("lite0", (16, 16, 8, 8))
    plain.load_state_dict(calm.state_dict())
    picture = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(1)) * 40
    with torch.inference_mode():
        assert torch.equal(calm.train()(picture), plain.train()(picture))
        plain.load_state_dict(calm.state_dict())  # its statistics have moved alike
        before, after = plain.eval()(picture), calm.eval()(picture)
    assert torch.equal(after, without_violet(before, picture, 0.8))
    assert after.norm() < 0.5 * before.norm()
