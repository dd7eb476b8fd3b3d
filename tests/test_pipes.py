"""Standard input and output, the signals that end a job, and what is left of it."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from calling import call, one_line
from conftest import Run
from media import make_film, packets_of, planes_of, read_film, times_of

from vidcolor.stages.predict import Predictor

Said = pytest.CaptureFixture[str]
LONG = 3000  # frames: far more than a test waits for


@contextlib.contextmanager
def standing_for(number: int, other: int) -> Iterator[None]:
    """Let a standard descriptor stand for another one."""
    kept = os.dup(number)
    os.dup2(other, number)
    try:
        yield
    finally:
        os.dup2(kept, number)
        os.close(kept)


def piped(*arguments: str | Path, stdin: bytes | None = None) -> tuple[int, bytes]:
    """Exit code and standard output of the command, called with real pipes at both ends."""
    got: list[bytes] = []
    out_end, out = os.pipe()
    in_, in_end = os.pipe()

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError), open(in_end, "wb") as file:
            file.write(stdin or b"")

    def read() -> None:
        with open(out_end, "rb") as file:
            got.append(file.read())

    threads = [threading.Thread(target=feed), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    with standing_for(1, out), standing_for(0, in_):
        code = call(*arguments)
    os.close(out)
    os.close(in_)
    for thread in threads:
        thread.join()
    return code, got[0]


def frames_in(blob: bytes, format: str | None = None) -> list[av.VideoFrame]:
    """The frames that a player of the stream gets to see."""
    frames = []
    with av.open(io.BytesIO(blob), format=format) as container, contextlib.suppress(av.FFmpegError):
        for frame in container.decode(video=0):
            frames.append(frame)
    return frames


def same_frames(first: list[av.VideoFrame], second: list[av.VideoFrame]) -> bool:
    """Whether all planes and times agree."""
    assert len(first) == len(second) > 0
    return all(
        np.array_equal(a, b)
        for one, other in zip(first, second, strict=True)
        for a, b in zip(planes_of(one), planes_of(other), strict=True)
    )


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """With B-frames, sound, and the index in front."""
    return make_film(
        tmp_path / "film.mp4", frames=30, audio="aac", container_options={"movflags": "faststart"},
        options={"bf": "2"},
    )  # fmt: skip


def test_standard_output_is_matroska_unless_told_otherwise(film: Path) -> None:
    code, blob = piped(film, "-")
    assert code == 0
    assert blob[:4] == b"\x1aE\xdf\xa3"
    assert len(frames_in(blob)) == 30


def test_the_frames_through_pipes_are_those_of_the_job_with_files(film: Path, tmp_path: Path) -> None:
    assert call(film, tmp_path / "out.mkv") == 0
    wanted = read_film(tmp_path / "out.mkv")
    for source, stdin in ((film, None), ("-", film.read_bytes())):
        code, blob = piped(source, "-", stdin=stdin)
        assert code == 0
        assert same_frames(frames_in(blob), wanted)
    assert piped("-", tmp_path / "in.mkv", stdin=film.read_bytes())[0] == 0
    assert same_frames(read_film(tmp_path / "in.mkv"), wanted)


def test_mp4_on_a_pipe_is_fragmented_and_exact_with_b_frames(film: Path, tmp_path: Path) -> None:
    code, blob = piped(film, "-", "--format", "mp4")
    assert code == 0
    assert b"moof" in blob
    assert blob.index(b"moov") < blob.index(b"mdat")
    (tmp_path / "piped.mp4").write_bytes(blob)
    with av.open(str(tmp_path / "piped.mp4")) as container:
        assert container.streams.video[0].codec_context.has_b_frames
    assert times_of(tmp_path / "piped.mp4") == times_of(film)
    for before, after in zip(
        packets_of(film, "audio").values(), packets_of(tmp_path / "piped.mp4", "audio").values(), strict=True
    ):
        assert before == after


def test_an_mp4_on_a_pipe_goes_into_another_pipe(film: Path) -> None:
    code, once = piped(film, "-", "--format", "mp4")
    assert code == 0
    code, twice = piped("-", "-", "--format", "mp4", stdin=once)
    assert code == 0
    assert len(frames_in(twice)) == 30


def test_nut_on_a_pipe_keeps_picture_and_sound_together(film: Path, tmp_path: Path) -> None:
    code, blob = piped(film, "-", "--format", "nut")
    assert code == 0
    (tmp_path / "piped.nut").write_bytes(blob)
    before, after = times_of(film), times_of(tmp_path / "piped.nut")
    assert [t - before[0] for t in before] == [t - after[0] for t in after]
    sound = [packets_of(path, "audio")[1][0][0] for path in (film, tmp_path / "piped.nut")]
    assert abs((sound[0] - before[0]) - (sound[1] - after[0])) < 0.001


def test_y4m_says_that_it_holds_no_sound(film: Path, capfd: Said) -> None:
    code, blob = piped(film, "-", "--format", "y4m")
    assert code == 0
    assert blob.startswith(b"YUV4MPEG2")
    assert len(frames_in(blob)) == 30
    assert "no sound" in capfd.readouterr().err


def test_standard_output_carries_the_film_alone_whatever_libraries_print(
    film: Path, capfd: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Predictor._forward

    def chatty(self: Predictor, *given: object) -> object:
        os.write(1, b"a library's chatter\n")
        sys.stdout.write("more chatter\n")
        sys.stdout.flush()
        return forward(self, *given)  # type: ignore[arg-type]

    _, quiet = piped(film, "-", "--progress", "json")
    monkeypatch.setattr(Predictor, "_forward", chatty)
    code, blob = piped(film, "-", "--progress", "json", "-v")
    assert code == 0
    assert b"chatter" not in blob
    assert same_frames(frames_in(blob), frames_in(quiet))
    assert "a library's chatter" in capfd.readouterr().err


def test_a_film_to_the_terminal_is_refused(film: Path, capfd: Said) -> None:
    pty = pytest.importorskip("pty")
    ours, terminal = pty.openpty()
    with standing_for(1, terminal):
        assert call(film, "-") == 2
    os.close(terminal)
    with contextlib.suppress(OSError), open(ours, "rb") as file:
        assert not file.read(1)
    assert "terminal" in one_line(capfd.readouterr().err)


@pytest.mark.parametrize("stdin", [b"", b"no film", bytes(5000)])
def test_standard_input_that_is_no_film_is_refused_with_3(stdin: bytes, tmp_path: Path, capfd: Said) -> None:
    assert piped("-", tmp_path / "out.mkv", stdin=stdin)[0] == 3
    one_line(capfd.readouterr().err)
    assert not list(tmp_path.iterdir())


def test_an_mp4_without_an_index_in_front_is_refused_with_advice(tmp_path: Path, capfd: Said) -> None:
    film = make_film(tmp_path / "film.mp4", frames=5)
    assert piped("-", tmp_path / "out.mkv", stdin=film.read_bytes())[0] == 3
    assert "faststart" in capfd.readouterr().err
    assert os.listdir(tmp_path) == ["film.mp4"]


def test_a_full_disk_behind_standard_output_ends_with_5(film: Path, capfd: Said) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    full = os.open("/dev/full", os.O_WRONLY)
    with standing_for(1, full):
        assert call(film, "-") == 5
    os.close(full)
    assert "No space left" in one_line(capfd.readouterr().err)


def test_a_closed_standard_output_is_refused_with_5(film: Path, weights: str) -> None:
    code = "from vidcolor.cli import main; main()"
    shell = [
        "sh",
        "-c",
        'exec "$@" >&-',
        "sh",
        sys.executable,
        "-c",
        code,
        "--weights",
        weights,
        str(film),
        "-",
    ]
    done = subprocess.run(shell, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 5
    assert "closed" in one_line(done.stderr.decode())


class Job:
    """A job in a process of its own, small but endless, started and then disturbed."""

    def __init__(self, weights: str, *arguments: str | Path, stdin: int = subprocess.DEVNULL) -> None:
        quick = ["--weights", weights, "--render-size", "32", "--temporal", "off", "--progress", "json"]
        code = (
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "from vidcolor.cli import main; main()"
        )
        command = [sys.executable, "-c", code, *quick, *map(str, arguments)]
        self.process = subprocess.Popen(
            command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )

    def wait_for_frames(self) -> None:
        """Return when the first frames are coloured."""
        assert self.process.stderr is not None
        assert b'"frames"' in self.process.stderr.readline()

    def end(self) -> tuple[int, bytes, list[str]]:
        """Exit code, what else came on standard output, and the lines said that are no progress."""
        out, said = self.process.communicate(timeout=60)
        lines = [line for line in said.decode().splitlines() if not line.startswith("{")]
        return self.process.returncode, out, lines


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(
        tmp_path_factory.mktemp("long") / "long.mkv", frames=LONG, options={"preset": "ultrafast"}
    )


def test_a_reader_that_closes_early_ends_it_with_141_and_no_word(long_film: Path, weights: str) -> None:
    job = Job(weights, long_film, "-")
    assert job.process.stdout is not None
    assert len(job.process.stdout.read(1000)) > 0
    job.process.stdout.close()
    job.process.stdout = None
    code, _, lines = job.end()
    assert (code, lines) == (141, [])


@pytest.mark.parametrize("format", ["matroska", "mp4"])
def test_sigint_ends_a_pipe_with_130_and_a_film_that_plays(
    format: str, long_film: Path, weights: str
) -> None:
    job = Job(weights, long_film, "-", "--format", format)
    job.wait_for_frames()
    job.process.send_signal(signal.SIGINT)
    code, blob, lines = job.end()
    assert (code, lines) == (130, [])
    frames = frames_in(blob)
    assert 0 < len(frames) < LONG
    wanted = [frame.pts * frame.time_base for frame in read_film(long_film)[: len(frames)]]
    assert [frame.pts * frame.time_base for frame in frames] == wanted


def test_sigterm_ends_a_file_job_with_143_and_leaves_nothing(
    long_film: Path, weights: str, tmp_path: Path
) -> None:
    job = Job(weights, long_film, tmp_path / "out.mkv")
    job.wait_for_frames()
    job.process.send_signal(signal.SIGTERM)
    code, _, lines = job.end()
    assert (code, lines) == (143, [])
    assert not list(tmp_path.iterdir())


def test_an_interrupted_job_keeps_the_target_that_was_there_and_starts_no_other(
    long_film: Path, weights: str, tmp_path: Path
) -> None:
    (tmp_path / "long.mkv").write_text("precious")
    other = make_film(tmp_path.parent / f"{tmp_path.name}.mkv", frames=2)
    job = Job(weights, long_film, other, tmp_path, "-y")
    job.wait_for_frames()
    job.process.send_signal(signal.SIGINT)
    assert job.end()[0] == 130
    assert os.listdir(tmp_path) == ["long.mkv"]
    assert (tmp_path / "long.mkv").read_text() == "precious"


@pytest.mark.parametrize("sent", [b"", "half"])
def test_a_signal_ends_it_while_standard_input_gives_nothing(
    sent: bytes | str, film: Path, weights: str, tmp_path: Path
) -> None:
    blob = film.read_bytes()
    ours = [b"" if sent == b"" else blob[: len(blob) // 2]][0]
    job = Job(weights, "-", tmp_path / "out.mkv", stdin=subprocess.PIPE)
    assert job.process.stdin is not None
    job.process.stdin.write(ours)
    wait_until_reading(job.process.pid, len(ours))
    job.process.send_signal(signal.SIGINT)
    kept, job.process.stdin = job.process.stdin, None  # still open: nothing but the signal ends it
    code, _, lines = job.end()
    kept.close()
    assert (code, lines) == (130, [])
    assert os.listdir(tmp_path) == ["film.mp4"]


def wait_until_reading(pid: int, sent: int) -> None:
    """Return when the process's handlers are set and its reader has had time to block."""
    status = Path(f"/proc/{pid}/task")
    if not status.exists():
        time.sleep(8)
        return
    for _ in range(600):
        names = [p.read_text().strip() for p in status.glob("*/comm")]
        if any(name.startswith("vidcolor-") for name in names) or len(names) > 1 and sent == -1:
            break
        time.sleep(0.1)
    time.sleep(0.5)


def test_a_second_signal_ends_it_at_once(long_film: Path, weights: str) -> None:
    job = Job(weights, long_film, "-")
    job.wait_for_frames()
    # nobody reads: the pipe is full, the flush cannot end
    time.sleep(1)
    job.process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    job.process.send_signal(signal.SIGINT)
    assert job.process.wait(30) == 130
    job.end()


def test_several_films_cannot_go_to_standard_output(film: Path, vidcolor: Run, capfd: Said) -> None:
    code, blob = piped(film, film, "-")
    assert (code, blob) == (2, b"")
