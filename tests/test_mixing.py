"""Pictures put together anew, crops of several sizes, blocks left out: against learning by heart."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from vidcolor.networks.efficientnet import EfficientNetLite, MBConv
from vidcolor.networks.unet import LiteUNet
from vidcolor.training.batches import batches
from vidcolor.training.building import build_state
from vidcolor.training.data import PhotoSet
from vidcolor.training.depth import BlockDropout
from vidcolor.training.loop import _prepare
from vidcolor.training.mixing import INSET_SHARE, TURN_SHARE, turned, with_insets
from vidcolor.training.options import Files, TrainOptions
from vidcolor.training.parallel import Place
from vidcolor.training.recipes import RECIPES
from vidcolor.training.screening import Report


def ramps(count: int, side: int = 64) -> torch.Tensor:
    """R'G'B' whose red is the place across, and green the place down, 0..1."""
    at = (torch.arange(side) + 0.5) / side
    red, green = at.expand(side, side), at[:, None].expand(side, side)
    return torch.stack((red, green, torch.full_like(red, 0.25))).expand(count, 3, side, side).contiguous()


def test_some_pictures_are_turned_a_little_and_no_corner_stays_empty() -> None:
    before = ramps(400, 32)
    after = turned(before, seed=1, step=5)
    struck = (after != before).flatten(1).any(1)
    assert abs(float(struck.float().mean()) - TURN_SHARE) < 0.07
    down = (after[:, 1, -1] - after[:, 1, 0]).mean(1)[struck]
    tilt = (after[:, 1, :, -1] - after[:, 1, :, 0]).mean(1)[struck] / down  # green across for green down
    assert float(tilt.abs().max()) < np.tan(np.radians(10.5)) and float(tilt.std()) > 0.05
    places = after[:, :2]
    for axis in (
        2,
        3,
    ):  # even steps up to the corners: nothing from beyond the picture, whose edges are repeated
        assert float(places.diff(n=2, dim=axis).abs().max()) < 1e-5
    across, along = places[..., -1] - places[..., 0], places[:, :, -1] - places[:, :, 0]
    assert torch.allclose(across[:, 0, 0], along[:, 1, 0], atol=1e-5), "neither stretched nor sheared"
    assert torch.allclose(across[:, 1, 0], -along[:, 0, 0], atol=1e-5)
    assert float(across[struck, 0, 0].max()) > 0.95 * 31 / 32, "enlarged just so far"
    assert float((after[:, 2] - 0.25).abs().max()) < 1e-6


def test_some_pictures_get_a_rectangle_of_another_one() -> None:
    side = 64
    before, others = torch.zeros(400, 3, side, side), ramps(400, side)
    after = with_insets(before, others, seed=1, step=5)
    inside = after[:, 2] > 0.2
    struck = inside.flatten(1).any(1)
    assert abs(float(struck.float().mean()) - INSET_SHARE) < 0.07
    scales = []
    for picture, mask in zip(after[struck], inside[struck], strict=True):
        rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
        for lines in (rows, columns):
            assert 0.3 < len(lines) / side < 0.8
            assert len(lines) == lines[-1] - lines[0] + 1
        assert int(mask.sum()) == len(rows) * len(columns)
        part = picture[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        scales.append(float(part[0, 0, -1] - part[0, 0, 0]) * side / (len(columns) - 1))
    assert 0.95 < min(scales) < 1.15 and 1.3 < max(scales) < 1.65


@pytest.mark.parametrize("act", ["turned", "insets"])
def test_each_picture_depends_on_seed_step_and_place_alone(act: str) -> None:
    rgb, others = torch.rand(12, 3, 32, 32), torch.rand(12, 3, 32, 32)

    def made(part: slice, seed: int = 2, step: int = 7) -> torch.Tensor:
        given = {"seed": seed, "step": step, "first": part.start or 0, "share": 0.7}
        if act == "turned":
            return turned(rgb[part], **given)  # type: ignore[arg-type]
        return with_insets(rgb[part], others[part], **given)  # type: ignore[arg-type]

    whole = made(slice(0, 12))
    assert torch.equal(torch.cat((made(slice(0, 6)), made(slice(6, 12)))), whole)
    assert not torch.equal(made(slice(0, 12), seed=3), whole)
    assert not torch.equal(made(slice(0, 12), step=8), whole)


def test_without_a_share_nothing_happens() -> None:
    rgb = torch.rand(4, 3, 32, 32)
    assert turned(rgb, seed=1, step=0, share=0.0) is rgb
    assert with_insets(rgb, rgb, seed=1, step=0, share=0.0) is rgb


@pytest.mark.parametrize("mixing", [True, False])
def test_crops_vary_in_size_where_a_recipe_mixes(mixing: bool) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, 12 * 96 * 96 * 3, np.uint8)
    table = np.array([(i * 96 * 96 * 3, 96, 96) for i in range(12)])
    listing = tuple((f"{i}", f"{i}") for i in range(12))
    photos = PhotoSet(pixels=pixels, table=table, listing=listing, report=Report(kept=12))
    options = TrainOptions(steps=1, batch=2, crop=96, strength=0.0)
    recipe = dataclasses.replace(RECIPES["default"], mixing=mixing)
    place = Place(rank=0, world=1, device=torch.device("cpu"))
    sizes = [
        b.seen.shape[-1]
        for b in itertools.islice(batches(photos, options, place, first_step=0, recipe=recipe), 40)
    ]
    if mixing:
        assert set(sizes) == {64, 96} and 10 <= sizes.count(96) <= 30
    else:
        assert set(sizes) == {96}


def test_a_recipe_that_mixes_turns_pictures_and_sets_parts_of_others_into_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    side, count = 64, 40
    colours = np.random.default_rng(1).integers(40, 216, (count, 1, 1, 3), np.uint8)
    pixels = np.broadcast_to(colours, (count, side, side, 3)).reshape(-1)
    table = np.array([(i * side * side * 3, side, side) for i in range(count)])
    listing = tuple((f"{i}", f"{i}") for i in range(count))
    photos = PhotoSet(pixels=pixels, table=table, listing=listing, report=Report(kept=count))
    options = TrainOptions(steps=1, batch=count, crop=side, strength=0.0)
    place = Place(rank=0, world=1, device=torch.device("cpu"))
    monkeypatch.setattr("vidcolor.training.batches.with_cards", lambda rgb, **_: rgb)
    steps: list[int] = []

    def noted(rgb: torch.Tensor, *, seed: int, step: int, first: int) -> torch.Tensor:
        steps.append(step)
        return turned(rgb, seed=seed, step=step, first=first)

    monkeypatch.setattr("vidcolor.training.batches.turned", noted)
    for mixing in (False, True):
        recipe = dataclasses.replace(RECIPES["default"], mixing=mixing)
        batch = next(batches(photos, options, place, first_step=3, recipe=recipe))
        mixed = int((batch.ab.flatten(2).std(2).sum(1) > 0.5).sum())
        assert mixed in (range(5, 25) if mixing else range(1))
        assert steps == [3] * mixing


def test_a_run_leaves_out_blocks_as_its_recipe_says(tmp_path: Path) -> None:
    options = TrainOptions(
        steps=1, generator={"variant": "lite0", "decoder": [16, 16, 8, 8]}, crop=64, seed=4
    )
    state = build_state(options, Files(out=tmp_path / "a", work=tmp_path), torch.device("cpu"))
    assert isinstance(state.generator, LiteUNet)
    picture = torch.rand(1, 1, 64, 64) * 100.0
    seen = []
    for step in range(12):
        state.counters.step = step
        _prepare(state, RECIPES["default"].stages[0], options, 0.0)
        state.generator.eval()
        seen.append(float(state.generator.encoder(picture)[-1].sum().detach()))
    assert len(set(seen)) > 2
    assert len({float(state.average.get_submodule("encoder")(picture)[-1].sum()) for _ in range(2)}) == 1


def test_blocks_are_left_out_by_step_and_only_with_gradients() -> None:
    torch.manual_seed(1)
    encoder = EfficientNetLite("lite0").eval()
    picture = torch.rand(2, 1, 64, 64) * 100.0
    with torch.no_grad():
        plain = encoder(picture)[-1]
    dropout = BlockDropout(encoder, 0.5, seed=4)
    made = []
    for step in (1, 2, 1):
        dropout.begin(step)
        with torch.no_grad():
            assert torch.equal(encoder(picture)[-1], plain)
        made.append(encoder(picture)[-1].detach())
    assert torch.equal(made[0], made[2])
    assert not torch.equal(made[0], made[1])


def test_what_is_kept_counts_the_more_so_that_the_mean_stays() -> None:
    encoder = EfficientNetLite("lite0").eval()
    dropout = BlockDropout(encoder, 0.4, seed=4)
    blocks = [block for stage in encoder.stages for block in stage.children()]
    index, block = [(i, b) for i, b in enumerate(blocks) if isinstance(b, MBConv) and b.residual][-1]
    maps = torch.rand(1, block.layers[0][0].in_channels, 4, 4)  # type: ignore[index]
    with torch.no_grad():
        branch = block.layers(maps)
    factors = []
    for step in range(300):
        dropout.begin(step)
        made = block.layers(maps)
        factors.append(float((made.sum() / branch.sum()).detach()))
    share = 0.4 * (index + 1) / len(blocks)
    assert {round(f, 4) for f in factors} == {0.0, round(1.0 / (1.0 - share), 4)}
    assert np.mean(factors) == pytest.approx(1.0, abs=0.15)


def test_networks_are_saved_without_what_left_blocks_out() -> None:
    encoder = EfficientNetLite("lite0")
    names = list(encoder.state_dict())
    BlockDropout(encoder, 0.4, seed=1)
    assert list(encoder.state_dict()) == names
