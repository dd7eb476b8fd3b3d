"""What the temporal filter costs beside the generator: CPU time of each part on the same pictures of a clip.

Run by hand: ``python tests/benchmarks/temporal_cost.py CLIP [--pictures N] [--render-size N]``
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import click
import cv2
import torch

from vidcolor.checkpoint import load_generator
from vidcolor.devices import resolve_device
from vidcolor.evaluation.clips import read_clip
from vidcolor.frames import Floats
from vidcolor.motion import Luma, motion_between
from vidcolor.sharing import Sharing
from vidcolor.stages.luminance import padded
from vidcolor.stages.predict import Predictor, resolve_precision
from vidcolor.stages.propagate import Propagator
from vidcolor.stages.shots import ShotDetector

T = TypeVar("T")
_BATCH = 4


@click.command()
@click.argument("clip", type=click.Path(exists=True, path_type=Path))
@click.option("--pictures", default=60, show_default=True)
@click.option("--render-size", default=256, show_default=True)
def main(clip: Path, pictures: int, render_size: int) -> None:
    """Time the parts one after the other, each on one thread."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    device = resolve_device("cpu")
    predictor = Predictor(load_generator("default"), device, resolve_precision("auto", device), Sharing())
    seen = [one.picture for one in read_clip(clip, render_size, pictures)]
    planes = [picture.luminance for picture in seen]
    shape = (planes[0].shape[0], planes[0].shape[1])

    def predict() -> list[Floats]:
        parts = [planes[i : i + _BATCH] for i in range(0, len(planes), _BATCH)]
        return [ab for part in parts for ab in predictor(padded(part, predictor.multiple), shape)]

    predict()  # the first time is slower
    generator, abs_ = timed(predict)
    shots, _ = timed(lambda: detect(picture.grey for picture in seen))
    shrinking, lumas = timed(lambda: [Luma.of(picture.grey) for picture in seen])
    flow, motions = timed(lambda: [None, *(motion_between(a, b) for a, b in pairwise(lumas))])
    propagator = Propagator("flow", 0.9)
    smoothing, _ = timed(
        lambda: [propagator.push(ab, m, begins=m is None) for ab, m in zip(abs_, motions, strict=True)]
    )
    parts = {"shots": shots, "shrinking": shrinking, "motion": flow, "propagate": smoothing}
    click.echo(f"{clip.name}: {len(seen)} pictures of {shape[1]}x{shape[0]}, CPU time a picture")
    click.echo(f"{'generator':12}{1000 * generator / len(seen):8.2f} ms")
    for name, seconds in (parts | {"together": sum(parts.values())}).items():
        share = 100 * seconds / generator
        click.echo(f"{name:12}{1000 * seconds / len(seen):8.2f} ms {share:6.1f} % of the generator's")


def detect(greys: Iterable[Floats]) -> None:
    """Run the detector over a film."""
    detector = ShotDetector()
    for grey in greys:
        detector.push(grey)
    detector.finish()


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """CPU seconds that ``work`` takes, and what it returns."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


if __name__ == "__main__":
    main()
