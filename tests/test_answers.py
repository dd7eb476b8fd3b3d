"""What needs no picture to be coloured is answered at once, without torch, whose import takes seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Run
from media import make_film
from test_resume import Stop, short_segments

from vidcolor.job import colorize
from vidcolor.options import Options
from vidcolor.result import Progress

WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; from vidcolor.cli import main; main()"


@pytest.fixture(scope="module")
def folder(vidcolor: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film, what was made of it, and what was begun of it and stopped."""
    folder = tmp_path_factory.mktemp("films")
    film = make_film(folder / "in.mkv", frames=20)
    assert vidcolor(film, folder / "done.mkv").returncode == 0

    def progress(now: Progress) -> None:
        if now.frames > 12:
            raise Stop

    with short_segments(), pytest.raises(Stop):
        colorize(film, folder / "begun.mkv", Options(render_size=32, device="cpu", temporal="off"), progress)
    (folder / "empty.mkv").touch()
    return folder


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["in.mkv", "done.mkv"], 0, "done.mkv: already done"),
        (["in.mkv", "done.mkv", "--saturation", "0.5"], 5, "done.mkv: exists already; -y overwrites it"),
        (["missing.mkv", "out.mkv"], 3, "missing.mkv: no such file"),
        (["empty.mkv", "out.mkv"], 3, "empty.mkv: the file is empty"),
        (["in.mkv", "nowhere/out.mkv"], 5, "nowhere/out.mkv: "),
        (["in.mkv", "out.nonsense"], 2, "out.nonsense: "),
        (["in.mkv", "out.mkv", "--weights", "missing"], 4, "no weights 'missing'; looked for "),
        (["--status", "done.mkv", "begun.mkv"], 0, "done.mkv: done\nbegun.mkv: stopped at "),
    ],
)
def test_an_answer_does_not_wait_for_torch(
    arguments: list[str], code: int, said: str, folder: Path, weights: str
) -> None:
    own = [] if "--weights" in arguments else ["--weights", weights]
    given = [sys.executable, "-c", WITHOUT_TORCH, *own, "--render-size", "64", *arguments]
    done = subprocess.run(given, capture_output=True, cwd=folder, timeout=60, check=False)
    text = (done.stdout + done.stderr).decode().removeprefix("vidcolor: ")
    assert text.startswith(said), (done.stdout, done.stderr)
    assert done.returncode == code


def test_a_report_does_without_torch(folder: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; from vidcolor.report.cli import main; main()"
    given = [sys.executable, "-c", code, "in.mkv", "done.mkv", "-o", "page.html"]
    done = subprocess.run(given, capture_output=True, cwd=folder, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert (folder / "page.html").stat().st_size > 1000
