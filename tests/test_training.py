from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from vidcolor.checkpoint import load_generator
from vidcolor.errors import InputError
from vidcolor.networks.unet import LiteUNet
from vidcolor.training.cli import main
from vidcolor.training.data import PhotoSet, load_photos, random_batch
from vidcolor.training.degrade import degrade
from vidcolor.training.loop import TrainOptions, build_state, load_checkpoint, train


def photograph(seed: int, height: int = 96, width: int = 128) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 6, 8, generator=generator)
    return (
        torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1) * 255
    ).byte()[0]


def save(rgb: torch.Tensor, path: Path) -> None:
    Image.fromarray(rgb.permute(1, 2, 0).contiguous().numpy()).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "photos"
    place.mkdir()
    for index in range(6):
        save(photograph(index), place / f"{index}.jpg")
    return place


def test_unusable_pictures_are_left_out_and_counted(folder: Path, tmp_path: Path) -> None:
    save(photograph(9, 20, 30), folder / "small.jpg")
    save(photograph(9)[:1].expand(3, -1, -1), folder / "grey.jpg")
    (folder / "damaged.jpg").write_bytes(b"\xff\xd8 no picture")
    (folder / "notes.txt").write_text("not a picture at all")
    photos = load_photos([folder], tmp_path / "cache", smallest=64)
    assert (len(photos), photos.skipped) == (6, 3)


def test_tars_and_folders_give_the_same_pictures(folder: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name)
    one = load_photos([folder], tmp_path / "a", smallest=64)
    other = load_photos([tmp_path / "photos.tar"], tmp_path / "b", smallest=64)
    assert one.digest == other.digest
    assert np.array_equal(one.picture(3), other.picture(3))


def test_the_cache_is_made_once_for_a_request(folder: Path, tmp_path: Path) -> None:
    load_photos([folder], tmp_path / "cache", smallest=64)
    made = (tmp_path / "cache" / "photos.rgb").stat().st_mtime_ns
    load_photos([folder], tmp_path / "cache", smallest=64)
    assert (tmp_path / "cache" / "photos.rgb").stat().st_mtime_ns == made
    load_photos([folder], tmp_path / "cache", smallest=65)
    assert (tmp_path / "cache" / "photos.rgb").stat().st_mtime_ns > made


def test_a_folder_without_pictures_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no usable colour picture"):
        load_photos([tmp_path / "empty"], tmp_path / "cache", smallest=64)


def batch_of(photos: PhotoSet, seed: int) -> torch.Tensor:
    return random_batch(photos, 4, 64, np.random.default_rng(seed))


def test_batches_are_random_crops_that_a_seed_repeats(folder: Path, tmp_path: Path) -> None:
    photos = load_photos([folder], tmp_path / "cache", smallest=64)
    batch = batch_of(photos, 1)
    assert batch.shape == (4, 3, 64, 64)
    assert batch.min() >= 0 and batch.max() <= 1
    assert torch.equal(batch, batch_of(photos, 1))
    assert not torch.equal(batch, batch_of(photos, 2))


def test_degradations_change_luma_within_bounds() -> None:
    y = torch.rand(16, 1, 64, 64)
    worn = degrade(y, torch.Generator().manual_seed(3))
    assert worn.shape == y.shape
    assert worn.min() >= 0 and worn.max() <= 1
    changed = (worn != y).flatten(1).any(1)
    assert changed.sum() >= 8


def test_training_learns_and_resumes(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    options = TrainOptions(minutes=0.08, batch=4, crop=64, rate=3e-3, frozen_share=0.3)
    photos = load_photos([folder], tmp_path / "cache", smallest=64)
    state = build_state(LiteUNet("lite0", (16, 16, 8, 8)), options)
    losses: list[float] = []
    train(state, photos, options, tmp_path / "checkpoint.pt", lambda s: losses.append(s.losses[-1]))
    assert state.step == len(losses) > 3
    assert np.mean(losses[-3:]) < np.mean(losses[:3])

    later = build_state(LiteUNet("lite0", (16, 16, 8, 8)), options)
    load_checkpoint(later, tmp_path / "checkpoint.pt")
    assert later.step == state.step
    for name, value in state.average.state_dict().items():
        assert torch.equal(later.average.state_dict()[name], value)
    train(later, photos, options, tmp_path / "checkpoint.pt")  # the budget is spent
    assert later.step == state.step


def test_command_writes_weights_that_work(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    arguments = [str(folder), "--out", str(out), "--work-dir", str(tmp_path / "work"), "--minutes", "0.02"]
    result = CliRunner().invoke(main, [*arguments, "--crop", "64", "--batch", "2", "--variant", "lite0"])
    assert result.exit_code == 0, result.output
    generator = load_generator(str(out))
    assert "6 photographs" in generator.metadata["data"]
    assert "weighted Huber" in generator.metadata["recipe"]


def test_command_refuses_weights_that_are_not_the_encoder_s(folder: Path, tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, tmp_path / "odd.pth")
    arguments = [str(folder), "--out", str(tmp_path / "o.safetensors"), "--work-dir", str(tmp_path / "work")]
    result = CliRunner().invoke(main, [*arguments, "--crop", "64", "--encoder", str(tmp_path / "odd.pth")])
    assert result.exit_code == 4
    assert "not ImageNet weights of lite2" in result.output
