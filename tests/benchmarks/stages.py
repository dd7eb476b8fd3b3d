"""Where the time of a film goes: each stage alone on the same frames, the whole, and the floor beneath it.

The floor is the same film transcoded by the same encoder with the same settings, plus the generator's forward
and the search for motion: what a colorizer cannot do without.

Run by hand: ``python tests/benchmarks/stages.py CLIP [--height N] [--bits 8|10] [--frames N] [--device D]``
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import av
import click
import cv2
import torch

from vidcolor.checkpoint import load_generator
from vidcolor.devices import resolve_device
from vidcolor.frames import Floats, Frame
from vidcolor.media.losses import DecodeReport
from vidcolor.media.streams import pick_video
from vidcolor.memory import keep_freed_memory
from vidcolor.motion import Luma, Motion, motion_between
from vidcolor.options import Options
from vidcolor.reading import open_as_asked
from vidcolor.sharing import Sharing
from vidcolor.sparse import Sparse
from vidcolor.stages.decode import DecodeSettings, decode
from vidcolor.stages.luminance import luminance, padded
from vidcolor.stages.predict import (
    Predictor,
    choose_batch_size,
    resolve_engine,
    resolve_precision,
)
from vidcolor.stages.propagate import Propagator
from vidcolor.stages.recolor import Recolorer
from vidcolor.stages.shots import ShotDetector
from vidcolor.temporal import Link

T = TypeVar("T")
_COMMAND = [sys.executable, "-c", "from vidcolor.cli import main; main()"]


class Clock:
    """Processor and wall seconds of parts."""

    def __init__(self) -> None:
        self.parts: dict[str, tuple[float, float]] = {}

    def __call__(self, name: str, work: Callable[[], T]) -> T:
        cpu, wall = time.process_time(), time.perf_counter()
        result = work()
        self.parts[name] = time.process_time() - cpu, time.perf_counter() - wall
        return result


def prepare(clip: Path, target: Path, height: int, bits: int, frames: int) -> None:
    """The clip's first frames in that size and depth."""
    with av.open(str(clip)) as source, av.open(str(target), "w") as out:
        stream = source.streams.video[0]
        made = out.add_stream(
            "libx264", rate=stream.average_rate or 25, options={"crf": "18", "preset": "fast"}
        )
        made.height, made.width = height, round(stream.width * height / stream.height / 2) * 2
        made.pix_fmt = "yuv420p" if bits == 8 else "yuv420p10le"
        for count, frame in enumerate(source.decode(stream)):
            if count == frames:
                break
            out.mux(made.encode(frame.reformat(made.width, made.height, made.pix_fmt)))
        out.mux(made.encode(None))


def read(path: Path) -> list[Frame]:
    """All frames, through the first stage."""
    options = Options()
    container = open_as_asked(str(path), options)
    stream = pick_video(container, str(path))
    stream.thread_type = "AUTO"
    settings = DecodeSettings(start=None, end=None, deinterlace=False, name=str(path), seekable=True)
    return [
        item
        for item in decode(container, stream, settings, DecodeReport(video_index=stream.index))
        if isinstance(item, Frame)
    ]


def transcode(path: Path, target: Path, bits: int) -> None:
    """In one process, without colouring, as vidcolor's encoder is set."""
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        stream.thread_type = "AUTO"
        encode(source.decode(stream), stream, target, bits)


def encode(frames: Iterable[av.VideoFrame], stream: av.VideoStream, target: Path, bits: int) -> None:
    """Frames of ``stream``, as vidcolor's encoder is set."""
    with av.open(str(target), "w") as out:
        name = "libx264"
        made = out.add_stream(name, rate=stream.average_rate or 25, options={"crf": "18"})
        made.width, made.height = stream.width, stream.height
        made.pix_fmt = "yuv420p" if bits == 8 else "yuv420p10le"
        made.codec_context.thread_type = "FRAME"
        made.time_base = Fraction(1, 1000)
        for frame in frames:
            out.mux(made.encode(frame))
        out.mux(made.encode(None))


def encode_alone(path: Path, coloured: Path, target: Path, bits: int, clock: Clock) -> None:
    """The same, of frames that are decoded already: as they are, and with the chroma of ``coloured``."""
    with av.open(str(path)) as source, av.open(str(coloured)) as result:
        stream = source.streams.video[0]
        frames = list(source.decode(stream))
        clock("encode alone", lambda: encode(frames, stream, target, bits))
        for frame, other in zip(frames, result.decode(video=0), strict=True):
            for plane, chroma in zip(frame.planes[1:], other.planes[1:], strict=True):
                plane.update(bytes(chroma))
        clock("… in colour", lambda: encode(frames, stream, target, bits))


def children(command: list[str]) -> tuple[float, float, float]:
    """Processor seconds, wall seconds and peak MB of a command."""
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.perf_counter() - wall, after.ru_maxrss / 1024


@click.command()
@click.argument("clip", type=click.Path(exists=True, path_type=Path))
@click.option("--height", default=1080, show_default=True)
@click.option("--bits", default=8, show_default=True, type=click.Choice([8, 10]))
@click.option("--frames", default=120, show_default=True)
@click.option("--render-size", default=256, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--stages-only", is_flag=True, help="Leave out the whole and the transcode.")
def main(
    clip: Path, height: int, bits: int, frames: int, render_size: int, device: str, stages_only: bool
) -> None:
    """Print the table."""
    keep_freed_memory()  # as the command does
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.mkv"
        prepare(clip, film, height, bits, frames)
        clock = Clock()
        chosen = resolve_device(device)
        generator, precision = load_generator("default"), resolve_precision("auto", chosen)
        engine = resolve_engine("auto", generator, chosen, precision)
        predictor = Predictor(generator, chosen, precision, Sharing(), engine)
        whole = short = None
        if not stages_only:
            asked = ["-q", "--render-size", str(render_size), "--device", device, str(film)]
            whole = children([*_COMMAND, *asked, str(Path(folder) / "whole.mkv")])
            short = children([*_COMMAND, "--duration", "0.04", *asked, str(Path(folder) / "short.mkv")])
            clock("transcode", lambda: transcode(film, Path(folder) / "floor.mkv", bits))
            encode_alone(film, Path(folder) / "whole.mkv", Path(folder) / "encoded.mkv", bits, clock)
        seen, share = stages(film, predictor, render_size, clock)
    count = len(seen)
    size = f"{seen[0].luma.shape[1]}x{seen[0].luma.shape[0]}"
    click.echo(f"{clip.name}: {count} frames of {size}, {bits} bits, {torch.get_num_threads()} threads")
    click.echo(f"{'':12}{'CPU ms':>9}{'wall ms':>9}   a frame")
    for name, (cpu, wall) in clock.parts.items():
        click.echo(f"{name:12}{1000 * cpu / count:9.2f}{1000 * wall / count:9.2f}")
    if whole is not None and short is not None:
        # what a run of one frame takes is start: it is no part of the price of a frame
        cpu, wall = whole[0] - short[0], whole[1] - short[1]
        floor = [sum(clock.parts[n][i] for n in ("transcode", "generator", "motion")) for i in (0, 1)]
        click.echo(f"{'whole':12}{1000 * cpu / count:9.2f}{1000 * wall / count:9.2f}")
        slowest = max(value[1] for name, value in clock.parts.items() if name != "transcode")
        click.echo(f"whole / slowest stage, wall clock: {wall / slowest:.3f}")
        click.echo(f"whole / (transcode + generator + motion), CPU seconds: {cpu / floor[0]:.3f}")
        colour = clock.parts["… in colour"][0] - clock.parts["encode alone"][0]
        click.echo(f"the same, what colour takes of the encoder included: {cpu / (floor[0] + colour):.3f}")
        less = cpu / (floor[0] - (1.0 - share) * clock.parts["generator"][0])
        click.echo(f"the same with a generator that colours {share:.2f} of the pictures, as here: {less:.3f}")
        click.echo(f"CPU seconds a wall second: {cpu / wall:.2f}; peak memory {whole[2]:.0f} MB")


def stages(film: Path, predictor: Predictor, render_size: int, clock: Clock) -> tuple[list[Frame], float]:
    """Time each stage alone; also gives the share of the pictures that the generator has to be asked of."""
    seen = clock("decode", lambda: read(film))
    pictures = clock("luminance", lambda: [luminance(frame, frame.luma, render_size) for frame in seen])
    planes = [picture.luminance for picture in pictures]
    shape = (planes[0].shape[0], planes[0].shape[1])
    batch = choose_batch_size(None, shape, predictor.device)

    def predict() -> list[Floats]:
        parts = [planes[i : i + batch] for i in range(0, len(planes), batch)]
        return [ab for part in parts for ab in predictor(padded(part, predictor.multiple), shape)]

    predictor(padded(planes[:batch], predictor.multiple), shape)  # the first time is slower
    abs_ = clock("generator", predict)
    detector = ShotDetector()
    clock("shots", lambda: [detector.push(picture.grey) for picture in pictures])
    lumas = clock("shrinking", lambda: [Luma.of(picture.grey) for picture in pictures])
    motions: list[Any] = clock("motion", lambda: [None, *(motion_between(a, b) for a, b in pairwise(lumas))])
    asked, filled = clock("interpolate", lambda: interpolate(abs_, motions, shape))
    propagator = Propagator("flow", 0.9)
    smooth = clock(
        "propagate",
        lambda: [
            *(
                one
                for ab, m in zip(filled, motions, strict=True)
                for one in propagator.push(ab, m, begins=m is None)
            ),
            *propagator.finish(),
        ],
    )
    recolor = Recolorer("420")
    recolor(seen[0], pictures[:1], smooth[:1])  # makes its table
    clock(
        "recolor",
        lambda: [recolor(f, [p], [ab]) for f, p, ab in zip(seen, pictures, smooth, strict=True)] and None,
    )
    return seen, asked / len(seen)


def interpolate(
    abs_: Sequence[Floats], motions: Sequence[Motion | None], shape: tuple[int, int]
) -> tuple[int, list[Floats]]:
    """What becomes of predicted ab where pictures are left to their neighbours, and how many are not."""
    asked: list[Floats] = []

    def known(pairs: Sequence[tuple[Floats, Link]]) -> Future[list[Floats]]:
        asked.extend(ab for ab, _ in pairs)
        found: Future[list[Floats]] = Future()
        found.set_result([ab for ab, _ in pairs])
        return found

    def link(motion: Motion | None) -> Link:
        found: Future[Motion | None] = Future()
        found.set_result(motion)
        return Link(begins=motion is None, area=(0, shape[0], 0, shape[1]), motion=found)

    sparse: Sparse[Floats] = Sparse(known, 2)
    out = [one for ab, motion in zip(abs_, motions, strict=True) for one in sparse.push(ab, link(motion))]
    return len(asked), [ab for _, ab in [*out, *sparse.finish()]]


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
