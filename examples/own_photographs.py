"""Train a tiny generator on one's own photographs, score it, and colour with it: all in a minute.

    python examples/own_photographs.py PHOTOGRAPHS [FOLDER]

It shows the way, and no more: after so few steps colours are poor. Without --steps, with --minutes 600, a
--encoder and thousands of photographs it is how good weights are made.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def run(*arguments: str | Path) -> None:
    """Run a command, and show it."""
    print("$", *arguments)
    subprocess.run([str(argument) for argument in arguments], check=True)


def main() -> None:
    """Train, score, use."""
    photographs = Path(sys.argv[1])
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else "example-training")
    folder.mkdir(parents=True, exist_ok=True)
    mine = folder / "mine.safetensors"
    size = ("--recipe", "pix2pix", "-g", "downs=5", "-g", "filters=16", "--crop", "64", "--batch", "4")
    run("vidcolor-train", photographs, *size, "--steps", "20", "--out", mine, "--quiet")
    run("vidcolor-eval", "images", photographs, "--weights", mine, "--sheet", folder / "sheet.png")
    first = min(path for path in photographs.iterdir() if path.is_file())
    run("vidcolor", "-y", "--weights", mine, first, folder / "coloured.png")


if __name__ == "__main__":
    main()
