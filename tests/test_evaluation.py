"""Scoring a generator on photographs: the command, what it writes, and what it does with bad input."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tarfile
import urllib.error
import warnings
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import IO, Any
from unittest import mock

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from judges import CHANNELS, photo, save_judges, save_photos
from PIL import Image

from vidcolor.checkpoint import load_generator
from vidcolor.errors import InputError, OutputError
from vidcolor.evaluation import backbones
from vidcolor.evaluation.backbones import Backbone, Backbones, load_backbones
from vidcolor.evaluation.cache import load_measures, save_measures
from vidcolor.evaluation.cli import main
from vidcolor.evaluation.cli_common import _leave, load_predictor, show
from vidcolor.evaluation.collect import Collector, Measures
from vidcolor.evaluation.images import Sample, colour_pictures, luma_of
from vidcolor.evaluation.options import ImageOptions
from vidcolor.evaluation.pictures import list_pictures
from vidcolor.evaluation.pixels import colourfulness, psnr
from vidcolor.evaluation.report import Report, build_report
from vidcolor.evaluation.sheet import ContactSheet
from vidcolor.evaluation.table import table
from vidcolor.manifest import digest_weights
from vidcolor.stages.predict import Predictor
from vidcolor.writing import write_whole

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def few_features() -> Iterator[None]:
    """The judge of these tests gives fewer features than the real one."""
    with mock.patch("vidcolor.evaluation.backbones._FEATURES", CHANNELS):
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_photos(tmp_path / "photos", 4)


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_judges(tmp_path_factory.mktemp("judges"))


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["images", "--render-size", "64", *map(str, arguments)])


def test_names_that_are_no_unicode_are_shown_as_they_are() -> None:
    with mock.patch("sys.stdout", TextIOWrapper(BytesIO(), "utf-8", "strict")) as out:
        show("f\udce9.mkv")
        out.flush()
        assert out.buffer.getvalue() == b"f\xe9.mkv\n"


def test_a_closed_standard_output_is_no_fault() -> None:
    with mock.patch("sys.stdout", None):
        show("a table")
        with pytest.raises(SystemExit) as ended:
            _leave(3)
    assert ended.value.code == 3


def test_results_take_the_place_of_no_photograph(folder: Path, tmp_path: Path) -> None:
    photograph = min(folder.iterdir())
    before = photograph.read_bytes()
    for given in (("--sheet", photograph), ("--results", photograph)):
        done = run(photograph, *given)
        assert done.exit_code == 2 and "is one of the photographs" in done.output
    both = ("--sheet", tmp_path / "both", "--results", tmp_path / "both")
    done = run(folder, *both)
    assert done.exit_code == 2 and "both are" in done.output
    with tarfile.open(tmp_path / "more.tar", "w") as tar:
        tar.add(photograph, "a.png")
    done = run(folder, "--sheet", tmp_path / "more.tar")
    assert done.exit_code == 5 and "none of vidcolor-eval's" in done.output
    assert photograph.read_bytes() == before and tarfile.is_tarfile(tmp_path / "more.tar")


def found_by(*arguments: str | Path) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def sample(seed: int, ours: str = "truth") -> Sample:
    truth = photo(seed)
    grey = np.repeat(truth[..., 1:2], 3, -1)
    return Sample(name=str(seed), grey=grey, ours=truth if ours == "truth" else grey, truth=truth)


def means_of_patches(rgb: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.adaptive_avg_pool2d(rgb.float(), 2).flatten(1)


def collected(samples: list[Sample], reference: Measures | None = None) -> tuple[Measures, Measures]:
    judge = Backbone(source="patches", digest="0", run=means_of_patches)
    collector = Collector(Backbones(inception=judge), reference)
    for one in samples:
        collector.add(one)
    return collector.finish()


def test_pictures_are_coloured_from_their_luma_alone(folder: Path, weights: str) -> None:
    predictor = Predictor(load_generator(weights), CPU, "float32")
    pictures = list_pictures([folder]).decoded(lambda name: None)
    samples = list(colour_pictures(pictures, predictor, 64))
    assert [s.name for s in samples] == ["0.png", "1.png", "2.png", "3.png"]
    for one in samples:
        assert one.ours.shape == one.truth.shape == one.grey.shape
        assert colourfulness(one.ours) > 1.0
        assert colourfulness(one.grey) == 0.0
        weights_of_luma = np.array([0.2126, 0.7152, 0.0722])
        assert np.abs(one.ours @ weights_of_luma - one.grey[..., 0]).max() < 2.0


def test_a_limit_takes_the_same_pictures_each_time(folder: Path) -> None:
    first, second = (list_pictures([folder], 2, seed=3) for _ in range(2))
    assert first == second
    assert len(first) == 2
    assert first.found == 4
    others = {list_pictures([folder], 2, seed=s).chosen for s in range(8)}
    assert len(others) > 1
    assert list_pictures([folder], 2).chosen < list_pictures([folder], 3).chosen


def test_with_a_limit_others_are_not_read(folder: Path) -> None:
    read: list[str] = []
    whole = Path.read_bytes

    def noted(path: Path) -> bytes:
        read.append(path.name)
        return whole(path)

    with mock.patch.object(Path, "read_bytes", noted):
        pictures = list_pictures([folder], 2)
        taken = [name for name, _ in pictures.decoded(lambda name: None)]
    assert len(taken) == 2
    assert read == taken + taken  # for the digest, then for its pixels


def test_the_digest_follows_names_and_content(folder: Path) -> None:
    before = list_pictures([folder]).digest
    (folder / "0.png").rename(folder / "00.png")
    renamed = list_pictures([folder]).digest
    shutil.copy(folder / "1.png", folder / "00.png")
    assert len({before, renamed, list_pictures([folder]).digest}) == 3


def test_ours_that_is_the_truth_reaches_the_ceiling_and_grey_the_floor() -> None:
    ours, reference = collected([sample(s) for s in range(6)])
    report = build_report(ours, reference, kid_subset=4)
    assert report.pictures == 6
    got, truth, grey = (report.scores[c] for c in ("ours", "truth", "grey"))
    for name in ("psnr", "ssim", "ab_error", "fid", "colourfulness", "colourfulness_magnitudes"):
        assert got[name] == pytest.approx(truth[name], abs=1e-6), name
        assert grey[name] != pytest.approx(truth[name], abs=1e-3), name
    assert report.scores["targets"]["colourfulness_of_truth"] == pytest.approx(1.0)
    assert report.scores["targets"]["fid_of_grey"] == pytest.approx(0.0, abs=1e-6)
    assert got["lpips"] is None


def test_grey_as_ours_gains_nothing() -> None:
    ours, reference = collected([sample(s, "grey") for s in range(6)])
    targets = build_report(ours, reference, kid_subset=4).scores["targets"]
    assert targets["fid_of_grey"] == pytest.approx(1.0)
    assert targets["psnr_gain"] == 0.0
    assert targets["colourfulness_of_truth"] == 0.0


def test_the_spread_of_a_mean_is_its_standard_error() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal(4000)
    keys = [f"{c}.{n}" for c in ("ours", "grey") for n in ("psnr", "colourfulness")]
    measures: Measures = {key: values for key in keys}
    measures |= {f"truth.colourfulness{form}": values for form in ("", "_magnitudes")}
    spread = build_report(measures, {}, kid_subset=4).spread["ours"]["psnr"]
    assert spread == pytest.approx(values.std() / np.sqrt(4000), rel=0.6)  # of ten halves: ± 25 %


def test_what_depends_on_the_pictures_alone_is_measured_once() -> None:
    samples = [sample(s) for s in range(5)]
    ours, reference = collected(samples)
    asked: list[int] = []

    def counting(rgb: torch.Tensor) -> torch.Tensor:
        asked.append(len(rgb))
        return means_of_patches(rgb)

    judge = Backbone(source="patches", digest="0", run=counting)
    again = Collector(Backbones(inception=judge), reference)
    gains = [again.add(one) for one in samples]
    assert all(gain > 0 for gain in gains)
    assert again.finish()[0].keys() == ours.keys()
    assert asked == [5]


def test_the_command_reports_grey_ours_and_truth(folder: Path, weights: str, judges: Path) -> None:
    arguments = (folder, "--weights", weights, "--metric-weights", judges, "--kid-subset", "3")
    found = found_by(*arguments)
    assert found["pictures"] == 4
    for column in ("grey", "ours"):
        assert None not in found[column].values()
        assert None not in found["spread"][column].values()
    assert found["truth"]["fid"] == found["truth"]["lpips"] == found["truth"]["ab_error"] == 0.0
    assert found["grey"]["colourfulness"] == found["grey"]["colourfulness_magnitudes"] == 0.0
    assert None not in found["targets"].values()
    table = run(*arguments).stdout
    for word in ("grey", "truth", "FID", "KID", "LPIPS", "SSIM", "299×299", "4 of 4 pictures"):
        assert word in table


def test_a_tar_scores_as_the_folder_does(folder: Path, weights: str, judges: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, path.name)
    one, other = (
        found_by(source, "--weights", weights, "--metric-weights", judges)
        for source in (folder, tmp_path / "photos.tar")
    )
    assert one == other


def test_the_cache_changes_no_score(folder: Path, weights: str, judges: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    arguments = (folder, "--weights", weights, "--metric-weights", judges, "--kid-subset", "3")
    plain = found_by(*arguments)
    assert found_by(*arguments, "--cache", cache) == plain
    (stored,) = cache.iterdir()
    stamp = stored.stat().st_mtime_ns
    assert found_by(*arguments, "--cache", cache) == plain
    assert stored.stat().st_mtime_ns == stamp
    found_by(*arguments, "--cache", cache, "--limit", "3")
    assert len(list(cache.iterdir())) == 2


def test_a_damaged_cache_is_made_again(folder: Path, weights: str, judges: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    arguments = (folder, "--weights", weights, "--metric-weights", judges, "--cache", cache)
    plain = found_by(*arguments)
    (stored,) = cache.iterdir()
    stored.write_bytes(stored.read_bytes()[:100])
    assert found_by(*arguments) == plain
    assert stored.stat().st_size > 100


@pytest.mark.parametrize(("place", "value"), [(6, 0xFF), (8, 0x01), (10, 0x63)])
def test_a_cache_of_which_one_byte_is_damaged_is_none(place: int, value: int, tmp_path: Path) -> None:
    """Version, flags and kind of compression in the zip's directory."""
    path = tmp_path / "measures.npz"
    save_measures(path, {"grey.psnr": np.zeros((3, 1))})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + place] = value
    path.write_bytes(content)
    assert load_measures(path) is None


def test_a_cache_that_cannot_be_written_loses_no_scores(
    folder: Path, weights: str, judges: Path, tmp_path: Path
) -> None:
    arguments = (folder, "--weights", weights, "--metric-weights", judges, "--cache", tmp_path / "cache")
    with mock.patch("numpy.savez", side_effect=OSError(errno.ENOSPC, "No space left on device")):
        result = run(*arguments)
    assert result.exit_code == 0
    assert "PSNR" in result.stdout
    assert "No space left on device): what was measured is not kept" in result.stderr
    assert list((tmp_path / "cache").iterdir()) == []


def test_two_runs_may_write_the_same_cache_at_once(tmp_path: Path) -> None:
    path, savez, begun = tmp_path / "measures.npz", np.savez, []

    def slow(file: IO[bytes], **measures: Any) -> None:
        savez(file, **measures)
        if not begun:  # the other one comes in between
            begun.append(True)
            save_measures(path, measures)

    with mock.patch("numpy.savez", slow):
        save_measures(path, {"grey.psnr": np.arange(3.0)})
    assert load_measures(path)["grey.psnr"].tolist() == [0.0, 1.0, 2.0]
    assert list(tmp_path.iterdir()) == [path]


def test_pictures_without_colour_have_no_fid_of_grey_s() -> None:
    samples = [sample(seed, "grey") for seed in range(4)]
    grey = [replace(one, truth=one.grey) for one in samples]
    ours, reference = collected(grey)
    reference["grey.features"] = reference["truth.features"] + 1e-5  # rounding differs
    report = build_report(ours, reference, kid_subset=2)
    assert 0 < (report.scores["grey"]["fid"] or 0) < 1e-6
    assert report.scores["targets"]["fid_of_grey"] is None
    json.dumps(report.as_dict(), allow_nan=False)


def test_the_results_file_says_what_was_measured(
    folder: Path, weights: str, judges: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results.json"
    found = found_by(folder, "--weights", weights, "--metric-weights", judges, "--results", out)
    stored = json.loads(out.read_text())
    assert stored["scores"]["ours"] == found["ours"]
    assert stored["weights"]["metadata"]["recipe"] == "random"
    assert len(stored["weights"]["sha256"]) == len(stored["data"]["sha256"]) == 64
    assert stored["judges"]["inception"]["file"] == "inception.pt"
    assert {"vidcolor", "torch", "torchvision", "lpips"} <= stored["versions"].keys()
    assert stored["options"]["seed"] == 0
    assert not list(tmp_path.glob("*.part"))


def test_scores_are_recorded_in_the_weights(folder: Path, weights: str, judges: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.safetensors"
    shutil.copy(weights, own)
    found_by(folder, "--weights", own, "--metric-weights", judges, "--record")
    generator = load_generator(str(own))
    recorded = json.loads(generator.metadata["scores"])
    assert recorded["pictures"] == 4
    assert recorded["ours"]["psnr"] > 0
    assert generator.metadata["recipe"] == "random"


def test_the_command_writes_a_sheet(folder: Path, weights: str, judges: Path, tmp_path: Path) -> None:
    found_by(folder, "--weights", weights, "--metric-weights", judges, "--sheet", tmp_path / "sheet")
    with Image.open(tmp_path / "sheet") as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")


def test_the_sheet_keeps_the_best_the_worst_and_a_dozen() -> None:
    sheet = ContactSheet(seed=0)
    order = list(range(40))
    random.Random(1).shuffle(order)
    for number in order:
        sheet.add(sample(0), float(number))
    assert [s.gain for s in sheet._best.strips()] == [39, 38, 37, 36, 35, 34]
    assert [s.gain for s in sheet._worst.strips()] == [0, 1, 2, 3, 4, 5]
    assert len({s.gain for s in sheet._random.strips()}) == 12
    assert sheet.draw().ndim == 3


def test_of_pictures_that_gain_alike_the_sheet_has_the_first() -> None:
    sheet = ContactSheet()
    for number in range(9):
        sheet.add(sample(number), 0.0)
    assert [s.name for s in sheet._best.strips()] == [s.name for s in sheet._worst.strips()] == [*"012345"]


def test_the_sheet_shows_grey_ours_and_truth_side_by_side_whatever_their_shape() -> None:
    sheet = ContactSheet()
    for number, (height, width) in enumerate([(40, 400), (80, 80), (400, 1)]):
        grey, ours, truth = (np.full((height, width, 3), code, np.uint8) for code in (50, 100, 200))
        sheet.add(Sample(name="flat", grey=grey, ours=ours, truth=truth), float(number))
    drawn = sheet.draw()
    cell, captions = 3 * 320 + 4, 24
    assert drawn.shape[1] == 2 * cell, "as wide as two of the widest, which is not wider than 320"
    assert drawn.shape[0] == 3 * (captions + 2 * (captions + 160 + 4)), "three in two rows of each section"
    middles = drawn[2 * captions + 2 + 80]  # of the best two: a narrow one and a square one
    assert middles[2:5].tolist() == [[code] * 3 for code in (50, 100, 200)] and not middles[5:cell].any()
    assert middles[cell + 2 : cell + 2 + 480 : 160, 0].tolist() == [50, 100, 200]
    third = drawn[2 * captions + 164 + captions + 2 + 80]
    assert third[2 : 2 + 960 : 320, 0].tolist() == [50, 100, 200] and not third[cell:].any()


def test_the_gain_of_a_picture_is_over_its_own_grey_and_no_picture_counts_twice() -> None:
    samples = [sample(s) for s in range(18)]
    samples = [replace(s, ours=(s.grey // 2 + s.truth // 2).astype(np.uint8)) for s in samples]
    gains = [psnr(s.ours, s.truth) - psnr(s.grey, s.truth) for s in samples]

    def unlikeness(rgb: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        return (rgb.float() - truth.float()).abs().mean((1, 2, 3))

    inception = Backbone(source="patches", digest="0", run=means_of_patches)
    both = Backbones(inception=inception, alexnet=Backbone(source="u", digest="1", run=unlikeness))
    first = Collector(both)
    assert [first.add(one) for one in samples] == pytest.approx(gains)
    ours, reference = first.finish()
    again = Collector(both, reference)
    assert [again.add(one) for one in samples] == pytest.approx(gains)
    assert {len(value) for value in (ours | reference).values()} == {18}
    assert (ours["ours.lpips"] > 0).all() and (ours["ours.lpips"] < reference["grey.lpips"]).all()
    assert not any(key.startswith("ours.") for key in reference) and "truth.lpips" not in reference
    magnitudes = [colourfulness(s.truth, magnitudes=True) for s in samples]
    assert reference["truth.colourfulness_magnitudes"] == pytest.approx(magnitudes)


def test_a_damaged_picture_is_named_and_left_out(folder: Path, weights: str, judges: Path) -> None:
    (folder / "1.png").write_bytes((folder / "1.png").read_bytes()[:200])
    result = run(folder, "--weights", weights, "--metric-weights", judges, "--json")
    assert result.exit_code == 7
    assert "1.png: is damaged" in result.stderr
    assert json.loads(result.stdout)["pictures"] == 3


def test_nothing_but_damaged_pictures_is_an_error(tmp_path: Path, weights: str, judges: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"no picture")
    result = run(tmp_path, "--weights", weights, "--metric-weights", judges)
    assert result.exit_code == 3
    assert "every picture is damaged" in result.stderr


def test_an_empty_folder_is_an_error(tmp_path: Path, weights: str) -> None:
    result = run(tmp_path, "--weights", weights)
    assert result.exit_code == 3
    assert "no picture" in result.output


def test_a_tar_that_ends_early_is_an_error(folder: Path, tmp_path: Path) -> None:
    whole = tmp_path / "photos.tar"
    with tarfile.open(whole, "w") as archive:
        archive.add(folder / "0.png", "0.png")
    whole.write_bytes(whole.read_bytes()[:700])
    with pytest.raises(InputError, match=r"photos\.tar"):
        list_pictures([whole])


def test_one_picture_has_no_fid(folder: Path, weights: str, judges: Path) -> None:
    result = run(folder, "--weights", weights, "--metric-weights", judges, "--limit", "1", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["ours"]["fid"] is None
    assert "FID needs two pictures" in result.stderr


def test_fewer_pictures_than_a_subset_have_no_kid(folder: Path, weights: str, judges: Path) -> None:
    result = run(folder, "--weights", weights, "--metric-weights", judges, "--json")
    found = json.loads(result.stdout)
    assert found["ours"]["kid"] is None and found["ours"]["fid"] > 0
    assert "KID with subsets of 100" in result.stderr


@pytest.mark.parametrize(("kept", "empty"), [("inception", "lpips"), ("alexnet", "fid")])
def test_a_network_that_the_folder_lacks_leaves_its_column_empty(
    kept: str, empty: str, folder: Path, weights: str, judges: Path, tmp_path: Path
) -> None:
    half = tmp_path / "half"
    half.mkdir()
    (path,) = judges.glob(f"{kept}.*")
    shutil.copy(path, half)
    result = run(folder, "--weights", weights, "--metric-weights", half, "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["ours"][empty] is found["truth"][empty] is None
    assert f"no {'LPIPS' if empty == 'lpips' else 'FID and KID'}: {half} holds n" in result.stderr


@pytest.mark.parametrize("name", ["inception.pt", "inception.pth", "alexnet.pth"])
def test_a_damaged_network_is_an_error(name: str, folder: Path, weights: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / name).write_bytes(b"nothing of use")
    result = run(folder, "--weights", weights, "--metric-weights", bad)
    assert result.exit_code == 4
    assert name in result.stderr and len(result.stderr.splitlines()) == 1


class Classes(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((1, 2, 3))[:, None].expand(-1, 1000)


class Pair(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, x


@pytest.mark.parametrize(
    ("network", "says"),
    [(Classes(), "gives (2, 1000) for two pictures, not 6 features"), (Pair(), "no tensor")],
)
def test_an_inception_that_gives_no_features_is_an_error(
    network: torch.nn.Module, says: str, folder: Path, weights: str, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*torch\.jit\..*deprecated")
        torch.jit.save(torch.jit.script(network), tmp_path / "inception-classes.pt")
    result = run(folder, "--weights", weights, "--metric-weights", tmp_path)
    assert result.exit_code == 4
    assert says in result.stderr and len(result.stderr.splitlines()) == 1


def test_what_nobody_foresaw_is_one_line(folder: Path, weights: str, judges: Path) -> None:
    given = (folder, "--weights", weights, "--metric-weights", judges)
    with mock.patch("vidcolor.evaluation.pictures.list_pictures", side_effect=IndexError("odd")):
        result = run(*given)
        assert result.exit_code == 1
        assert result.stderr.splitlines() == [
            "vidcolor-eval: a fault of vidcolor itself (IndexError: odd); --debug shows where"
        ]
        result = run(*given, "--debug")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr


def test_a_traceback_changes_no_exit_code(folder: Path) -> None:
    result = run(folder, "--weights", "nope", "--debug")
    assert result.exit_code == 4
    assert "Traceback" in result.stderr and "vidcolor-eval: " in result.stderr


def test_results_name_the_weights_in_which_scores_were_recorded(
    folder: Path, weights: str, judges: Path, tmp_path: Path
) -> None:
    own = shutil.copy(weights, tmp_path / "own.safetensors")
    results = tmp_path / "results.json"
    given = (folder, "--weights", own, "--metric-weights", judges, "--record", "--results", results)
    (folder / ("x" * 200 + ".png")).write_bytes(b"none")
    assert run(*given).exit_code == 7
    found = json.loads(results.read_text())
    assert found["weights"]["sha256"] == backbones.file_digest(Path(own))
    found["data"]["damaged"] *= 1000
    results.write_text(json.dumps(found))
    assert run(*given).exit_code == 7, "however long, it is known again"


def test_a_folder_without_networks_is_an_error(folder: Path, weights: str) -> None:
    result = run(folder, "--weights", weights, "--metric-weights", folder)
    assert result.exit_code == 4
    assert "inception*.pt" in result.stderr


def test_a_state_dict_that_holds_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "run",)

    torch.save({"features.0.weight": Evil()}, tmp_path / "alexnet.pth")
    with pytest.raises(backbones.WeightsError, match="alexnet"):
        load_backbones(tmp_path, CPU, lambda line: None)
    assert not (tmp_path / "run").exists()


def test_without_a_network_the_table_still_comes(
    folder: Path, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    result = run(folder, "--weights", weights)
    assert result.exit_code == 0
    assert "PSNR" in result.stdout
    for column in ("FID and KID", "LPIPS"):
        line = next(line for line in result.stderr.splitlines() if f"no {column}" in line)
        assert "no route to host" in line and "--metric-weights" in line


def test_a_server_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(backbones, "_PATIENCE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/net-0123abcd.pth"
        with pytest.raises(backbones._UnavailableError, match="cannot be downloaded"):
            backbones._downloaded(url, "a network", lambda line: None)
    assert socket.getdefaulttimeout() is None
    assert not [path for path in (tmp_path / "hub").rglob("*") if path.is_file()]


@pytest.mark.parametrize("option", ["--sheet", "--results"])
def test_only_earlier_results_are_written_over(
    option: str, folder: Path, weights: str, judges: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    given = ("--weights", weights, "--metric-weights", judges, option, mine)
    assert run(folder, *given).exit_code == 0
    assert run(folder, *given).exit_code == 0
    mine.write_bytes(b"something else")
    result = run(folder, *given)
    assert result.exit_code == 5
    assert "exists already" in result.stderr
    assert mine.read_bytes() == b"something else"


def test_one_generator_is_scored_at_a_time(folder: Path) -> None:
    result = run(folder, "--weights", "a", "--weights", "b")
    assert result.exit_code == 2
    assert "one generator is scored at a time" in result.stderr


def test_pictures_without_colours_are_named(folder: Path, weights: str, judges: Path) -> None:
    given = ("--weights", weights, "--metric-weights", judges)
    assert "without colours" not in run(folder, *given).stderr
    grey = np.repeat(photo(3)[..., :1], 3, -1)
    Image.fromarray(grey).save(folder / "grey.png")
    assert "pictures without colours: 1;" in run(folder, *given).stderr
    near = np.minimum(grey, 250) + np.array((0, 1, 3), np.uint8)  # as JPEG leaves them
    Image.fromarray(near).save(folder / "near.png")
    assert psnr(np.repeat(luma_of(near)[..., None], 3, -1), near) < 60
    said = run(folder, *given).stderr
    assert "pictures without colours: 2;" in said and "within 3 codes" in said


def test_scores_that_are_recorded_do_not_make_other_weights(
    folder: Path, weights: str, judges: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.safetensors"
    shutil.copy(weights, own)
    before, content = digest_weights(own), own.read_bytes()
    result = run(folder, "--weights", own, "--metric-weights", judges, "--record")
    assert f"{own}: the scores are recorded in it" in result.stderr
    assert own.read_bytes() != content
    assert digest_weights(own) == before
    own.write_bytes(own.read_bytes()[:-1] + bytes([own.read_bytes()[-1] ^ 1]))
    assert digest_weights(own) != before


@pytest.mark.parametrize("option", ["--sheet", "--results"])
def test_what_cannot_be_written_is_said_before_the_work(
    option: str, folder: Path, weights: str, judges: Path, tmp_path: Path
) -> None:
    target = tmp_path / "none" / "file"
    result = run(folder, "--weights", weights, "--metric-weights", judges, option, target)
    assert result.exit_code == 5
    assert str(target) in result.stderr
    assert not result.stdout


@pytest.mark.parametrize("sheet", ["sheet.png", "below/sheet.png"])
def test_a_sheet_is_not_put_among_the_photographs(sheet: str, folder: Path, weights: str) -> None:
    result = run(folder, "--weights", weights, "--sheet", folder / sheet)
    assert result.exit_code == 2 and "among the photographs" in result.stderr


def test_what_is_no_device_is_refused(folder: Path, weights: str) -> None:
    result = run(folder, "--weights", weights, "--device", "meta")
    assert result.exit_code == 2 and "cuda:N" in result.stderr


@pytest.mark.parametrize(("output", "code"), [("/dev/full", 5), ("closed", 141)])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux")
def test_scores_are_kept_where_nobody_reads_them(
    output: str, code: int, folder: Path, weights: str, judges: Path, tmp_path: Path
) -> None:
    parts = ["images", folder, "--render-size", "64", "--weights", weights, "--metric-weights", judges]
    few = f"from vidcolor.evaluation import backbones; backbones._FEATURES = {CHANNELS}; "
    command = [sys.executable, "-c", few + "from vidcolor.evaluation.cli import main; main()", *parts]
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer if output == "closed" else output, "w") as out:
        done = subprocess.run(
            [*command, "--results", tmp_path / "results.json", "--sheet", tmp_path / "sheet.png"],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
    assert ("standard output" in done.stderr) == (output != "closed"), "a closed pipe is nothing to speak of"
    assert (tmp_path / "results.json").exists() and (tmp_path / "sheet.png").exists()


def test_scores_come_also_where_they_cannot_be_recorded(
    folder: Path, weights: str, judges: Path, tmp_path: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OutputError("weights: cannot be written")

    with mock.patch("vidcolor.checkpoint.record", refuse):
        given = ("--metric-weights", judges, "--record", "--results", tmp_path / "results.json")
        result = run(folder, "--weights", weights, *given)
    assert result.exit_code == 5 and "cannot be written" in result.stderr
    assert "PSNR" in result.stdout
    assert (tmp_path / "results.json").exists()


def test_a_pipe_is_written_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_whole(pipe, lambda file: file.write(b"scores"))
        assert os.read(reader, 100) == b"scores"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_what_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    def fail(file: IO[bytes]) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    (tmp_path / "scores").write_text("old")
    with pytest.raises(OutputError, match="No space left"):
        write_whole(tmp_path / "scores", fail)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "scores", mock.Mock(side_effect=KeyboardInterrupt))
    assert [path.name for path in tmp_path.iterdir()] == ["scores"]
    assert (tmp_path / "scores").read_text() == "old"


def test_a_cache_that_cannot_be_made_is_an_error(folder: Path, weights: str, judges: Path) -> None:
    result = run(folder, "--weights", weights, "--metric-weights", judges, "--cache", folder / "0.png" / "x")
    assert result.exit_code == 5
    assert "--cache" in result.stderr


def test_help_names_the_files_that_judge() -> None:
    text = CliRunner().invoke(main, ["images", "--help"]).output
    for word in ("inception*.pt", "alexnet*.pth", "TorchScript"):
        assert word in text


def test_scores_do_not_depend_on_the_machine_s_arithmetic(
    weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plain = load_predictor(weights, "cpu")
    for probe in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, probe, lambda: True, raising=False)
    _, other = load_predictor(weights, "cpu")
    picture = torch.rand(1, 1, 64, 64) * 100
    assert np.array_equal(plain(picture, (64, 64))[0], other(picture, (64, 64))[0])
    exact = Predictor(load_generator(weights), torch.device("cpu"), "float32")
    assert np.array_equal(plain(picture, (64, 64))[0], exact(picture, (64, 64))[0])


def test_the_table_has_each_score_in_its_place_and_unit() -> None:
    columns = ("grey", "ours", "truth")
    scores: dict[str, dict[str, float | None]] = {c: {"kid": 0.0125 * n} for n, c in enumerate(columns, 1)}
    scores["ours"] |= {"psnr": 23.456}
    targets = ("fid_of_grey", "colourfulness_of_truth", "colourfulness_magnitudes_of_truth", "psnr_gain")
    scores["targets"] = {name: number / 8 for number, name in enumerate(targets, 1)}
    spread: dict[str, dict[str, float | None]] = {name: {} for name in columns}
    spread |= {"truth": {"kid": 0.001}, "targets": dict.fromkeys(targets)}
    report = Report(pictures=7, scores=scores, spread=spread)
    shown = table(report, ImageOptions(data=(), weights="w"), found=9, damaged=2)
    lines = {line[:28].strip(): line[28:].split("  ") for line in shown.splitlines()}
    cells = {name: [cell.strip() for cell in row if cell.strip()] for name, row in lines.items()}
    assert cells["KID × 1000"] == ["12.50", "25.00", "37.50 ± 1.00"]
    assert cells["PSNR of R'G'B', dB"] == ["–", "23.46", "–"]
    assert "w: 7 of 9 pictures (seed 0, 2 damaged)" in shown
    assert [line.split()[-1] for line in shown.splitlines()[-4:]] == ["0.125", "0.250", "0.375", "0.50"]
