"""Whether shots that come back keep their colours: films cut A-B-A from clips, with and without the table.

Run by hand: ``python tests/benchmarks/match_shots.py DIR_OF_CLIPS``. For each clip A and the next but four as
B: the distance of ab between the last picture of A's first part and pictures of its second part, where
Farnebäck's flow explains the one by the other.
"""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path

import click
import cv2
import numpy as np
import torch

from vidcolor.checkpoint import load_generator
from vidcolor.colorspace import lightness_from_luma
from vidcolor.devices import resolve_device
from vidcolor.evaluation.clips import list_clips, read_clip
from vidcolor.evaluation.motion import between, farneback
from vidcolor.frames import Floats
from vidcolor.matching import ShotTable, scan_shots
from vidcolor.sharing import Sharing
from vidcolor.stages.luminance import padded
from vidcolor.stages.predict import Predictor, resolve_precision
from vidcolor.stages.propagate import Propagator
from vidcolor.temporal import Linker

PART, BETWEEN, LATER = 50, 25, (0, 12, 30)
GAP = 25
"""Pictures of A that are left out between its parts."""


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
def main(folder: Path) -> None:
    """Cut films together, colour them both ways, compare."""
    device = resolve_device("cpu")
    predictor = Predictor(load_generator("default"), device, resolve_precision("auto", device), Sharing())
    clips = list_clips([folder])
    rows, false = [], 0
    for number, clip in enumerate(clips):
        greys, back = cut_together(clip, clips[(number + 5) % len(clips)])
        if len(greys) < back + LATER[-1] + 1:
            continue
        began = time.perf_counter()
        table = scan_shots((((n, 0), grey) for n, grey in enumerate(greys)), predictor)
        spent = time.perf_counter() - began
        false += sum(key != (back, 0) for key in table.anchors)
        if (back, 0) not in table.anchors:
            click.echo(f"{clip.name:32} no return found")
            continue
        abs_ = predicted(greys, predictor)
        ways = [coloured(greys, abs_, None), coloured(greys, abs_, table)]
        row = [[apart(greys, way, back - BETWEEN - 1, back + later) for way in ways] for later in LATER]
        rows.append(row)
        cells = "   ".join(f"+{later}: {a:.2f} -> {b:.2f}" for later, (a, b) in zip(LATER, row, strict=True))
        click.echo(f"{clip.name:32} {cells}   scan {1000 * spent / len(greys):.1f} ms a picture")
    mean = np.array(rows).mean(0)
    cells = "   ".join(f"+{later}: {a:.2f} -> {b:.2f}" for later, (a, b) in zip(LATER, mean, strict=True))
    click.echo(f"{'mean of ' + str(len(rows)):32} {cells}; {false} other shots began with earlier colours")


def cut_together(a: Path, b: Path) -> tuple[list[Floats], int]:
    """Greys of A-B-A, and the number of the picture with which A comes back."""
    first = [one.picture.grey for one in islice(read_clip(a, 256), 2 * PART + GAP)]
    height, width = first[0].shape
    other = [
        cv2.resize(one.picture.grey, (width, height), interpolation=cv2.INTER_AREA)
        for one in islice(read_clip(b, 256), BETWEEN)
    ]
    greys = [*first[:PART], *(np.asarray(grey, np.float32) for grey in other), *first[PART + GAP :]]
    return greys, PART + BETWEEN


def predicted(greys: list[Floats], predictor: Predictor) -> list[Floats]:
    """What the generator says of each."""
    planes = [lightness_from_luma(torch.from_numpy(grey)).numpy() for grey in greys]
    shape = (greys[0].shape[0], greys[0].shape[1])
    parts = [planes[i : i + 4] for i in range(0, len(planes), 4)]
    return [ab for part in parts for ab in predictor(padded(part, predictor.multiple), shape)]


def coloured(greys: list[Floats], abs_: list[Floats], table: ShotTable | None) -> list[Floats]:
    """The film's ab, smoothed."""
    linker, propagator = Linker("flow", None, table.anchors if table else None), Propagator("flow", 0.9)
    out: list[Floats] = []
    waiting = iter(abs_)
    for number, grey in enumerate(greys):
        for link in linker.push(grey, (number, 0)):
            out += link.apply(propagator, next(waiting))
    for link in linker.finish():
        out += link.apply(propagator, next(waiting))
    return [*out, *propagator.finish()]


def apart(greys: list[Floats], abs_: list[Floats], one: int, other: int) -> float:
    """Mean distance of ab where motion explains the one picture by the other."""
    motion = between(farneback(greys[one], greys[other]), farneback(greys[other], greys[one]))
    distance = np.linalg.norm(motion.fetch(abs_[other]) - abs_[one], axis=-1)
    return float(distance[~motion.unsure].mean())


if __name__ == "__main__":
    main()
