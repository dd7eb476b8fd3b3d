"""What disturbs a running job: signals, readers that go away, libraries that print."""

from __future__ import annotations

import fcntl
import io
import os
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from calling import frames_in
from media import make_film, read_film

LONG = 3000  # frames: far more than a test waits for


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return make_film(
        tmp_path / "film.mp4", frames=30, audio="aac", container_options={"movflags": "faststart"}
    )


_started: list[subprocess.Popen[bytes]] = []


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    """No process outlives its test, whatever came of it."""
    yield
    while _started:
        process = _started.pop()
        process.kill()
        with process:  # closes its pipes
            pass


class Job:
    """A job in a process of its own, small but endless, started and then disturbed."""

    def __init__(
        self, weights: str, *arguments: str | Path, stdin: int = subprocess.DEVNULL, before: str = ""
    ) -> None:
        quick = ["--weights", weights, "--render-size", "32", "--temporal", "off", "--progress", "json"]
        code = (
            "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "import vidcolor.reading as reading; opens = reading.open_source\n"
            "def open_source(name, **given):\n"
            "    if name == '-': print('opening', file=sys.stderr, flush=True)\n"
            "    return opens(name, **given)\n"
            "reading.open_source = open_source\n"
            "from vidcolor.stages.predict import Predictor\n"
            f"{before}"
            "from vidcolor.cli import main; main()"
        )
        command = [sys.executable, "-c", code, *quick, *map(str, arguments)]
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
        self.process = subprocess.Popen(
            command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, env=environment
        )
        _started.append(self.process)

    def wait_for_frames(self) -> None:
        """Return when the first frames are coloured."""
        assert self.process.stderr is not None
        assert b'"frames"' in self.process.stderr.readline()

    def wait_for_a_full_pipe(self) -> None:
        """Return when standard output takes no more, since nobody has read from it."""
        assert self.process.stdout is not None
        most = fcntl.fcntl(self.process.stdout, fcntl.F_GETPIPE_SZ)  # pages need not become full
        held, changed = 0, time.monotonic()
        while held < most * 3 // 4 or time.monotonic() < changed + 2:
            before, told = held, fcntl.ioctl(self.process.stdout, termios.FIONREAD, bytes(4))
            held = struct.unpack("i", told)[0]
            changed = changed if held == before else time.monotonic()
            assert self.process.poll() is None
            time.sleep(0.1)

    def end(self) -> tuple[int, bytes, list[str]]:
        """Exit code, what else came on standard output, and the lines said that are no progress."""
        out, said = self.process.communicate(timeout=60)
        # the pattern that tells frames apart flickers, which is said if the job gets so far
        told = (line for line in said.decode().splitlines() if "brightness flickers" not in line)
        lines = [line for line in told if not line.startswith("{")]
        return self.process.returncode, out, lines


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(
        tmp_path_factory.mktemp("long") / "long.mkv", frames=LONG, options={"preset": "ultrafast"}
    )


def test_standard_output_carries_the_film_alone_whatever_libraries_print(film: Path, weights: str) -> None:
    chatter = (
        "import os\n"
        "forward = Predictor._forward\n"
        "def chatty(self, *given):\n"
        "    os.write(1, b'chatter at once\\n'); print('chatter in a buffer')\n"
        "    return forward(self, *given)\n"
        "Predictor._forward = chatty\n"
    )
    job = Job(weights, film, "-", "-v", "--codec", "ffv1", before=chatter)
    code, blob, lines = job.end()
    assert code == 0
    assert b"chatter" not in blob
    assert len(frames_in(blob)) == 30
    assert {"chatter at once", "chatter in a buffer"} <= set(lines)
    with av.open(io.BytesIO(blob)) as container:
        end = max(packet.pos + packet.size for packet in container.demux() if packet.size)
    assert len(blob) - end < 2000, "nothing but the index follows"


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


def test_sigterm_ends_it_with_143_keeps_the_target_that_was_there_and_starts_no_other_film(
    long_film: Path, weights: str, tmp_path: Path
) -> None:
    (tmp_path / "long.mkv").write_text("precious")
    other = make_film(tmp_path.parent / f"{tmp_path.name}.mkv", frames=2)
    job = Job(weights, long_film, other, tmp_path, "-y")
    job.wait_for_frames()
    job.process.send_signal(signal.SIGTERM)
    code, _, lines = job.end()
    assert (code, lines) == (143, [])
    assert os.listdir(tmp_path) == ["long.mkv"]
    assert (tmp_path / "long.mkv").read_text() == "precious"


@pytest.mark.parametrize("sent", [0.0, 0.5])
def test_a_signal_ends_it_while_standard_input_gives_nothing(
    sent: float, film: Path, weights: str, tmp_path: Path
) -> None:
    blob = film.read_bytes()
    job = Job(weights, "-", tmp_path / "out.mkv", stdin=subprocess.PIPE)
    assert job.process.stdin is not None
    assert job.process.stderr is not None
    job.process.stdin.write(blob[: round(len(blob) * sent)])
    assert job.process.stderr.readline() == b"opening\n"
    time.sleep(0.3)  # let it come to where it blocks; the outcome is the same if it has not
    job.process.send_signal(signal.SIGINT)
    kept, job.process.stdin = job.process.stdin, None  # still open: nothing but the signal ends it
    code, _, lines = job.end()
    kept.close()
    assert (code, lines) == (130, [])
    assert os.listdir(tmp_path) == ["film.mp4"]


def test_a_signal_ends_it_while_nobody_reads_the_named_pipe(film: Path, weights: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mkv")
    waits = (
        "from vidcolor.sink import Sink\n"
        "init = Sink.__init__\n"
        "def waiting(*given):\n"
        "    print('waiting', file=sys.stderr, flush=True)\n"
        "    init(*given)\n"
        "Sink.__init__ = waiting\n"
    )
    job = Job(weights, film, tmp_path / "pipe.mkv", before=waits)
    assert job.process.stderr is not None
    assert job.process.stderr.readline() == b"waiting\n"
    time.sleep(0.3)  # let it come to where it blocks; the outcome is the same if it has not
    job.process.send_signal(signal.SIGINT)
    code, _, lines = job.end()
    assert (code, lines) == (130, [])


def test_a_second_signal_ends_it_at_once(long_film: Path, weights: str) -> None:
    job = Job(weights, long_film, "-")
    job.wait_for_frames()
    job.wait_for_a_full_pipe()  # nobody reads, so the flush cannot end
    job.process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        job.process.wait(1)
    for _ in range(60):  # two that come while the process cannot run are one to it
        job.process.send_signal(signal.SIGINT)
        try:
            job.process.wait(1)
            break
        except subprocess.TimeoutExpired:
            continue
    assert job.end()[0] == 130


def test_a_signal_that_comes_as_the_first_of_two_films_ends_is_no_success(
    tmp_path: Path, weights: str
) -> None:
    films = [make_film(tmp_path / f"{name}.mkv", frames=3) for name in "ab"]
    folder = tmp_path / "out"
    folder.mkdir()
    interrupted = (
        "import vidcolor.job as job; real = job.colorize\n"
        "def colorize(*given, **named):\n"
        "    result = real(*given, **named)\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    return result\n"
        "job.colorize = colorize\n"
    )
    assert Job(weights, *films, folder, before=interrupted).end()[0] == 130
    assert os.listdir(folder) == ["a.mkv"]
