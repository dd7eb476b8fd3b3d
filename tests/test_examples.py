"""The examples do what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from media import make_film, read_film
from skimage import data

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name: str, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run an example; ``vidcolor`` is that of this environment."""
    shell = ["sh"] if name.endswith(".sh") else [sys.executable]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        [*shell, str(EXAMPLES / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=200,
        env=os.environ | {"PATH": path} | environment,
    )


def test_pipes(tmp_path: Path) -> None:
    done = run("pipes.sh", make_film(tmp_path / "in.mkv", frames=4), tmp_path / "out.mkv")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(read_film(tmp_path / "out.mkv")) == 4


def test_overnight_goes_on_until_all_is_done(tmp_path: Path) -> None:
    (tmp_path / "reels").mkdir()
    for name in ("one.mkv", "two two.mkv"):
        make_film(tmp_path / "reels" / name, frames=3)
    cv2.imwrite(str(tmp_path / "reels" / "still.png"), np.full((32, 32, 3), 90, np.uint8))
    for frames in ("3 frames", ""):
        done = run("overnight.sh", tmp_path / "reels", tmp_path / "out")
        assert done.returncode == 0, done.stderr
        assert frames in done.stderr and bool(frames) == bool(done.stderr), "what is there is left alone"
    made = ["one.mkv", "still.png", "two two.mkv"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == made
    (tmp_path / "reels" / "bad.mkv").write_text("no film")
    assert run("overnight.sh", tmp_path / "reels", tmp_path / "out").returncode == 3, "no use in trying again"
    (tmp_path / "reels" / "bad.mkv").unlink()
    (tmp_path / "reels" / "folder").mkdir()
    (tmp_path / "out" / ".one.mkv.vidcolor").mkdir()
    assert run("overnight.sh", tmp_path / "reels", tmp_path / "out").returncode == 0, "what is there is done"


def test_overnight_tries_again_after_a_signal(tmp_path: Path) -> None:
    (tmp_path / "reels").mkdir()
    (tmp_path / "reels" / "one.mkv").touch()
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "vidcolor"
    command.write_text(
        f"#!/bin/sh\necho run >>{tmp_path}/runs\n[ $(wc -l <{tmp_path}/runs) -gt 2 ] || exit 143\n"
    )
    command.chmod(0o755)
    path = os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]])
    script = str(EXAMPLES / "overnight.sh")
    done = subprocess.run(
        ["sh", script, str(tmp_path / "reels"), str(tmp_path / "out")],
        env=os.environ | {"PATH": path, "PAUSE": "0"},
        timeout=60,
    )
    assert done.returncode == 0
    assert (tmp_path / "runs").read_text() == "run\n" * 3


def test_the_picture_of_the_readme_is_what_the_example_makes_with_these_weights(tmp_path: Path) -> None:
    done = run("landscape.py", tmp_path)
    assert done.returncode == 0, done.stderr
    made, kept = (cv2.imread(str(f / "before-after.jpg")).astype(int) for f in (tmp_path, EXAMPLES))
    assert made.shape == kept.shape
    assert np.abs(made - kept).mean() < 2.0, "make it anew: python examples/landscape.py, and copy it"
    grey, coloured = np.hsplit(kept, 2)
    assert np.abs(grey.mean(2) - coloured @ [0.114, 0.587, 0.299]).mean() < 4.0
    assert "before-after.jpg" in (EXAMPLES.parent / "README.md").read_text()


def test_progress(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mkv", frames=9)
    done = run("progress.py", source, tmp_path / "out.mkv")
    assert done.returncode == 0, done.stderr
    assert "frames on cpu" in done.stdout or "frames on cuda" in done.stdout
    assert "100 %" in done.stdout
    assert "already done" in run("progress.py", source, tmp_path / "out.mkv").stdout
    late = run("progress.py", source, tmp_path / "other.mkv", "0")
    assert late.returncode == 1
    assert "out of time" in late.stdout
    none = run("progress.py", tmp_path / "none.mkv", tmp_path / "other.mkv")
    assert none.returncode == 3
    assert "none.mkv" in none.stderr and none.stderr.count("\n") == 1


def test_own_photographs(tmp_path: Path) -> None:
    (tmp_path / "photographs").mkdir()
    for name in ("astronaut", "chelsea", "coffee", "rocket"):
        picture = getattr(data, name)()[..., ::-1]
        height, width = picture.shape[0] // 2, picture.shape[1] // 2
        for number, (top, left) in enumerate(((0, 0), (0, width), (height, 0), (height, width))):
            part = np.ascontiguousarray(picture[top : top + height, left : left + width])
            cv2.imwrite(str(tmp_path / "photographs" / f"{name}{number}.png"), part)
    for name in ("worse.png", "._astronaut0.png", "a.png"):
        (tmp_path / "photographs" / name).write_bytes(b"no picture")  # which is left out
    done = run("own_photographs.py", tmp_path / "photographs", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert {"mine.safetensors", "sheet.png", "coloured.png"} <= set(os.listdir(tmp_path / "out"))
    assert "PSNR" in done.stdout
    for given, says in (
        ((), "usage: "),
        ((tmp_path / "nothing",), "no folder with pictures"),
        ((tmp_path / "photographs", tmp_path / "photographs" / "out"), "lies among the photographs"),
    ):
        done = run("own_photographs.py", *given)
        assert done.returncode == 1
        assert says in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("path", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_each_example_says_what_it_shows(path: Path) -> None:
    if path.suffix in (".py", ".sh"):
        text = path.read_text()
        assert text.startswith(('"""', "#!/bin/sh\n# "))
        assert f"examples/{path.name} " in text
