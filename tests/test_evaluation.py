from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from vidcolor.checkpoint import load_generator
from vidcolor.evaluation.cli import main
from vidcolor.evaluation.images import Sample, colour_pictures, colourfulness, contact_sheet, psnr, score
from vidcolor.stages.predict import Predictor


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(2)
    place = tmp_path / "photos"
    place.mkdir()
    for index in range(3):
        coarse = torch.rand(1, 3, 4, 5)
        rgb = torch.nn.functional.interpolate(coarse, (60, 80 + 10 * index), mode="bilinear")
        Image.fromarray((rgb[0] * 255).byte().permute(1, 2, 0).numpy().copy()).save(place / f"{index}.png")
    return place


def test_psnr() -> None:
    zero = np.zeros((4, 4, 3), np.uint8)
    assert psnr(zero, zero) == 100.0
    assert psnr(zero, zero + 255) == pytest.approx(0.0)
    assert psnr(zero, zero + 1) == pytest.approx(48.13, abs=0.01)


def test_colourfulness_of_known_pictures() -> None:
    assert colourfulness(np.full((8, 8, 3), 77, np.uint8)) == 0.0
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255  # rg = 255, yb = 127.5, no spread
    assert colourfulness(red) == pytest.approx(0.3 * np.hypot(255, 127.5))


def test_pictures_are_coloured_from_their_luma_alone(folder: Path, weights: str) -> None:
    predictor = Predictor(load_generator(weights), torch.device("cpu"), torch.float32)
    samples = list(colour_pictures([folder], predictor, 64))
    assert [s.name for s in samples] == ["0.png", "1.png", "2.png"]
    for sample in samples:
        assert sample.ours.shape == sample.truth.shape == sample.grey.shape
        assert colourfulness(sample.ours) > 1.0
        assert colourfulness(sample.grey) == 0.0
        weights_of_luma = np.array([0.2126, 0.7152, 0.0722])
        assert np.abs(sample.ours @ weights_of_luma - sample.grey[..., 0]).max() < 2.0


def test_scores_are_means_and_the_truth_scores_best() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)
    grey = np.repeat(truth[..., 1:2], 3, -1)
    scores, kept = score(iter([Sample(name="x", grey=grey, ours=truth, truth=truth)] * 2))
    assert scores.pictures == 2
    assert scores.psnr == 100.0 > scores.grey_psnr
    assert scores.ab_error == 0.0
    assert scores.colourfulness == scores.true_colourfulness
    assert contact_sheet([sample for _, sample in kept]).ndim == 3


def test_command_reports_and_writes_a_sheet(folder: Path, weights: str, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    arguments = ["images", str(folder), "--weights", weights, "--render-size", "64", "--sheet", str(sheet)]
    result = CliRunner().invoke(main, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["pictures"] == 3
    assert found["psnr"] > 0
    with Image.open(sheet) as picture:
        assert picture.mode == "RGB"


def test_scores_are_recorded_in_the_weights(folder: Path, weights: str, tmp_path: Path) -> None:
    own = tmp_path / "own.safetensors"
    shutil.copy(weights, own)
    result = CliRunner().invoke(
        main, ["images", str(folder), "--weights", str(own), "--render-size", "64", "--record"]
    )
    assert result.exit_code == 0, result.output
    generator = load_generator(str(own))
    assert json.loads(generator.metadata["scores"])["pictures"] == 3
    assert generator.metadata["recipe"] == "random"


def test_command_refuses_an_empty_folder(tmp_path: Path, weights: str) -> None:
    result = CliRunner().invoke(main, ["images", str(tmp_path), "--weights", weights])
    assert result.exit_code == 3
    assert "no picture" in result.output
