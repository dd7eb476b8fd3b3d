"""What cannot be done is refused with one line and its code, and leaves nothing behind."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from calling import call, one_line
from conftest import Run
from media import make_film
from safetensors.torch import load_file, save_file

Said = pytest.CaptureFixture[str]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return make_film(tmp_path / "film.mp4", frames=4)


def headless(path: Path) -> None:
    """A recording that broke off before its index was written."""
    whole = make_film(path.with_name("whole.mp4"), frames=4)
    blob = whole.read_bytes()
    path.write_bytes(blob[: blob.index(b"moov") - 4])
    whole.unlink()


def tone(path: Path) -> None:
    """A file with sound alone."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=48000)
        for start in range(0, 4096, 1024):
            silence = np.zeros((1, 2048), np.int16)
            frame = av.AudioFrame.from_ndarray(silence, format="s16", layout="stereo")
            frame.sample_rate, frame.pts = 48000, start
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def no_frames(path: Path) -> None:
    """A container with a picture stream in which there is nothing."""
    whole = make_film(path.with_name("whole.mkv"), frames=2)
    with av.open(str(whole)) as source, av.open(str(path), "w") as out:
        out.add_stream_from_template(source.streams.video[0])
        out.start_encoding()
    whole.unlink()


def garbled(path: Path) -> None:
    """A film none of whose frames decodes."""
    whole = make_film(path.with_name("whole.mkv"), frames=6, codec="ffv1")
    with av.open(str(whole)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for index in range(6):
            packet = av.Packet(b"\xff" * 300)
            packet.stream, packet.is_keyframe, packet.time_base = stream, True, stream.time_base
            packet.pts = packet.dts = index * 40
            out.mux(packet)
    whole.unlink()


SOURCES = {
    "none.mp4": lambda path: None,
    "folder.mp4": Path.mkdir,
    "empty.mp4": Path.touch,
    "text.mp4": lambda path: path.write_text("It was a dark and stormy night.\n" * 99),
    "noise.mp4": lambda path: path.write_bytes(bytes(range(256)) * 40),
    "zeros.mkv": lambda path: path.write_bytes(bytes(100_000)),
    "headless.mp4": headless,
    "tone.m4a": tone,
    "frameless.mkv": no_frames,
    "garbled.mkv": garbled,
    "file.txt/film.mp4": lambda path: path.parent.write_text("x"),
    "x" * 300 + ".mp4": lambda path: None,
    "scan_%03d.png": lambda path: None,
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_that_is_no_film_is_refused_with_3(name: str, tmp_path: Path, capsys: Said) -> None:
    source = tmp_path / name
    SOURCES[name](source)
    before = sorted(os.listdir(tmp_path))
    assert call(source, tmp_path / "out.mkv") == 3
    assert name.rpartition("/")[2][:20] in one_line(capsys.readouterr().err)
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("name", ["headless.mp4", "tone.m4a"])
def test_the_refusal_says_what_is_wrong_with_the_source(name: str, tmp_path: Path, capsys: Said) -> None:
    SOURCES[name](tmp_path / name)
    call(tmp_path / name, tmp_path / "out.mkv")
    assert {"headless.mp4": "moov", "tone.m4a": "only sound"}[name] in capsys.readouterr().err


def test_a_source_without_permission_is_refused_with_3(film: Path, tmp_path: Path, capsys: Said) -> None:
    film.chmod(0)
    if os.access(film, os.R_OK):
        pytest.skip("this user may read everything")
    assert call(film, tmp_path / "out.mkv") == 3
    one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    "name", ["none/out.mkv", "film.mp4/out.mkv", "x" * 300 + ".mkv", "folder.mkv/none/out.mkv"]
)
def test_a_target_that_cannot_be_created_is_refused_with_5(
    name: str, film: Path, tmp_path: Path, capsys: Said
) -> None:
    (tmp_path / "folder.mkv").mkdir()
    assert call(film, tmp_path / name) == 5
    one_line(capsys.readouterr().err)
    assert sorted(os.listdir(tmp_path)) == ["film.mp4", "folder.mkv"]


def test_a_folder_without_permission_is_refused_with_5(film: Path, tmp_path: Path, capsys: Said) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write everywhere")
    assert call(film, folder / "out.mkv") == 5
    one_line(capsys.readouterr().err)


def test_an_existing_target_is_refused_with_5_and_kept(film: Path, tmp_path: Path, capsys: Said) -> None:
    target = tmp_path / "out.mkv"
    target.write_text("precious")
    assert call(film, target) == 5
    assert "-y" in one_line(capsys.readouterr().err)
    assert target.read_text() == "precious"
    assert call(film, target, "-y") == 0
    assert target.read_bytes()[:4] == b"\x1aE\xdf\xa3"


def test_a_link_that_leads_nowhere_counts_as_a_target_that_exists(film: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    target.symlink_to(tmp_path / "nowhere.mkv")
    assert call(film, target) == 5
    assert target.is_symlink()


@pytest.mark.parametrize("way", ["name", "dots", "symlink", "hard link", "folder"])
def test_the_source_is_never_the_target(way: str, film: Path, tmp_path: Path, capsys: Said) -> None:
    before = film.read_bytes()
    target = film if way == "name" else tmp_path / "other.mp4"
    if way == "dots":
        target = tmp_path / ".." / tmp_path.name / "film.mp4"
    elif way == "symlink":
        target.symlink_to(film)
    elif way == "hard link":
        os.link(film, target)
    elif way == "folder":
        target = tmp_path
    names = sorted(os.listdir(tmp_path))
    assert call(film, target, "-y") == 5
    assert "source itself" in one_line(capsys.readouterr().err)
    assert film.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == names


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (["--codec", "nope"], 2), (["--codec", "aac"], 2), (["--codec", "ffv1", "--format", "webm"], 2),
        (["--codec", "prores_ks", "--format", "mp4"], 2), (["--codec", "prores_ks"], 2),
        (["--format", "nope"], 2), (["--codec", "libx264", "--pix-fmt", "yuv420p12le"], 2),
        (["--audio", "none", "--crf", "x"], 2),
    ],
)  # fmt: skip
def test_what_codec_and_container_cannot_do_is_refused_with_2(
    given: list[str], code: int, film: Path, tmp_path: Path, capsys: Said
) -> None:
    assert call(film, tmp_path / "out.mkv", *given) == code
    one_line(capsys.readouterr().err)
    assert os.listdir(tmp_path) == ["film.mp4"]


@pytest.mark.parametrize("name", ["out.xyz", "out", "out.", ".mkv", "out.txt"])
def test_a_suffix_that_names_no_container_is_refused_with_2(
    name: str, film: Path, tmp_path: Path, capsys: Said
) -> None:
    assert call(film, tmp_path / name) == 2
    one_line(capsys.readouterr().err)
    assert os.listdir(tmp_path) == ["film.mp4"]


def test_a_depth_that_no_encoder_of_the_container_keeps_is_refused_with_2(
    tmp_path: Path, capsys: Said
) -> None:
    film = make_film(tmp_path / "deep.mkv", frames=2, codec="ffv1", pix_fmt="gray16le")
    assert call(film, tmp_path / "out.mp4") == 2
    assert "16 bits" in one_line(capsys.readouterr().err)
    assert os.listdir(tmp_path) == ["deep.mkv"]


def test_a_device_that_is_not_there_is_refused_with_2(
    film: Path, tmp_path: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert call(film, tmp_path / "out.mkv", "--device", "cuda") == 2
    assert "cuda" in one_line(capsys.readouterr().err)
    assert os.listdir(tmp_path) == ["film.mp4"]


def test_bad_weights_are_refused_with_4(
    film: Path, tmp_path: Path, capsys: Said, weights: str, vidcolor: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vidcolor.cli import main

    whole = Path(weights).read_bytes()
    state = load_file(weights)
    first = next(iter(state))
    config = {"format": "vidcolor-1", "architecture": "lite-unet", "config": json.dumps({"x": 1})}
    odd = tmp_path / "weights"
    odd.mkdir()
    (odd / "truncated").write_bytes(whole[: len(whole) // 2])
    (odd / "empty").touch()
    (odd / "text").write_text("no weights")
    (odd / "huge header").write_bytes(b"\xff" * 64)
    save_file(state, odd / "unnamed")
    save_file(state, odd / "newer", {**config, "format": "vidcolor-9"})
    save_file(state, odd / "other", {**config, "architecture": "other-net"})
    save_file(state, odd / "odd config", config)
    save_file(state, odd / "no json", {**config, "config": "{"})
    good = {**config, "config": metadata_of(weights)["config"]}
    save_file({k: v for k, v in state.items() if k != first}, odd / "tensor missing", good)
    save_file({**state, first: torch.zeros(3)}, odd / "other shape", good)
    for path in [*sorted(odd.iterdir()), odd / "none"]:
        codes: list[int] = []
        monkeypatch.setattr("vidcolor.cli._leave", codes.append)
        monkeypatch.setattr(
            "sys.argv", ["vidcolor", "--weights", str(path), str(film), str(tmp_path / "out.mkv")]
        )
        main()
        assert codes == [4], path
        assert str(path) in one_line(capsys.readouterr().err)
    assert sorted(os.listdir(tmp_path)) == ["film.mp4", "weights"]


def metadata_of(weights: str) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(weights, framework="pt") as file:
        return dict(file.metadata())


def test_an_existing_target_survives_a_run_that_fails(tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    target.write_text("precious")
    garbled(tmp_path / "bad.mkv")
    assert call(tmp_path / "bad.mkv", target, "-y") == 3
    assert target.read_text() == "precious"
    assert sorted(os.listdir(tmp_path)) == ["bad.mkv", "out.mkv"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("", "out.mkv"), "a name is empty"),
        (("film.mp4", ""), "a name is empty"),
        (("--status", "folder"), "is a folder; name the films in it"),
    ],
)
def test_names_that_name_no_film_are_refused_in_words(
    given: tuple[str, ...], said: str, film: Path, tmp_path: Path, monkeypatch: Any, capsys: Said
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    assert call(*given) in (2, 3)
    assert said in one_line(capsys.readouterr().err)
