"""The command and the loop: what a run writes, how it goes on, what it refuses."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from vidcolor.checkpoint import load_generator, record, save_weights
from vidcolor.errors import UsageError
from vidcolor.networks.efficientnet import EfficientNetLite
from vidcolor.networks.pix2pix import Pix2PixUNet
from vidcolor.networks.unet import LiteUNet
from vidcolor.stages.predict import Predictor
from vidcolor.training.cache import _locked
from vidcolor.training.calibration import recalibrate
from vidcolor.training.cli import main
from vidcolor.training.data import PhotoSet, load_photos
from vidcolor.training.options import TrainOptions
from vidcolor.training.recipes import RECIPES
from vidcolor.training.records import Records
from vidcolor.training.run import held
from vidcolor.training.state import save_checkpoint

SMALL = {
    "default": ["-g", "variant=lite0", "-g", "decoder=[16,16,8,8]"],
    "pix2pix": ["-g", "downs=5", "-g", "filters=4"],
    "resnet": ["-g", "encoder=mobilenet_v2", "-g", "decoder=[16,16,8,8]"],
    "pix2pixhd": ["-g", "filters=2", "-g", "blocks=1"],
    "cyclegan": ["-g", "filters=4", "-g", "blocks=1"],
}


def photograph(seed: int, height: int = 96, width: int = 128) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 6, 8, generator=generator)
    rgb = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1) * 255
    return rgb.byte()[0]


def save(rgb: torch.Tensor, path: Path) -> None:
    Image.fromarray(rgb.permute(1, 2, 0).contiguous().numpy()).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("photos")
    for index in range(12):
        save(photograph(index), place / f"{index:02d}.png")
    return place


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict as ImageNet's, with random numbers."""
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("features") / "lite0.pth"
    torch.save(EfficientNetLite("lite0", 3).state_dict(), path)
    return path


def arguments(folder: Path, out: Path, recipe: str = "default", **changed: Any) -> list[str]:
    """A run of four steps on the CPU; a keyword of None leaves the option out."""
    options: dict[str, Any] = {
        "steps": 4,
        "batch": 4,
        "crop": 64,
        "every": 2,
        "warm_up": 1,
        "precision": "fp32",
    }
    pairs = [(f"--{k.replace('_', '-')}", v) for k, v in (options | changed).items() if v is not None]
    flat = [part for name, value in pairs for part in ((name,) if value is True else (name, str(value)))]
    return [
        str(folder),
        "--out",
        str(out),
        "--recipe",
        recipe,
        "--device",
        "cpu",
        "-q",
        *SMALL[recipe],
        *flat,
    ]


def train(folder: Path, out: Path, recipe: str = "default", **changed: Any) -> Result:
    return CliRunner().invoke(main, arguments(folder, out, recipe, **changed))


def lines(out: Path, kind: str) -> list[dict[str, Any]]:
    text = (out.with_name(out.name + ".train") / "metrics.jsonl").read_text()
    return [line for line in map(json.loads, text.splitlines()) if line["kind"] == kind]


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return load_generator(str(path)).network.state_dict()


@pytest.mark.parametrize("recipe", SMALL)
def test_every_recipe_writes_a_generator_that_the_colorizer_takes(
    recipe: str, folder: Path, features: Path, tmp_path: Path
) -> None:
    out = tmp_path / "own.safetensors"
    result = train(folder, out, recipe, features=features)
    assert result.exit_code == 0, result.output
    generator = load_generator(str(out))
    predict = Predictor(generator, torch.device("cpu"), "float32")
    ab = predict(torch.rand(1, 1, 64, 64) * 100, (60, 64))[0]
    assert ab.shape == (60, 64, 2)
    assert "11 pictures" in generator.metadata["data"]
    assert "4 steps" in generator.metadata["recipe"]


@pytest.mark.usefixtures("curves")
def test_a_run_leaves_numbers_pictures_and_curves(folder: Path, features: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    assert train(folder, out, features=features).exit_code == 0
    work = tmp_path / "own.safetensors.train"
    [last] = [line for line in lines(out, "train") if line["step"] == 4]
    assert {"pixel", "perceptual", "gan", "adversary", "rate"} <= last.keys()
    assert [line["step"] for line in lines(out, "validation")] == [2, 3, 4]
    assert {p.name for p in (work / "samples").iterdir()} == {f"step-00000{i}.png" for i in (2, 3, 4)}
    with Image.open(work / "curves.png") as curves:
        assert curves.width > 300
    assert load_generator(str(work / "stage-1.safetensors")).metadata["recipe"].count("to stage 1")
    listing = (tmp_path / "own.data.sha256").read_text().splitlines()
    assert len(listing) == 11 and all(len(line.split("  ")[0]) == 64 for line in listing)


@pytest.mark.usefixtures("curves")
def test_a_number_that_stands_alone_is_seen_in_the_curves(tmp_path: Path) -> None:
    lines = [{"step": 500, "kind": "validation", "psnr": 21.0}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    Records(tmp_path, 500).close()
    with Image.open(tmp_path / "curves.png") as curves:
        rgb = np.asarray(curves.convert("RGB"), np.int32)
    assert (rgb.max(2) - rgb.min(2) > 60).sum() > 10  # frame and letters are grey


@pytest.fixture
def curves() -> None:
    """For tests that want them drawn."""


@pytest.fixture(autouse=True)
def no_curves(request: pytest.FixtureRequest) -> Iterator[None]:
    """A third of the time of a short run goes into them."""
    if "curves" in request.fixturenames:
        yield
    else:
        with mock.patch("vidcolor.training.records._draw"):
            yield


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """With several, gradients of depthwise weights differ in their last digits from run to run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def start(parts: list[str], **environment: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from vidcolor.training.cli import main; main()", *parts]
    single = {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=os.environ | single | environment, stderr=subprocess.PIPE)


@pytest.mark.parametrize("recipe", ["default", "pix2pix", "cyclegan"])
def test_killed_and_run_again_it_gives_the_same_losses(
    recipe: str, folder: Path, features: Path, tmp_path: Path
) -> None:
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    settings = {"steps": 10, "features": features, "checkpoint_minutes": 1e-6, "every": 5, "batch": 2}
    if recipe == "default":
        settings["first_share"] = 0.25  # the kill is to fall into the adversarial stage
    settings["crop"] = 64 if recipe == "pix2pix" else 32
    assert train(folder, whole, recipe, **settings).exit_code == 0
    process = start(arguments(folder, broken, recipe, **settings))
    numbers = tmp_path / "broken.safetensors.train" / "metrics.jsonl"
    while process.poll() is None and not (numbers.exists() and '"step": 5,' in numbers.read_text()):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it ended before it could be killed"
    again = train(folder, broken, recipe, **settings)
    assert again.exit_code == 0, again.output
    assert "going on at step" in again.output
    for kind in ("train", "validation"):
        assert without_speed(lines(whole, kind)) == without_speed(lines(broken, kind))
    one, other = weights_of(whole), weights_of(broken)
    assert all(torch.equal(one[k], other[k]) for k in one)


def without_speed(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k != "pictures_per_second"} for line in found]


def test_two_processes_lose_as_much_as_one_with_the_whole_batch(
    folder: Path, features: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    settings = {"steps": 3, "batch": 8, "features": features, "freeze_norm": True, "every": 3}
    assert train(folder, one, **settings).exit_code == 0
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    parts = [*arguments(folder, two, **settings), "--cache", str(tmp_path / "cache")]
    pair = [start(parts, RANK=str(rank), LOCAL_RANK=str(rank), **shared) for rank in range(2)]
    for process in pair:
        _, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors.decode()
    for kind in ("train", "validation"):
        for left, right in zip(lines(one, kind), lines(two, kind), strict=True):
            for name in left.keys() - {"pictures_per_second", "kind"}:
                assert left[name] == pytest.approx(right[name], rel=1e-3, abs=1e-5), name


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_batch_in_parts_gives_the_same_step(folder: Path, features: Path, tmp_path: Path) -> None:
    whole, parted = tmp_path / "whole.safetensors", tmp_path / "parted.safetensors"
    settings = {"steps": 4, "batch": 8, "features": features, "freeze_norm": True}
    assert train(folder, whole, **settings).exit_code == 0
    assert train(folder, parted, accumulate=2, **settings).exit_code == 0
    [left], [right] = lines(whole, "train"), lines(parted, "train")
    for name in ("pixel", "perceptual", "gan", "adversary"):
        assert left[name] == pytest.approx(right[name], rel=1e-3, abs=1e-4), name


@pytest.mark.parametrize("kept", [False, True])
def test_statistics_see_a_batch_in_parts_once_or_are_kept(
    kept: bool, folder: Path, features: Path, tmp_path: Path
) -> None:
    out = tmp_path / "own.safetensors"
    own = RECIPES["default"]
    assert own.stages[1].keep_norms and not own.stages[0].keep_norms
    recipe = replace(own, stages=(own.stages[0], replace(own.stages[1], keep_norms=kept)))
    with mock.patch.dict(RECIPES, {"default": recipe}):
        assert train(folder, out, steps=1, first_share=0, accumulate=2, features=features).exit_code == 0
    stored = torch.load(tmp_path / "own.safetensors.train" / "checkpoint.pt", weights_only=True)
    seen = {int(v) for k, v in stored["networks"]["generator"].items() if k.endswith("num_batches_tracked")}
    assert seen == {0 if kept else 2}


def test_norms_are_taken_anew_at_the_end_an_encoder_s_excepted(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    assert train(folder, out, freeze_norm=True).exit_code == 0
    before = weights_of(out)
    result = train(folder, out, freeze_norm=True, recalibrate=20)  # the run has ended: this alone is done
    assert result.exit_code == 0, result.output
    after = weights_of(out)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    norms = {name for name in before if name.endswith(statistics) and not name.startswith("encoder.")}
    assert changed == norms
    assert "recalibrated on 20 crops" in load_generator(str(out)).metadata["recipe"]
    assert [line["step"] for line in lines(out, "validation")] == [2, 3, 4]
    assert train(folder, out, freeze_norm=True, recalibrate=20).exit_code == 0
    assert [line["step"] for line in lines(out, "recalibrated")] == [4], "judged again, said once"
    for name in ("best", "stage-1"):
        kept = tmp_path / "own.safetensors.train" / f"{name}.safetensors"
        assert "recalibrated" not in load_generator(str(kept)).metadata["recipe"]


def test_statistics_are_the_means_over_whole_undamaged_batches(folder: Path, tmp_path: Path) -> None:
    photos = load_photos([folder], tmp_path / "cache", smallest=64)
    network = LiteUNet(variant="lite0", decoder=[16, 16, 8, 8]).eval()
    norm = next(m for n, m in network.named_modules() if n == "bottleneck.1")
    assert isinstance(norm, torch.nn.BatchNorm2d)
    seen: list[torch.Tensor] = []
    norm.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    for seed in (7, 8):  # what is there before plays no part
        seen.clear()
        recalibrate(network, photos, 20, crop=64, seed=seed)
        assert [len(x) for x in seen] == [16, 16]
        means = torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0)
        spreads = torch.stack([x.var((0, 2, 3)) for x in seen]).mean(0)
        assert torch.allclose(norm.running_mean, means, rtol=1e-3, atol=0.01 * float(means.abs().max()))
        assert torch.allclose(norm.running_var, spreads, rtol=1e-4, atol=0.0)
    assert not any(m.training for m in network.modules())
    assert norm.momentum == torch.nn.BatchNorm2d(1).momentum


def test_the_best_weights_are_not_taken_anew(folder: Path, tmp_path: Path) -> None:
    result = train(folder, tmp_path / "own.safetensors", recalibrate=20, keep="best")
    assert result.exit_code == 2
    assert "--recalibrate" in result.output


def test_a_generator_without_norms_cannot_be_recalibrated(folder: Path, tmp_path: Path) -> None:
    result = train(folder, tmp_path / "own.safetensors", "cyclegan", recalibrate=20)
    assert result.exit_code == 2
    assert "has no BatchNorm" in result.output
    assert not (tmp_path / "own.safetensors.train").exists(), "said before the pictures are read"
    with pytest.raises(UsageError):
        TrainOptions(steps=1, recalibrate=-1)


@pytest.mark.parametrize(
    ("recipe", "given", "says"),
    [
        ("pix2pix", {"freeze_encoder": 5}, "no pretrained encoder"),
        ("default", {"freeze_encoder": 5}, "no pretrained encoder"),
        ("cyclegan", {"freeze_norm": True}, "no network of this recipe has BatchNorm"),
    ],
)
def test_what_would_freeze_nothing_is_refused(
    recipe: str, given: dict[str, Any], says: str, folder: Path, tmp_path: Path
) -> None:
    result = train(folder, tmp_path / "own.safetensors", recipe, **given)
    assert result.exit_code == 2
    assert says in result.output


def test_weights_that_are_no_numbers_are_not_begun_with(folder: Path, tmp_path: Path) -> None:
    network = Pix2PixUNet(downs=5, filters=4)
    next(network.parameters()).data[0] = float("nan")
    save_weights(tmp_path / "bad.safetensors", network, recipe="none", data="none", date="2026-01-01")
    result = train(folder, tmp_path / "own.safetensors", "pix2pix", init=tmp_path / "bad.safetensors")
    assert result.exit_code == 4
    assert "bad.safetensors: some of its weights are no numbers" in result.output


def test_training_learns(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    result = train(folder, out, steps=60, every=60, first_share=1.0, strength=0.0, validation=folder)
    assert result.exit_code == 0, result.output
    [last] = lines(out, "validation")
    assert last["psnr"] > last["grey_psnr"] + 0.5
    assert "are learned from too" in result.output


def test_only_a_pretrained_encoder_learns_more_slowly(folder: Path, tmp_path: Path) -> None:
    """The recipe's factor for encoders is for those that have something to lose."""
    torch.manual_seed(6)
    torch.save(EfficientNetLite("lite0", 3).state_dict(), tmp_path / "lite0.pth")
    peaks = []
    for given in ({}, {"encoder": tmp_path / "lite0.pth"}):
        out = tmp_path / f"{len(given)}.safetensors"
        assert train(folder, out, steps=1, **given).exit_code == 0
        stored = torch.load(tmp_path / f"{out.name}.train" / "checkpoint.pt", weights_only=True)
        groups = stored["optimisers"]["generator"]["param_groups"]
        peaks.append([group["peak"] for group in groups])
    assert peaks[0][0] == peaks[0][1] > 0
    assert peaks[1][1] == pytest.approx(peaks[1][0] * 0.25)


def test_a_frozen_encoder_stays_as_it_came(folder: Path, features: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    settings = {"encoder": features, "first_share": 1.0}
    assert train(folder, out, freeze_encoder=4, **settings).exit_code == 0
    encoder = EfficientNetLite("lite0")
    encoder.load_imagenet(torch.load(features, weights_only=True))
    frozen = weights_of(out)
    for name, value in encoder.state_dict().items():
        assert torch.allclose(frozen[f"encoder.{name}"].float(), value.float(), rtol=1e-3, atol=1e-4), name
    assert train(folder, out, freeze_encoder=0, restart=True, **settings).exit_code == 0
    assert not torch.equal(weights_of(out)["encoder.stem.0.weight"], frozen["encoder.stem.0.weight"])


def test_it_goes_on_only_with_the_same_options(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    assert train(folder, out).exit_code == 0
    other = train(folder, out, seed=9)
    assert other.exit_code == 6
    assert "seed" in other.output and "--restart" in other.output
    longer = train(folder, out, steps=5)
    assert longer.exit_code == 0 and "going on at step 4" in longer.output
    assert train(folder, out, seed=9, restart=True).exit_code == 0


def test_the_recipe_s_own_limit_may_be_named(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    assert train(folder, out).exit_code == 0
    assert "already done" in train(folder, out, clip=5).output
    other = train(folder, out, clip=4, steps=5)
    assert other.exit_code == 6 and "(clip)" in other.output


def test_it_goes_on_only_with_the_same_networks(folder: Path, features: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    assert train(folder, out, encoder=features, features=features).exit_code == 0
    for changed, word in (({"encoder": features}, "--features"), ({"features": features}, "--encoder")):
        other = train(folder, out, steps=6, **changed)
        assert other.exit_code == 6
        assert word in other.output


def test_a_pickled_network_is_refused_without_advice_to_run_it(folder: Path, tmp_path: Path) -> None:
    torch.save(torch.nn.ReLU(), tmp_path / "whole.pth")
    result = train(folder, tmp_path / "own.safetensors", encoder=tmp_path / "whole.pth")
    assert result.exit_code == 4 and "a state dict is needed" in result.output
    assert "weights_only" not in result.output


def test_it_goes_on_only_with_the_same_pictures(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    assert train(folder, out).exit_code == 0
    more = tmp_path / "more"
    more.mkdir()
    for index in range(20, 30):
        save(photograph(index), more / f"{index}.png")
    other = train(more, out)
    assert other.exit_code == 6
    assert "pictures" in other.output


def test_a_damaged_checkpoint_is_named(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    assert train(folder, out).exit_code == 0
    checkpoint = tmp_path / "own.safetensors.train" / "checkpoint.pt"
    for size in (2000, 0):
        checkpoint.write_bytes(checkpoint.read_bytes()[:size])
        result = train(folder, out, steps=5)
        assert result.exit_code == 6
        assert "checkpoint.pt: damaged" in result.output


def test_a_checkpoint_of_which_one_bit_is_damaged_is_refused(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    assert train(folder, out, steps=2).exit_code == 0
    path = tmp_path / "own.safetensors.train" / "checkpoint.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    result = train(folder, out, steps=4)
    assert result.exit_code == 6
    assert "checkpoint.pt: damaged, or of another version" in result.output


def test_a_restart_that_is_refused_loses_nothing(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    assert train(folder, out).exit_code == 0
    before = (tmp_path / "own.safetensors.train" / "checkpoint.pt").read_bytes()
    for wrong in ({"crop": 72}, {"generator_option": "decoder=[1]"}, {"encoder": tmp_path / "none.pth"}):
        assert train(folder, out, restart=True, **wrong).exit_code == 2
    few = tmp_path / "few"
    few.mkdir()
    save(photograph(1), few / "1.png")
    assert train(folder, out, restart=True, validation=few).exit_code == 3
    assert (tmp_path / "own.safetensors.train" / "checkpoint.pt").read_bytes() == before
    assert train(folder, out, restart=True, steps=2).exit_code == 0
    assert [line["step"] for line in lines(out, "train")] == [2]


def test_a_restart_that_ends_at_once_can_be_run_again(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    assert train(folder, out).exit_code == 0
    with mock.patch("vidcolor.training.loop._step", side_effect=KeyboardInterrupt):
        assert train(folder, out, restart=True).exit_code == 130
    assert train(folder, out, steps=2).exit_code == 0
    assert [line["step"] for line in lines(out, "train")] == [2]


def test_a_raised_budget_does_not_go_back_a_stage(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    assert train(folder, out).exit_code == 0
    assert train(folder, out, steps=12).exit_code == 0
    assert {line["stage"] for line in lines(out, "train")} == {1}


def test_the_best_weights_are_kept_where_asked(folder: Path, features: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    settings = {"features": features, "every": 1, "keep": "best", "first_share": 1.0, "rate": 5.0}
    assert train(folder, out, steps=6, **settings).exit_code == 0
    scores = [line["perceptual"] for line in lines(out, "validation")]
    best = 1 + scores.index(min(scores))
    assert f", {best} steps" in load_generator(str(out)).metadata["recipe"]


def test_a_run_ends_by_the_clock(folder: Path, tmp_path: Path) -> None:
    result = train(folder, tmp_path / "own.safetensors", steps=None, minutes=0.02)
    assert result.exit_code == 0
    assert "steps" in result.output


def test_pictures_are_kept_on_the_device_where_asked(folder: Path, tmp_path: Path) -> None:
    with mock.patch("vidcolor.training.data.PhotoSet.on", autospec=True, side_effect=PhotoSet.on) as moved:
        assert train(folder, tmp_path / "plain.safetensors").exit_code == 0
        moved.assert_not_called()
        assert train(folder, tmp_path / "own.safetensors", cache_on_device=True).exit_code == 0
    moved.assert_called_once()


def test_a_handful_of_pictures_is_enough(tmp_path: Path) -> None:
    place = tmp_path / "few"
    place.mkdir()
    for index in range(5):
        save(photograph(index), place / f"{index}.png")
    out = tmp_path / "own.safetensors"
    result = train(place, out, batch=2)
    assert result.exit_code == 0, result.output
    assert not lines(out, "validation")  # none could be spared


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"generator_option": "bogus=1"}, "-g bogus: this recipe's generator has filters, downs, dropout"),
        ({"recipe": "pix2pixhd", "generator_option": "enhancer=no"}, "-g enhancer=no: true or false"),
        ({"ema": "nan"}, "'--ema'"),
        ({"rate": "inf"}, "'--rate'"),
        ({"minutes": "nan"}, "'--minutes'"),
    ],
)
def test_numbers_and_names_that_mean_nothing_are_refused(
    changed: dict[str, Any], says: str, folder: Path, tmp_path: Path
) -> None:
    result = train(folder, tmp_path / "a.safetensors", **({"recipe": "pix2pix"} | changed))
    assert result.exit_code == 2
    assert says in result.output
    assert not (tmp_path / "a.safetensors").exists()


def test_weights_are_written_over_none_but_those_of_their_run(folder: Path, tmp_path: Path) -> None:
    taken = tmp_path / "a.safetensors"
    taken.write_bytes(b"somebody's")
    result = train(folder, taken, "pix2pix")
    assert result.exit_code == 5
    assert "exists already, and no run" in result.output
    work = tmp_path / "work"
    work.mkdir()
    result = train(folder, taken, "pix2pix", work_dir=work)
    assert result.exit_code == 5, "a folder is no run"
    mine = tmp_path / "mine.safetensors"
    assert train(folder, mine, "pix2pix", work_dir=work).exit_code == 0
    result = train(folder, taken, "pix2pix", work_dir=work)
    assert result.exit_code == 5, "nor does a run make other files its own"
    assert taken.read_bytes() == b"somebody's"
    listing = tmp_path / "b.data.sha256"
    listing.write_text("my own sums")
    result = train(folder, tmp_path / "b.safetensors", "pix2pix")
    assert result.exit_code == 5 and "is no list of pictures" in result.output
    assert listing.read_text() == "my own sums"


def test_weights_of_a_run_that_is_over_are_left_alone(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    assert "already done" not in train(folder, out, freeze_norm=True).output
    record(out, scores="of an evaluation")
    content = out.read_bytes()
    result = train(folder, out, freeze_norm=True)
    assert result.exit_code == 0 and "already done, 4 steps" in result.output
    assert out.read_bytes() == content
    assert "already done" not in train(folder, out, freeze_norm=True, recalibrate=20).output
    content = out.read_bytes()
    assert "already done" in train(folder, out, freeze_norm=True, recalibrate=20).output
    assert out.read_bytes() == content
    out.unlink()
    assert "already done" not in train(folder, out, freeze_norm=True).output
    assert out.exists()


def test_the_same_run_under_other_names_of_files_is_over(
    folder: Path, features: Path, tmp_path: Path
) -> None:
    out, renamed = tmp_path / "own.safetensors", tmp_path / "renamed.pth"
    shutil.copy(features, renamed)
    for keep in ("best", "last"):
        assert train(folder, out, features=features, keep=keep).exit_code == 0
        record(out, scores="of an evaluation")
        content = out.read_bytes()
        assert "already done" in train(folder, out, features=renamed, keep=keep).output
        with mock.patch("vidcolor.training.watcher.describe", return_value="made on another device"):
            assert "already done" in train(folder, out, features=features, keep=keep).output
        assert out.read_bytes() == content


def test_weights_of_before_are_known_by_what_they_say(folder: Path, features: Path, tmp_path: Path) -> None:
    out, renamed = tmp_path / "own.safetensors", tmp_path / "renamed.pth"
    shutil.copy(features, renamed)
    assert train(folder, out, features=features).exit_code == 0
    with safe_open(out, framework="pt") as file:
        metadata = file.metadata()
    del metadata["run"]
    save_file(load_file(out), out, metadata)
    assert "already done" in train(folder, out, features=features).output
    assert "already done" not in train(folder, out, features=renamed).output


def test_a_run_that_dies_behind_a_checkpoint_has_the_weights_of_its_stage(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "own.safetensors"

    def die(state: Any, *rest: Any) -> None:
        save_checkpoint(state, *rest)
        if state.counters.step == 3:
            raise KeyboardInterrupt

    with mock.patch("vidcolor.training.watcher.save_checkpoint", die):
        assert train(folder, out).exit_code == 130
    assert "going on at step 3" in train(folder, out).output
    stage = tmp_path / "own.safetensors.train" / "stage-1.safetensors"
    assert ", 3 steps" in load_generator(str(stage)).metadata["recipe"]


def test_training_begins_with_weights_by_their_name(folder: Path, tmp_path: Path) -> None:
    result = train(folder, tmp_path / "a.safetensors", init="nothing")
    assert result.exit_code == 4 and "no weights 'nothing'; looked for" in result.output
    result = train(folder, tmp_path / "a.safetensors", "pix2pix", init="default")
    assert result.exit_code == 4 and "default.safetensors" in result.output, "found, and of another kind"


@pytest.mark.parametrize(
    "given",
    [{"steps": 0}, {"batch": -4}, {"crop": 0}, {"ema": 2.0}, {"strength": -1.0}, {"first_share": 1.5},
     {"minutes": -1.0}, {"accumulate": 0}, {"rate": math.nan}, {"seed": -1}, {"recalibrate": -1}],
)  # fmt: skip
def test_options_out_of_range_are_refused_when_built(given: dict[str, Any]) -> None:
    [name] = given
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} "):
        TrainOptions(**({"steps": 4} | given))


def test_an_enhancer_goes_on_from_a_global_generator(folder: Path, tmp_path: Path) -> None:
    plain, enhanced = tmp_path / "plain.safetensors", tmp_path / "enhanced.safetensors"
    assert train(folder, plain, "pix2pixhd").exit_code == 0
    settings = {"init": plain, "generator_option": "enhancer=true", "rate": 1e-9}
    assert train(folder, enhanced, "pix2pixhd", **settings).exit_code == 0
    before, after = weights_of(plain), weights_of(enhanced)
    name = next(k for k in before if k.startswith("trunk.") and before[k].ndim == 4)
    assert torch.allclose(before[name], after[name], atol=1e-3)


def test_what_a_recipe_lacks_is_said(folder: Path, tmp_path: Path) -> None:
    result = train(folder, tmp_path / "own.safetensors")
    assert "no --encoder" in result.output and "no --features" in result.output


def test_initial_weights_are_taken_or_refused(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    path = tmp_path / "init.safetensors"
    save_weights(path, LiteUNet("lite0", (16, 16, 8, 8)), recipe="", data="", date="")
    out = tmp_path / "own.safetensors"
    assert train(folder, out, init=path, rate=1e-9, first_share=1.0).exit_code == 0
    before, after = weights_of(path), weights_of(out)
    name = "encoder.stem.0.weight"
    assert torch.allclose(before[name], after[name], atol=1e-3)
    assert load_generator(str(out)).network.config == load_generator(str(path)).network.config
    save_weights(path, Pix2PixUNet(4, 5), recipe="", data="", date="")
    refused = train(folder, out, init=path, restart=True)
    assert refused.exit_code == 4
    assert "pix2pix-unet" in refused.output and "lite-unet" in refused.output


def test_a_full_disk_keeps_the_checkpoint_before(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    assert train(folder, out).exit_code == 0
    checkpoint = tmp_path / "own.safetensors.train" / "checkpoint.pt"
    before = checkpoint.read_bytes()
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with mock.patch("vidcolor.writing.os.fsync", side_effect=full):
        result = train(folder, out, steps=6, every=100, checkpoint_minutes=1e-9)
    assert result.exit_code == 5
    assert "No space left" in result.output and "make room" in result.output
    assert checkpoint.read_bytes() == before
    assert not list(checkpoint.parent.glob("*.part"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux")
@pytest.mark.parametrize("gone", ["2>&-", "2>/dev/full"])
def test_a_standard_error_that_takes_nothing_does_not_end_a_run(
    gone: str, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "own.safetensors"
    parts = arguments(folder, out, "pix2pix", steps=2)
    parts.remove("-q")
    code = "from vidcolor.training.cli import main; main()"
    shell = ["sh", "-c", f'exec "$0" -c "$@" {gone}', sys.executable, code, *parts]
    assert subprocess.run(shell, timeout=300, check=False).returncode == 0
    assert out.is_file()


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_a_disk_that_fills_up_in_the_middle_is_named(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    assert train(folder, out).exit_code == 0
    work = tmp_path / "own.safetensors.train"
    before, room = (work / "checkpoint.pt").read_bytes(), (work / "checkpoint.pt").stat().st_size // 2
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))\n"
        "from vidcolor.training.cli import main\n"
        "main()"
    )
    parts = arguments(folder, out, steps=6, every=100)
    result = subprocess.run([sys.executable, "-c", code, *parts], capture_output=True, text=True, timeout=300)
    assert result.returncode == 5, result.stderr
    assert "File too large" in result.stderr and "make room" in result.stderr
    assert (work / "checkpoint.pt").read_bytes() == before
    assert not list(work.glob("*.part"))


def test_a_restart_leaves_files_of_others(folder: Path, tmp_path: Path) -> None:
    work, out = tmp_path / "work", tmp_path / "own.safetensors"
    mine = [work / "samples" / "mine.txt", work / "stage-plan.safetensors"]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert train(folder, out, work_dir=work, restart=True).exit_code == 0
    assert len(list(work.glob("samples/step-*.png"))) > 1
    assert train(folder, out, steps=1, work_dir=work, restart=True).exit_code == 0
    assert [path.name for path in work.glob("samples/step-*.png")] == ["step-000001.png"]
    assert all(path.exists() for path in mine)


def test_a_loss_that_is_no_number_ends_the_run(folder: Path, tmp_path: Path) -> None:
    with mock.patch("vidcolor.training.objectives.huber", return_value=torch.tensor(float("nan"))):
        result = train(folder, tmp_path / "own.safetensors")
    assert result.exit_code == 4
    assert "no number" in result.output and "--rate" in result.output
    assert not (tmp_path / "own.safetensors").exists()


@pytest.mark.parametrize(
    ("changed", "code", "words"),
    [
        ({"crop": 72}, 2, "multiple of 32; choose --crop 96"),
        ({"crop": 32}, 2, "too small for the discriminator"),
        ({"crop": 128}, 3, "smaller than the crop"),
        ({"batch": 4, "accumulate": 3}, 2, "divide"),
        ({"steps": None}, 2, "budget"),
        ({"device": "cuda:7"}, 2, "no such CUDA device"),
        ({"generator_option": "colour=3"}, 2, "colour"),
        ({"generator_option": "variant"}, 2, "NAME=VALUE"),
        ({"generator_option": "variant=lite9"}, 2, "lite9"),
        ({"generator_option": "decoder=[-1,4,4,4]"}, 2, "decoder"),
        ({"encoder": "nowhere.pth"}, 2, "no such file"),
        ({"encoder": "torchvision"}, 2, "name a file"),
        ({"device": "gpu"}, 2, "auto, cpu, cuda"),
        ({"precision": "fp16"}, 2, "fp16 is for GPUs"),
        ({"seed": 2**70}, 2, "seed"),
        ({"encoder": "torchvision", "init": __file__}, 2, "--init brings its own"),
    ],
)
def test_odd_requests_are_refused(
    changed: dict[str, Any], code: int, words: str, folder: Path, tmp_path: Path
) -> None:
    result = train(folder, tmp_path / "own.safetensors", **changed)
    assert result.exit_code == code, result.output
    assert words in result.output
    assert "Traceback" not in result.output


def test_who_asks_too_small_a_crop_for_all_halvings_is_told_of_both_ways_out(
    folder: Path, tmp_path: Path
) -> None:
    result = train(folder, tmp_path / "own.safetensors", "pix2pix", crop=128, generator_option="downs=8")
    assert result.exit_code == 2 and "choose --crop 256, or fewer downs by -g" in result.output


def test_a_traceback_changes_no_exit_code(folder: Path, tmp_path: Path) -> None:
    result = train(folder, tmp_path / "own.safetensors", init="nope", debug=True)
    assert result.exit_code == 4
    assert "Traceback" in result.output and "vidcolor-train: " in result.output


def test_a_recipe_of_one_stage_has_no_first(folder: Path, tmp_path: Path) -> None:
    result = train(folder, tmp_path / "own.safetensors", "pix2pix", first_share=0.5)
    assert result.exit_code == 2 and "has one stage" in result.output


def test_one_picture_is_too_few_for_batchnorm(folder: Path, features: Path, tmp_path: Path) -> None:
    result = train(folder, tmp_path / "own.safetensors", crop=32, batch=1, features=features)
    assert result.exit_code == 2 and "BatchNorm" in result.output
    assert train(folder, tmp_path / "own.safetensors", crop=32, batch=2, features=features).exit_code == 0


def test_nothing_can_judge_nine_pictures(folder: Path, tmp_path: Path) -> None:
    few = [str(folder / f"{index:02d}.png") for index in range(1, 9)]
    out = tmp_path / "own.safetensors"
    result = CliRunner().invoke(main, [*few, *arguments(folder / "00.png", out, keep="best")])
    assert result.exit_code == 2 and "--keep best" in result.output


@pytest.mark.parametrize(("variables", "words"), [({"WORLD_SIZE": "2"}, "RANK is not set")])
def test_half_an_environment_of_torchrun_is_refused(
    variables: dict[str, str], words: str, folder: Path, tmp_path: Path
) -> None:
    with mock.patch.dict(os.environ, variables):
        result = train(folder, tmp_path / "own.safetensors")
    assert result.exit_code == 2 and words in result.output


def test_one_run_at_a_time(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    with held(tmp_path / "own.safetensors.train"):
        result = train(folder, out)
    assert result.exit_code == 5 and "another run is at work there" in result.output
    assert "name another --out" in result.output  # its weights would take the place of the other's
    assert train(folder, out).exit_code == 0


def test_one_that_waits_for_the_pictures_of_another_says_so(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    given = [sys.executable, "-c", "from vidcolor.training.cli import main; main()"]
    given += arguments(folder, tmp_path / "own.safetensors", cache=cache)
    with _locked(cache / "lock"), subprocess.Popen(given, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = (line for line in process.stderr if "no --" not in line)
        try:
            assert next(lines) == f"vidcolor-train: {cache}: another process is decoding; waiting for it\n"
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names there are Unicode")
def test_an_empty_name_is_a_usage_error(folder: Path) -> None:
    result = CliRunner().invoke(main, [str(folder), "--out", "", "--steps", "1"])
    assert (result.exit_code, result.output) == (2, "vidcolor-train: --out: the name is empty\n")


def test_damaged_numbers_do_not_keep_a_run_from_going_on(tmp_path: Path) -> None:
    good = json.dumps({"step": 1, "kind": "train", "pixel": 2.0}).encode()
    odd = b'\xff\xfe\n12\n{}\n{"step": "x", "kind": "train"}\n{"step": null, "kind": 1}\n' + b"[" * 100_000
    (tmp_path / "metrics.jsonl").write_bytes(odd + b"\n" + good + b"\n{")
    Records(tmp_path, 1).close()
    assert (tmp_path / "metrics.jsonl").read_bytes() == good + b"\n"


def test_names_with_control_characters_are_one_line_and_leave_the_terminal_alone(
    folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "photos")
    (tmp_path / "photos" / "a\nb\x1b[31mc.png").write_bytes(b"damaged")
    result = train(tmp_path / "photos", tmp_path / "own.safetensors", "pix2pix", steps=1)
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.output and "  damaged: a b [31mc.png\n" in result.output


def test_names_need_not_be_unicode(folder: Path, features: Path, tmp_path: Path) -> None:
    out, odd = tmp_path / "own.safetensors", tmp_path / os.fsdecode(b"li\xe9.pth")
    odd.write_bytes(features.read_bytes())
    result = train(folder, out, steps=2, features=odd)
    assert result.exit_code == 0, result.output
    assert "features li\N{REPLACEMENT CHARACTER}.pth" in load_generator(str(out)).metadata["recipe"]


def test_two_weights_with_dots_in_their_names_have_a_list_each(folder: Path, tmp_path: Path) -> None:
    assert train(folder, tmp_path / "own.v1", steps=1).exit_code == 0
    assert (tmp_path / "own.v1.data.sha256").exists()


def test_a_run_within_its_data_goes_on(folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(folder, data)
    assert train(data, data / "own.safetensors").exit_code == 0
    assert list(data.glob("own.safetensors.train/samples/*.png"))
    assert train(data, data / "own.safetensors", steps=6).exit_code == 0


def test_too_few_pictures_are_refused(tmp_path: Path) -> None:
    place = tmp_path / "few"
    place.mkdir()
    assert "no usable colour picture" in train(place, tmp_path / "own.safetensors").output
    for index in range(3):
        save(photograph(index), place / f"{index}.png")
    result = train(place, tmp_path / "own.safetensors")
    assert result.exit_code == 3
    assert "only 3 usable colour pictures" in result.output


@pytest.mark.parametrize("option", ["encoder", "features"])
def test_networks_of_nan_are_refused_before_the_work(
    option: str, folder: Path, features: Path, tmp_path: Path
) -> None:
    state = torch.load(features, weights_only=True)
    next(v for v in state.values() if v.dim() == 4)[0] = math.nan
    torch.save(state, tmp_path / "nan.pth")
    result = train(folder, tmp_path / "own.safetensors", **{option: tmp_path / "nan.pth"})
    assert result.exit_code == 4
    assert (
        result.output
        == f"vidcolor-train: {tmp_path / 'nan.pth'}: some of its weights are no numbers (NaN or infinite)\n"
    )


@pytest.mark.parametrize(
    "state", [{1: torch.ones(2)}, {"features.0.weight": torch.ones(2), "features.a": torch.ones(2)}]
)
def test_odd_state_dicts_are_refused(state: dict[Any, torch.Tensor], folder: Path, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "odd.pth")
    result = train(folder, tmp_path / "own.safetensors", features=tmp_path / "odd.pth")
    assert result.exit_code == 4 and result.output.count("\n") == 1


def test_weights_that_are_not_the_encoders_are_refused(folder: Path, tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, tmp_path / "odd.pth")
    (tmp_path / "text.pth").write_text("no weights")
    out = tmp_path / "own.safetensors"
    for name in ("odd.pth", "text.pth"):
        for option in ("encoder", "features"):
            result = train(folder, out, **{option: tmp_path / name})
            assert result.exit_code == 4, result.output
            assert name in result.output
    assert train(folder, out, "pix2pix", encoder=tmp_path / "odd.pth").exit_code == 2


def test_an_unwritable_target_is_told_before_work_begins(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = train(folder, tmp_path / "file" / "own.safetensors")
    assert result.exit_code == 5
    assert "cannot be written" in result.output
