"""A disk that fills up ends the job with one line, and leaves nothing."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from calling import call, one_line
from media import make_film

Said = pytest.CaptureFixture[str]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return make_film(tmp_path / "film.mp4", frames=4)


def test_a_full_disk_ends_with_5_and_leaves_nothing(film: Path, tmp_path: Path, capsys: Said) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    for muxer in ("mkv", "mp4", "nut", "y4m", "avi", "mpegts"):
        assert call("-q", film, "/dev/full", "--format", muxer) == 5
        assert "No space left" in one_line(capsys.readouterr().err)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with hardly any room."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("mounting is not permitted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_disk_that_fills_up_ends_with_5_and_leaves_nothing(
    suffix: str, tiny_disk: Path, tmp_path: Path, capsys: Said
) -> None:
    film = make_film(tmp_path / "film.mp4", frames=40, size=(160, 120))
    assert call("-q", film, tiny_disk / f"out.{suffix}") == 5
    assert "No space left" in one_line(capsys.readouterr().err)
    assert not list(tiny_disk.iterdir())


def test_a_disk_that_fills_up_leaves_whole_pictures(tiny_disk: Path, tmp_path: Path, capsys: Said) -> None:
    film = make_film(tmp_path / "film.mp4", frames=12, size=(160, 120), rate=12)
    whole = tmp_path / "whole"
    whole.mkdir()
    for folder, code in ((whole, 0), (tiny_disk, 5)):
        assert call("-q", film, folder / "p_%02d.bmp") == code
    assert "No space left" in one_line(capsys.readouterr().err)
    left = sorted(tiny_disk.iterdir())
    assert 0 < len(left) < 12
    assert all(path.read_bytes() == (whole / path.name).read_bytes() for path in left)


def test_pictures_go_to_a_folder_that_may_not_be_listed(film: Path, tmp_path: Path, capsys: Said) -> None:
    refusal = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    with mock.patch.object(Path, "iterdir", side_effect=refusal):
        assert call("-q", "-y", film, tmp_path / "p_%02d.png") == 0
    assert not capsys.readouterr().err
    assert len(list(tmp_path.glob("p_*.png"))) == 4


def test_a_disk_that_refuses_the_last_step_ends_with_5_and_leaves_nothing(
    film: Path, tmp_path: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "out.mkv").write_text("precious")
    monkeypatch.setattr(os, "fsync", full)
    assert call(film, tmp_path / "out.mkv", "-y") == 5
    assert "No space left" in one_line(capsys.readouterr().err)
    assert sorted(os.listdir(tmp_path)) == ["film.mp4", "out.mkv"]
    assert (tmp_path / "out.mkv").read_text() == "precious"
