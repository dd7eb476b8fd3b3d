from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vidcolor.networks.exposure import evened
from vidcolor.networks.unet import LiteUNet


def scenes() -> Tensor:
    """L* ``(3, 1, 48, 64)`` of a dark, a middling and a light picture."""
    torch.manual_seed(4)
    coarse = torch.rand(3, 1, 6, 8) * torch.tensor([0.4, 0.7, 0.4]).view(3, 1, 1, 1)
    fine = torch.nn.functional.interpolate(coarse, size=(48, 64), mode="bilinear")
    return 100 * (fine + torch.tensor([0.2, 0.15, 0.35]).view(3, 1, 1, 1))


def exposure(luminance: Tensor) -> Tensor:
    """Logarithm of the odds of the mean, ``(N,)``."""
    return torch.logit(luminance.mean((1, 2, 3)) / 100)


@pytest.mark.parametrize("gamma", [0.8, 1.25])
@pytest.mark.parametrize(("strength", "left"), [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)])
def test_exposures_come_nearer_to_each_other(strength: float, left: float, gamma: float) -> None:
    picture = scenes()
    other = 100 * (picture / 100) ** gamma
    before = exposure(other) - exposure(picture)
    after = exposure(evened(other, strength)) - exposure(evened(picture, strength))
    assert torch.allclose(after / before, torch.full((3,), left), atol=0.15)


def test_at_full_strength_the_mean_is_middle_grey() -> None:
    assert torch.allclose(evened(scenes(), 1.0).mean((1, 2, 3)), torch.full((3,), 48.0), atol=1.5)


def test_each_picture_is_corrected_for_itself() -> None:
    together = evened(scenes(), 0.5)
    alone = torch.cat([evened(one[None], 0.5) for one in scenes()])
    assert torch.allclose(together, alone, atol=1e-3)


def test_black_bars_do_not_count() -> None:
    picture = scenes()
    barred = torch.nn.functional.pad(picture, (0, 0, 16, 16))
    inside = evened(barred, 0.5)[:, :, 16:-16]
    assert torch.allclose(inside, evened(picture, 0.5), atol=0.5)


@pytest.mark.parametrize("level", [0.0, 0.3, 48.0])
def test_black_and_middle_grey_stay(level: float) -> None:
    picture = torch.full((1, 1, 32, 32), level)
    assert torch.allclose(evened(picture, 1.0), picture, atol=0.3)


@pytest.mark.parametrize("level", [1.5, 5.0, 95.0, 99.5])
def test_the_slope_is_bounded(level: float) -> None:
    made = evened(torch.full((1, 1, 32, 32), level), 1.0).mean() / 100
    moved = torch.logit(made) - torch.logit(torch.tensor(level / 100))
    assert float(moved.abs().exp()) <= 4.01


def test_black_and_white_stay_where_they_are_and_order_is_kept() -> None:
    ramp = torch.linspace(0.0, 100.0, 64).view(1, 1, 1, 64).expand(1, 1, 32, 64)
    for picture in (ramp, ramp.clamp(0.0, 30.0), ramp.clamp(60.0, 100.0)):
        made = evened(picture, 0.6)
        assert (made.diff(dim=3) >= 0.0).all()
        assert 0.0 <= float(made.min()) <= float(made.max()) <= 100.0
    made = evened(ramp, 0.6)
    assert float(made.min()) == 0.0
    assert float(made.max()) == pytest.approx(100.0)


def test_a_fade_to_black_is_followed_without_a_leap() -> None:
    picture = scenes()[1:2]
    steps = [evened(picture * level, 0.5).mean() for level in torch.linspace(1.0, 0.0, 101)]
    leaps = torch.stack(steps).diff()
    assert (leaps <= 0.0).all()
    assert leaps.abs().max() < 5.0


def test_a_generator_corrects_what_it_sees() -> None:
    torch.manual_seed(5)
    plain = LiteUNet("lite0", (8, 8, 8, 8)).eval()
    torch.nn.init.normal_(plain.head.weight)
    other = LiteUNet("lite0", (8, 8, 8, 8), 0.5).eval()
    other.load_state_dict(plain.state_dict())
    picture = torch.nn.functional.interpolate(scenes(), size=(64, 64))
    with torch.no_grad():
        assert torch.equal(other(picture), plain(evened(picture, 0.5)))
        assert not torch.allclose(other(picture), plain(picture), atol=1e-3)
