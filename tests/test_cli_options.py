"""Each option of the command does what it says, and refuses what it cannot do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import av
import numpy as np
import pytest
import torch
from calling import call, one_line
from click.testing import CliRunner
from media import luma_of_film, make_film, planes_of, read_film
from quick import colour
from test_resume import Flickering

from vidcolor.cli_progress import Display
from vidcolor.cli_targets import folder_of
from vidcolor.errors import InputError
from vidcolor.evaluation.cli import main as score
from vidcolor.result import Progress
from vidcolor.stages.predict import Predictor
from vidcolor.training.cli import main as train

Said = pytest.CaptureFixture[str]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return make_film(tmp_path / "film.mp4", frames=6)


@pytest.mark.parametrize(
    "given",
    [
        ["--saturation", "loud"], ["--saturation", "-1"], ["--saturation", "11"], ["--saturation", "nan"],
        ["--smoothing", "2"], ["--temporal", "magic"], ["--render-size", "8"], ["--render-size", "99999"],
        ["--crf", "-1"], ["--crf", "999"], ["--crf", "nan"],
        ["--batch-size", "0"], ["--batch-size", "x"], ["--batch-size", "5000"],
        ["--device", "tpu"], ["--device", "cuda:99"], ["--precision", "fp8"], ["--precision", "fp16"],
        ["--engine", "onnx"],
        ["--crf", "20", "--encoder-option", "crf=30"],
        ["--preset", "slow", "--encoder-option", "preset=fast"],
        ["--encoder-option", "x264-params=ref=2", "--encoder-option", "x264-params=keyint=5"],
        ["--start", "soon"], ["--start", "-3"], ["--start", "1:2:3:4"], ["--duration", "0"],
        ["--duration", "1e9"],
        ["--framerate", "0"], ["--framerate", "1/0"], ["--framerate", "fast"], ["--framerate", "nan"],
        ["--codec", "nope"], ["--codec", "aac"], ["--codec", ""], ["--preset", "warp"], ["--pix-fmt", "nope"],
        ["--pix-fmt", "yuv410p"], ["--pix-fmt", "gray"], ["--pix-fmt", "gray10le"],
        ["--format", "nope"], ["--format", ""], ["--audio", "nope"],
        ["--encoder-option", "crf"], ["--encoder-option", "=3"], ["--encoder-option", "stats=x"],
        ["--encoder-option", "no-such-option=1"],
        ["--progress", "loud"], ["--no-such-option"], ["--saturation"], ["--crf", "18", "--codec", "ffv1"],
    ],
)  # fmt: skip
def test_a_bad_option_is_refused_with_2_and_one_line(given: list[str], tmp_path: Path, capsys: Said) -> None:
    film = make_film(tmp_path / "film.mp4", frames=2, audio="aac")
    assert call(film, tmp_path / "out.mkv", *given) == 2
    one_line(capsys.readouterr().err)
    assert [p.name for p in tmp_path.iterdir()] == ["film.mp4"]


@pytest.mark.parametrize("given", [[], ["film.mp4"]])
def test_a_missing_argument_is_refused_with_2_and_one_line(given: list[str], capsys: Said) -> None:
    assert call(*given) == 2
    assert "--help" in one_line(capsys.readouterr().err)


def test_an_option_of_the_encoder_reaches_it(film: Path, tmp_path: Path) -> None:
    sizes = []
    for index, given in enumerate((["g=1", "bf=0"], ["g=250", "bf=0"], ["x264-params=keyint=2:bframes=0"])):
        target = tmp_path / f"{index}.mkv"
        assert call(film, target, *[a for value in given for a in ("--encoder-option", value)]) == 0
        with av.open(str(target)) as container:
            sizes.append(sum(p.is_keyframe for p in container.demux() if p.size))
    assert sizes == [6, 1, 3]


def test_preset_and_codec_reach_the_encoder(film: Path, tmp_path: Path) -> None:
    assert call(film, tmp_path / "a.mkv", "--preset", "ultrafast") == 0
    assert call(film, tmp_path / "b.mkv", "--codec", "ffv1") == 0
    assert call(film, tmp_path / "c.mkv", "--codec", "h265") == 0
    with av.open(str(tmp_path / "a.mkv")) as container:
        assert container.streams.video[0].codec_context.profile == "Constrained Baseline"
    for name, codec in (("b", "ffv1"), ("c", "hevc")):
        with av.open(str(tmp_path / f"{name}.mkv")) as container:
            assert container.streams.video[0].codec_context.name == codec


def test_crf_0_is_lossless(film: Path, tmp_path: Path) -> None:
    assert call(film, tmp_path / "out.mkv", "--crf", "0") == 0
    pairs = zip(luma_of_film(film), luma_of_film(tmp_path / "out.mkv"), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


def test_pix_fmt_is_that_of_the_target(film: Path, tmp_path: Path) -> None:
    assert call(film, tmp_path / "out.mkv", "--pix-fmt", "yuv444p") == 0
    assert read_film(tmp_path / "out.mkv")[0].format.name == "yuv444p"


def test_start_and_duration_choose_what_is_coloured(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mp4", frames=50)
    assert (
        call(film, tmp_path / "out.mkv", "--start", "0.4", "--duration", "00:00:00.8", "--codec", "ffv1") == 0
    )
    coloured, wanted = luma_of_film(tmp_path / "out.mkv"), luma_of_film(film)[10:30]
    assert len(coloured) == 20
    assert all(np.array_equal(a, b) for a, b in zip(coloured, wanted, strict=True))


def test_saturation_0_gives_neutral_chroma_and_more_gives_more(film: Path, tmp_path: Path) -> None:
    spread = []
    for factor in ("0", "0.5", "1"):
        target = tmp_path / f"{factor}.mkv"
        assert call(film, target, "--saturation", factor, "--codec", "ffv1") == 0
        planes = [p.astype(int) - 128 for f in read_film(target) for p in planes_of(f)[1:]]
        spread.append(max(int(np.abs(p).max()) for p in planes))
    assert spread[0] == 0
    assert 0 < spread[1] < spread[2]


@pytest.mark.parametrize("given", [["--temporal", "off"], ["--temporal", "average"], ["--smoothing", "0"],
                                   ["--batch-size", "1"], ["--batch-size", "5"], ["--audio", "none"],
                                   ["--deinterlace"], ["--device", "cpu"], ["--precision", "bf16"],
                                   ["--allow-references"], ["--allow-network"]])  # fmt: skip
def test_options_work(given: list[str], film: Path, tmp_path: Path) -> None:
    assert call(film, tmp_path / "out.mkv", *given) == 0
    assert len(read_film(tmp_path / "out.mkv")) == 6


def test_colours_are_smoothed_as_asked_for(film: Path, tmp_path: Path) -> None:
    found: list[bytes] = []
    asked: list[dict[str, Any]] = [{"smoothing": 0.0}, {"smoothing": 0.1}, {}, {"temporal": "average"}]
    for given in ({"temporal": "off"}, *asked):
        colour(film, tmp_path / "out.mkv", Flickering(), overwrite=True, **({"temporal": "flow"} | given))
        found.append(b"".join(p.tobytes() for f in read_film(tmp_path / "out.mkv") for p in planes_of(f)[1:]))
    assert found[0] == found[1], "each frame as predicted"
    assert len(set(found[1:])) == 4


@pytest.mark.parametrize(("options", "batches"), [(["--every-frame"], [4, 2]), ([], [4])])
def test_the_batch_size_is_that_of_the_batches(
    options: list[str], batches: list[int], film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    forward = Predictor._forward
    monkeypatch.setattr(
        Predictor, "_forward", lambda self, x, shape: seen.append(len(x)) or forward(self, x, shape)
    )
    assert call(film, tmp_path / "out.mkv", "--batch-size", "4", *options) == 0
    assert seen == batches  # of six frames


@pytest.mark.parametrize("options", [[], ["--batch-size", "4"]])
def test_a_photograph_is_a_batch_by_itself(
    options: list[str], film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(Predictor, "expect", lambda self, count: seen.append(count))
    assert call(film, tmp_path / "one.png", "--duration", "0.04") == 0
    assert call(tmp_path / "one.png", tmp_path / "out.png", *options) == 0
    assert set(seen) == {1}


def test_out_of_memory_halves_the_batch_and_no_frame_stays_grey(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    forward = Predictor._forward

    def small(self: Predictor, luminance: torch.Tensor, shape: tuple[int, int]) -> object:
        if len(luminance) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, luminance, shape)

    monkeypatch.setattr(Predictor, "_forward", small)
    assert call(film, tmp_path / "out.mkv", "--batch-size", "6", "--codec", "ffv1") == 0
    assert "out of memory" in capsys.readouterr().err
    monkeypatch.undo()
    assert call(film, tmp_path / "whole.mkv", "--batch-size", "6", "--codec", "ffv1") == 0
    halved, whole = read_film(tmp_path / "out.mkv"), read_film(tmp_path / "whole.mkv")
    for a, b in zip(halved, whole, strict=True):
        for one, other in zip(planes_of(a), planes_of(b), strict=True):
            assert np.array_equal(one, other)
        assert np.ptp(planes_of(a)[1]) > 20


def test_out_of_memory_with_a_single_picture_is_a_failure(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    def never(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Predictor, "_forward", never)
    assert call(film, tmp_path / "out.mkv") == 2
    assert "lower --render-size" in capsys.readouterr().err.splitlines()[-1]
    assert [p.name for p in tmp_path.iterdir()] == ["film.mp4"]


@pytest.mark.parametrize(
    ("command", "given", "said"),
    [
        (
            train,
            ["nowhere", "--out", "x.safetensors"],
            "'nowhere' does not exist; vidcolor-train --help lists",
        ),
        (train, [], "Missing argument 'DATA...'; vidcolor-train --help lists"),
        (score, ["images", "nowhere"], "'nowhere' does not exist; vidcolor-eval images --help lists"),
        (score, ["pictures"], "No such command 'pictures'; vidcolor-eval --help lists"),
    ],
)
def test_the_other_commands_say_in_one_line_what_is_wrong(command: Any, given: list[str], said: str) -> None:
    name = "vidcolor-train" if command is train else "vidcolor-eval"
    result = CliRunner().invoke(command, given, prog_name=name)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert said in line


@pytest.mark.parametrize(("asked", "threads"), [(None, "1"), ("2", "2")])
def test_the_command_keeps_opencv_to_one_thread_unless_told_otherwise(
    asked: str | None, threads: str
) -> None:
    code = "import vidcolor.cli as c; c.prepare_process(); import cv2; print(cv2.getNumThreads())"
    name = "OPENCV_FOR_THREADS_NUM"
    environment = {k: v for k, v in os.environ.items() if k != name} | ({name: asked} if asked else {})
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == threads, done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no POSIX locks")
def test_a_folder_that_another_command_fills_stays(tmp_path: Path, film: Path) -> None:
    import fcntl

    broken = tmp_path / "broken.mp4"
    broken.write_bytes(os.urandom(3000))
    assert call(broken, f"{tmp_path / 'out'}/") == 3
    assert not (tmp_path / "out").exists()

    def neighbour(*_: Any, **__: Any) -> None:  # which begins while this one is at work
        held.append(os.open(tmp_path / "out", os.O_RDONLY))
        fcntl.flock(held[0], fcntl.LOCK_SH)
        raise InputError("no film")

    held: list[int] = []
    with mock.patch("vidcolor.job.colorize", neighbour):
        assert call(film, f"{tmp_path / 'out'}/") == 3
    assert (tmp_path / "out").is_dir()
    os.close(held[0])


def test_a_folder_that_has_just_been_taken_away_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, times = os.makedirs, []

    def taken_away(path: str, exist_ok: bool = False) -> None:
        make(path, exist_ok=exist_ok)
        times.append(path)
        if len(times) == 1:
            os.rmdir(path)

    monkeypatch.setattr(os, "makedirs", taken_away)
    with folder_of(f"{tmp_path / 'out'}/"):
        assert (tmp_path / "out").is_dir()
    assert len(times) == 2
    assert not (tmp_path / "out").exists()


def test_the_bar_of_a_resumed_job_counts_what_this_run_makes(capsys: Said) -> None:
    with Display("bar", "film.mp4") as display:
        assert display.callback is not None
        for frames in (9608, 9616, 9624):
            display.callback(Progress(frames=frames, total=12000, position=0.0, duration=None, fps=16.0))
            time.sleep(0.2)
    shown = capsys.readouterr().err
    rates = [float(rate) for rate in re.findall(r"([\d.]+) ?frame/s", shown)]
    assert rates and max(rates) < 500
    assert "9624/12000" in shown
