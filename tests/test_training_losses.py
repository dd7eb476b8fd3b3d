"""Losses, schedule and batches of training."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidcolor.colorspace import ab_from_rgb
from vidcolor.networks.efficientnet import EfficientNetLite
from vidcolor.training.batches import Batch, batches, picture_of, prepare, scaled_lab
from vidcolor.training.data import PhotoSet
from vidcolor.training.features import Vgg16Features, load_features
from vidcolor.training.losses import (
    ADVERSARIAL,
    adversary_loss,
    deception_loss,
    huber,
    l1,
    matching_loss,
    perceptual_loss,
    relative_distance,
)
from vidcolor.training.moves import in_sight, moved
from vidcolor.training.objectives import Paired
from vidcolor.training.options import TrainOptions
from vidcolor.training.parallel import Place
from vidcolor.training.recipes import RECIPES, Stage
from vidcolor.training.schedule import position, rate_factor, stages_of
from vidcolor.training.screening import Report


def ab(seed: int, count: int = 4) -> Tensor:
    return 20.0 * torch.randn(count, 2, 8, 8, generator=torch.Generator().manual_seed(seed))


def maps(seed: int, count: int = 4) -> list[list[Tensor]]:
    """What a discriminator of two scales gives."""
    generator = torch.Generator().manual_seed(seed)
    return [
        [
            torch.randn(count, 3, side, side, generator=generator),
            torch.randn(count, 1, 2, 2, generator=generator),
        ]
        for side in (8, 4)
    ]


def test_pixel_losses_of_known_pictures() -> None:
    zero, ones = torch.zeros(1, 2, 4, 4), torch.ones(1, 2, 4, 4)
    assert l1(110.0 * ones, zero).item() == pytest.approx(1.0)
    assert huber(2.0 * ones, zero).item() == pytest.approx(0.5 * 4.0 / 10.0)  # below δ: x² / 2δ
    assert huber(30.0 * ones, zero).item() == pytest.approx(30.0 - 5.0)  # beyond: x - δ/2
    chroma = torch.tensor([40.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    wrong = chroma + 30.0
    assert huber(wrong, chroma, 1.0).item() == pytest.approx(3.0 * huber(wrong, chroma).item())


@pytest.mark.parametrize(
    ("form", "sure", "fooled"), [("bce", 0.0, 0.0), ("lsgan", 0.0, 0.0), ("hinge", 0.0, -30.0)]
)
def test_adversarial_losses_of_sure_and_fooled_judges(form: str, sure: float, fooled: float) -> None:
    high = 1.0 if form == "lsgan" else 30.0
    low = 0.0 if form == "lsgan" else -30.0
    true, made = [[torch.full((2, 1, 3, 3), high)]], [[torch.full((2, 1, 3, 3), low)]]
    assert adversary_loss(form, true, made).item() == pytest.approx(sure, abs=1e-6)
    assert adversary_loss(form, made, true).item() > 0.5
    assert deception_loss(form, true).item() == pytest.approx(fooled, abs=1e-6)
    assert deception_loss(form, made).item() > deception_loss(form, true).item()


def test_matching_and_perceptual_losses_vanish_for_equal_maps() -> None:
    one, other = maps(1), maps(2)
    assert matching_loss(one, one).item() == 0.0
    assert matching_loss(one, other).item() > 0.5
    features = [scale[0] for scale in one]
    assert perceptual_loss(features, features).item() == 0.0
    assert perceptual_loss(features, [3.0 * f for f in features]).item() == pytest.approx(0.0, abs=1e-9)
    assert perceptual_loss(features, [-f for f in features]).item() == pytest.approx(4.0, rel=1e-5)


def everywhere(planes: Tensor) -> Tensor:
    return torch.ones_like(planes[:, 0], dtype=torch.bool)


def test_relative_distance_does_not_gain_by_paler_colours() -> None:
    one, other = 5.0 * ab(1), 5.0 * ab(2)
    inside = everywhere(one)
    assert relative_distance(one, one, inside).item() == 0.0
    full = relative_distance(one, other, inside).item()
    assert relative_distance(0.5 * one, 0.5 * other, inside).item() == pytest.approx(full, rel=0.05)


def test_a_tint_of_the_whole_picture_counts_twice() -> None:
    one = 20.0 + ab(1)
    inside = everywhere(one)
    signs = torch.tensor([1.0, -1.0]).repeat(32).view(1, 1, 8, 8)
    mixed = relative_distance(one, one + 3.0 * signs, inside).item()
    assert relative_distance(one, one + 3.0, inside).item() == pytest.approx(2.0 * mixed, rel=0.1)


def test_relative_distance_asks_only_what_is_inside() -> None:
    one = 20.0 + ab(1)
    other = one.clone()
    other[:, :, :4] += 30.0
    inside = everywhere(one)
    assert relative_distance(one, other, inside).item() > 0.1
    inside[:, :4] = False
    assert relative_distance(one, other, inside).item() == 0.0


LOSSES: dict[str, Callable[[slice], Tensor]] = {
    "l1": lambda part: l1(ab(1)[part], ab(2)[part]),
    "huber": lambda part: huber(ab(1)[part], ab(2)[part], 0.7),
    "relative": lambda part: relative_distance(ab(1)[part], ab(2)[part], everywhere(ab(1)[part])),
    "perceptual": lambda part: perceptual_loss([s[0][part] for s in maps(1)], [s[0][part] for s in maps(2)]),
    "matching": lambda part: matching_loss(cut(1, part), cut(2, part)),
    **{f"adversary {f}": lambda p, f=f: adversary_loss(f, cut(1, p), cut(2, p)) for f in ADVERSARIAL},
    **{f"deception {f}": lambda p, f=f: deception_loss(f, cut(1, p)) for f in ADVERSARIAL},
}


def cut(seed: int, part: slice) -> list[list[Tensor]]:
    return [[m[part] for m in scale] for scale in maps(seed)]


@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_halves_average_to_that_of_the_whole(name: str) -> None:
    loss = LOSSES[name]
    halves = 0.5 * (loss(slice(0, 2)) + loss(slice(2, 4)))
    assert loss(slice(0, 4)).item() == pytest.approx(halves.item(), rel=1e-5)


# schedule


class Odd(nn.Module):
    """A generator whose statistics are far from those of any batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
        self.layers[1].running_mean += 3.0  # type: ignore[operator]

    def forward(self, lightness: Tensor) -> Tensor:
        return self.layers(lightness / 100.0)  # type: ignore[no-any-return]


STAY = torch.eye(2, 3).expand(4, 2, 3)


def test_a_picture_does_not_lie_apart_from_itself() -> None:
    torch.manual_seed(3)
    seen = 100.0 * torch.rand(4, 1, 16, 16)
    generator = Odd().train()
    paired = Paired(generator, nn.Identity(), None, RECIPES["default"])
    stage = Stage(share=1.0, rate=1.0, weights={"consistency": 1.0})
    found = {}
    for name, again in (("same", seen), ("other", 100.0 * torch.rand(4, 1, 16, 16))):
        batch = Batch(seen=seen, clean=seen, ab=torch.zeros(4, 2, 16, 16), again=again, moves=STAY)
        before = generator.layers[1].running_mean.clone()  # type: ignore[union-attr,operator]
        losses = paired.generator_losses(paired.make(batch, stage), batch, stage)
        found[name] = losses["consistency"].detach().item()
        moved = generator.layers[1].running_mean - before  # type: ignore[operator]
        assert moved.abs().max() > 0.0, "the pass that counts is made in training mode"
    assert found["same"] == pytest.approx(0.0, abs=1e-6)
    assert found["other"] > 0.01


@pytest.mark.parametrize(("training", "passes"), [(True, 3), (False, 2)])
def test_where_statistics_are_kept_anyway_no_picture_is_coloured_twice(training: bool, passes: int) -> None:
    torch.manual_seed(4)
    seen, again = 100.0 * torch.rand(2, 4, 1, 16, 16)
    generator, asked = Odd().train(training), []
    generator.register_forward_hook(lambda *given: asked.append(len(given[1][0])))
    paired = Paired(generator, nn.Identity(), None, RECIPES["default"])
    stage = Stage(share=1.0, rate=1.0, weights={"consistency": 1.0})
    batch = Batch(seen=seen, clean=seen, ab=torch.zeros(4, 2, 16, 16), again=again, moves=STAY)
    found = paired.generator_losses(paired.make(batch, stage), batch, stage)["consistency"]
    assert asked == [4, 2, 2][:passes]
    generator.eval()
    inside = in_sight(STAY[::2], 16, 16)
    wanted = relative_distance(generator(again[::2]), generator(seen[::2]), inside)
    if not training:
        assert found.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_stages_take_their_share_of_steps() -> None:
    options = TrainOptions(steps=10)
    stages = stages_of(RECIPES["default"], options)
    found = [position(stages, options, step, 0.0) for step in range(11)]
    assert [at.stage for at in found] == [0] * 6 + [1] * 5
    within = [*(step / 6 for step in range(6)), *(step / 4 for step in range(5))]
    assert [at.within for at in found] == pytest.approx(within)
    assert found[10].total == 1.0
    raised = position(stages, TrainOptions(steps=100), 6, 0.0, reached=1)
    assert (raised.stage, raised.within) == (1, 0.0), "it does not go back"


@pytest.mark.parametrize(("share", "count"), [(0.0, 1), (0.5, 2), (1.0, 1)])
def test_the_first_stage_gets_the_share_asked_for(share: float, count: int) -> None:
    stages = stages_of(RECIPES["default"], TrainOptions(steps=8, first_share=share))
    assert len(stages) == count
    assert sum(s.share for s in stages) == pytest.approx(1.0)
    assert stages[0].adversarial == (share == 0.0)


def test_grey_and_colour_pictures_are_different_ones_in_unpaired_training(photos: PhotoSet) -> None:
    side = 80 * 80 * 3
    for index in range(len(photos)):  # every second picture is red, the others blue
        planes = photos.pixels[index * side : (index + 1) * side].reshape(-1, 3)
        planes[:] = (255, 0, 0) if index % 2 else (0, 0, 255)
    for step in range(4):
        batch = first(photos, step=step, unpaired=True)
        assert batch.others is not None
        assert (batch.ab[:, 1] < 0).all(), "the grey ones are blue"
        assert (batch.others[:, 2] > 0).all(), "the coloured ones are red"


def test_the_clock_or_the_steps_end_a_run() -> None:
    options = TrainOptions(steps=100, minutes=1.0)
    stages = stages_of(RECIPES["pix2pix"], options)
    assert position(stages, options, 10, 30.0).total == pytest.approx(0.5)
    assert position(stages, options, 90, 30.0).total == pytest.approx(0.9)
    assert position(stages, options, 0, 61.0).total > 1.0


@pytest.mark.parametrize("decay", ["cosine", "late"])
def test_rates_rise_and_then_fall(decay: str) -> None:
    stage = Stage(share=1.0, rate=1.0, weights={}, decay=decay)
    assert rate_factor(stage, 0.0, 0, 10) == pytest.approx(0.1)
    assert rate_factor(stage, 0.0, 0, 200) < 0.01
    assert rate_factor(stage, 0.1, 10, 200) > 0.9, "no longer than a tenth of the stage"
    later = [rate_factor(stage, step / 100, step, 10) for step in range(10, 101)]
    assert all(b <= a for a, b in pairwise(later))
    assert later[0] > 0.9 and later[-1] == pytest.approx(0.01)
    assert rate_factor(stage, 0.5, 50, 10) == pytest.approx(1.0 if decay == "late" else 0.505)


# batches


@pytest.fixture
def photos() -> PhotoSet:
    rng = np.random.default_rng(0)
    count, side = 6, 80
    pixels = rng.integers(0, 256, count * side * side * 3, np.uint8)
    table = np.array([(i * side * side * 3, side, side) for i in range(count)], np.int64)
    listing = tuple((f"{i}.png", f"{i:064x}") for i in range(count))
    return PhotoSet(
        pixels=pixels, table=table, listing=listing, report=Report(kept=count, left_out={}, names={})
    )


def first(photos: PhotoSet, rank: int = 0, world: int = 1, step: int = 3, unpaired: bool = False) -> Batch:
    options = TrainOptions(steps=1, batch=8, crop=64)
    recipe = RECIPES["cyclegan" if unpaired else "default"]
    return next(batches(photos, options, Place(rank=rank, world=world), first_step=step, recipe=recipe))


@pytest.mark.parametrize("unpaired", [False, True])
def test_two_processes_together_see_what_one_sees(photos: PhotoSet, unpaired: bool) -> None:
    whole = first(photos, unpaired=unpaired)
    halves = [first(photos, rank, 2, unpaired=unpaired) for rank in range(2)]
    for name in ("seen", "clean", "ab", *(["others"] if unpaired else ["again", "moves"])):
        together = torch.cat([getattr(half, name) for half in halves])
        assert torch.allclose(together, getattr(whole, name), atol=1e-3), name


def test_the_parts_of_a_batch_are_the_batch(photos: PhotoSet) -> None:
    whole = first(photos)
    parts = whole.split(2)
    assert [len(p.seen) for p in parts] == [4, 4]
    assert all(p.others is None for p in parts)
    for name in ("seen", "clean", "ab", "again", "moves"):
        assert torch.equal(torch.cat([getattr(p, name) for p in parts]), getattr(whole, name)), name


@pytest.mark.parametrize("unpaired", [False, True])
def test_some_pictures_of_paired_training_never_had_a_colour(photos: PhotoSet, unpaired: bool) -> None:
    colours = torch.cat([first(photos, step=step, unpaired=unpaired).ab for step in range(25)])
    grey = int((colours.norm(dim=1).amax((1, 2)) < 0.5).sum())
    assert (grey == 0) if unpaired else (3 <= grey <= 30), grey


def test_grey_is_damaged_and_truth_is_not() -> None:
    rgb = torch.rand(8, 3, 64, 64)
    options = TrainOptions(steps=1, crop=64)
    batch = prepare(rgb, options, step=0, first=0)
    assert torch.equal(batch.ab, ab_from_rgb(rgb))
    assert not torch.allclose(batch.seen, batch.clean)
    spared = prepare(rgb, TrainOptions(steps=1, crop=64, strength=0.0), step=0, first=0)
    assert torch.allclose(spared.seen, spared.clean)
    assert batch.again is None and batch.moves is None


def test_the_second_view_is_the_same_picture_moved() -> None:
    rgb = F.interpolate(torch.rand(8, 3, 6, 6), size=(64, 64), mode="bicubic").clamp(0.0, 1.0)
    options = TrainOptions(steps=1, crop=64, strength=0.0)
    batch = prepare(rgb, options, step=0, first=0, twice=True)
    assert batch.again is not None and batch.moves is not None
    assert batch.again.shape == batch.seen.shape
    inside = in_sight(batch.moves, 64, 64)
    apart = (batch.again - moved(batch.seen, batch.moves)).abs()[:, 0][inside]
    assert apart.mean() < 0.1 < (batch.again - batch.seen).abs()[:, 0][inside].mean()


def test_pictures_are_put_together_from_lightness_and_colour() -> None:
    lightness = torch.full((1, 1, 8, 8), 50.0)
    grey = picture_of(lightness, torch.zeros(1, 2, 4, 4))
    assert grey.shape == (1, 3, 8, 8)
    assert torch.allclose(grey, grey[:, :1].expand(-1, 3, -1, -1), atol=1e-4)
    red = picture_of(lightness, torch.tensor([60.0, 40.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4))
    assert red[0, 0].min() > red[0, 1:].max()
    assert (
        scaled_lab(lightness, torch.full((1, 2, 4, 4), 110.0)).flatten().tolist() == [0.0] * 16 + [1.0] * 32
    )


# feature networks


def test_feature_networks_are_told_by_their_tensors(tmp_path: Path) -> None:
    torch.save(EfficientNetLite("lite1", 3).state_dict(), tmp_path / "lite1.pth")
    lite = load_features(tmp_path / "lite1.pth")
    vgg = Vgg16Features()
    state = {f"features.{k}": v for k, v in vgg.layers.state_dict().items()}
    torch.save(state | {"classifier.0.weight": torch.zeros(2, 2)}, tmp_path / "vgg.pth")
    loaded = load_features(tmp_path / "vgg.pth")
    for network in (lite, loaded):
        maps = network(torch.rand(1, 3, 64, 64))
        assert [m.shape[1] for m in maps] == list(network.channels)
        assert all(a.shape[-1] == 2 * b.shape[-1] for a, b in pairwise(maps))
        assert not any(p.requires_grad for p in network.parameters())
    rgb = torch.rand(1, 3, 64, 64)
    assert torch.allclose(loaded(rgb)[-1], vgg.eval()(rgb)[-1])
