"""``vidcolor.colorize`` as other programs call it."""

from __future__ import annotations

import gc
import io
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from unittest import mock

import av
import pytest
from media import make_film, read_film
from quick import colour, quickly

import vidcolor
from vidcolor.errors import InputError, Interrupted, OutputError, UsageError, VidcolorError, WeightsError
from vidcolor.job import Progress, colorize
from vidcolor.options import Options
from vidcolor.weightfiles import find_weights


@pytest.fixture(autouse=True)
def corners() -> Iterator[None]:
    with quickly():
        yield


SMALL = Options(render_size=32, precision="fp32", temporal="off")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return make_film(tmp_path / "film.mp4", frames=12)


def test_the_package_offers_colorize_options_and_result(film: Path, tmp_path: Path) -> None:
    result = vidcolor.colorize(film, tmp_path / "out.mkv", vidcolor.Options(render_size=32))
    assert isinstance(result, vidcolor.Result)
    assert vidcolor.Progress is Progress
    assert (result.frames, result.lost, result.exit_code) == (12, 0, 0)
    assert (result.source, result.target) == (str(film), str(tmp_path / "out.mkv"))
    assert (result.codec, result.device) == ("libx264", "cpu")
    assert result.seconds > 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_says_that_it_cannot(film: Path, tmp_path: Path, weights: str) -> None:
    code = (
        "import os, sys, vidcolor; from vidcolor.errors import UsageError\n"
        "film, out, weights = sys.argv[1:]\n"
        "options = vidcolor.Options(render_size=64, weights=weights)\n"
        "vidcolor.colorize(film, out + '/one.mkv', options)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    try: vidcolor.colorize(film, out + '/two.mkv', options)\n"
        "    except UsageError as error: os._exit(7 if 'spawn' in str(error) else 8)\n"
        "    os._exit(9)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, film, tmp_path, weights], timeout=100, check=False
    )
    assert done.returncode == 7


def test_a_daemonic_process_says_that_it_cannot_share_a_film(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(multiprocessing.current_process().__dict__["_config"], "daemon", True)  # as in a Pool
    with pytest.raises(UsageError, match="daemonic"):
        colour(film, tmp_path / "out.mkv", jobs=2)
    assert [path.name for path in tmp_path.iterdir()] == [film.name]
    assert colour(film, tmp_path / "out.mkv").frames == 12


def test_type_checkers_know_the_package_s_names_and_no_others(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    program = tmp_path / "program.py"
    program.write_text("import vidcolor\nvidcolor.Options\nvidcolor.colorise\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=skip"]
    package = Path(vidcolor.__file__)
    done = subprocess.run(
        [*command, f"--cache-dir={tmp_path}", package, program],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert [line for line in done.stdout.splitlines() if "colorise" in line], done.stdout + done.stderr
    assert "Options" not in done.stdout


def test_it_works_in_another_thread_than_the_main_one(film: Path, tmp_path: Path) -> None:
    done: list[object] = []

    def work(index: int) -> None:
        done.append(colorize(film, tmp_path / f"{index}.mkv", SMALL).frames)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [12, 12]


def test_progress_is_called_from_the_calling_thread_with_rising_frames(film: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    threads = set()

    def progress(now: Progress) -> None:
        seen.append(now)
        threads.add(threading.current_thread())

    colorize(film, tmp_path / "out.mkv", Options(render_size=32, batch_size=5), progress)
    frames = [now.frames for now in seen]
    assert frames == sorted(set(frames))
    assert len(frames) > 1
    assert frames[-1] == 12
    assert {now.total for now in seen} == {12}
    assert [now.position for now in seen] == pytest.approx([(frame - 1) / 25 for frame in frames])
    assert all(now.fps > 0 for now in seen)
    assert seen[0].duration == pytest.approx(0.48)
    assert threads == {threading.current_thread()}


def test_an_exception_of_progress_ends_the_job_and_leaves_nothing(film: Path, tmp_path: Path) -> None:
    def stop(now: Progress) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        colorize(film, tmp_path / "out.mkv", SMALL, stop)
    assert os.listdir(tmp_path) == ["film.mp4"]


def test_failures_are_exceptions_of_the_one_tree(film: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    with pytest.raises(InputError):
        colorize(tmp_path / "none.mp4", target, SMALL)
    with pytest.raises(OutputError):
        colorize(film, film, SMALL)
    with pytest.raises(UsageError):
        colorize(film, tmp_path / "out", SMALL)
    with pytest.raises(UsageError):
        Options(saturation=-1.0)
    with pytest.raises(WeightsError), mock.patch("vidcolor.job.find_weights", find_weights):
        colorize(film, target, Options(weights="no-such-weights"))
    assert os.listdir(tmp_path) == ["film.mp4"]


def test_an_existing_target_survives_failures(film: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    target.write_text("precious")
    (tmp_path / "bad.mp4").write_text("no film")
    for source, options in (
        (film, SMALL),
        (tmp_path / "bad.mp4", Options(overwrite=True)),
        (film, Options(overwrite=True, codec="nope")),
        (film, Options(overwrite=True, audio="nope", start=Fraction(99))),
    ):
        with pytest.raises(VidcolorError):
            colorize(source, target, options)
        assert target.read_text() == "precious"
    assert sorted(os.listdir(tmp_path)) == ["bad.mp4", "film.mp4", "out.mkv"]


def test_cancel_ends_it_with_interrupted_and_leaves_nothing(film: Path, tmp_path: Path) -> None:
    cancel = threading.Event()
    with pytest.raises(Interrupted):
        colorize(
            film,
            tmp_path / "out.mkv",
            Options(render_size=32, batch_size=1),
            lambda now: cancel.set(),
            cancel=cancel,
        )
    assert os.listdir(tmp_path) == ["film.mp4"]


def test_a_film_goes_to_any_descriptor(film: Path, tmp_path: Path) -> None:
    end, start = os.pipe()
    got: list[bytes] = []

    def read() -> None:
        with open(end, "rb") as file:
            got.append(file.read())

    reader = threading.Thread(target=read)
    reader.start()
    result = colorize(film, "-", SMALL, output_fd=start)
    os.close(start)
    reader.join()
    assert result.target == "standard output"
    with av.open(io.BytesIO(got[0])) as container:
        assert sum(1 for _ in container.decode(video=0)) == 12


def test_neither_threads_nor_descriptors_are_left_behind(film: Path, tmp_path: Path) -> None:
    fds = Path("/proc/self/fd")
    if not fds.exists():
        pytest.skip("only where /proc is")
    colour(film, tmp_path / "first.mkv")
    (tmp_path / "bad.mkv").write_bytes(film.read_bytes()[:2000])
    gc.collect()  # what earlier failures left in tracebacks
    threads, before = set(threading.enumerate()), len(list(fds.iterdir()))
    for index in range(3):
        colour(film, tmp_path / f"{index}.mkv")
        with pytest.raises(VidcolorError):
            colour(tmp_path / "bad.mkv", tmp_path / f"{index}-bad.mkv")
        with pytest.raises(VidcolorError):
            colour(film, tmp_path / f"{index}-bad.mkv", codec="libvpx-vp9", encoder_options={"nope": "1"})
    gc.collect()
    assert set(threading.enumerate()) <= threads  # some of those of earlier tests may have ended meanwhile
    assert len(list(fds.iterdir())) <= before
    assert len(read_film(tmp_path / "2.mkv")) == 12
