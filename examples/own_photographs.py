"""Train a tiny generator on one's own photographs, score it, and colour with it: all in a minute.

    python examples/own_photographs.py PHOTOGRAPHS [FOLDER]

It shows the way, and no more: after so few steps colours are poor. Without --steps, with --minutes 600, a
--encoder and thousands of photographs it is how good weights are made.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif")
DAMAGED, LOSSES = 3, 7


def run(*arguments: str | Path, fine: tuple[int, ...] = (0, LOSSES)) -> None:
    """Run a command, and show it; what it says of its failure is enough. Damaged pictures are left out."""
    print("$", *arguments, flush=True)
    code = subprocess.run([str(argument) for argument in arguments]).returncode
    if code not in fine:
        sys.exit(code)


def main() -> None:
    """Train, score, use."""
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python examples/own_photographs.py PHOTOGRAPHS [FOLDER]")
    photographs = Path(sys.argv[1])
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else "example-training")
    pictures = (path for path in photographs.rglob("*") if path.suffix.lower() in PICTURES)
    found = sorted(path for path in pictures if not path.name.startswith("."))
    if not found:
        sys.exit(f"{photographs}: no folder with pictures")
    if folder.resolve().is_relative_to(photographs.resolve()):
        sys.exit(f"{folder}: lies among the photographs; name another folder after them")
    folder.mkdir(parents=True, exist_ok=True)
    mine = folder / "mine.safetensors"
    size = ("--recipe", "pix2pix", "-g", "downs=5", "-g", "filters=16", "--crop", "64", "--batch", "4")
    run("vidcolor-train", photographs, *size, "--steps", "20", "--out", mine, "--quiet")
    run("vidcolor-eval", "images", photographs, "--weights", mine, "--sheet", folder / "sheet.png")
    for picture in found:  # the first that is not damaged
        run("vidcolor", "-y", "--weights", mine, picture, folder / "coloured.png", fine=(0, DAMAGED))
        if (folder / "coloured.png").exists():
            break


if __name__ == "__main__":
    main()
