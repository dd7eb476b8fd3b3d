"""Training as people see it: bars while pictures are decoded and while steps go by, lines in between."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vidcolor.cli_process import printable

if TYPE_CHECKING:
    from vidcolor.training.data import PhotoSet
    from vidcolor.training.options import Assignment
    from vidcolor.training.parallel import Place
    from vidcolor.training.state import TrainState

_BAR = "{percentage:3.0f}%|{bar:20}| {elapsed}<{remaining} {postfix}"


def photos_shown(
    sources: list[Path], cache: Path, crop: int, place: Place, on_device: bool, quiet: bool
) -> PhotoSet:
    """Open the cache; where several processes make it, one does and the others wait."""
    from tqdm import tqdm

    from vidcolor.training.data import load_photos

    with tqdm(unit="picture", desc="decoding", leave=False, disable=True if quiet else None) as bar:

        def show(done: int, of: int | None) -> None:
            bar.total = of
            bar.update(done - bar.n)

        photos = load_photos(sources, cache, smallest=crop, progress=show)
    if place.leads:
        left_out = photos.report.summary()
        click.echo(f"{len(photos)} pictures" + (f"; left out: {left_out}" if left_out else ""), err=True)
        for line in photos.report.lines():
            click.echo(printable(f"  {line}"), err=True)
    return photos.on(place.device) if on_device else photos


def train_shown(
    state: TrainState,
    photos: PhotoSet,
    judged: PhotoSet | None,
    assignment: Assignment,
    *,
    restart: bool,
    quiet: bool,
) -> None:
    """Train with a bar; arguments as of :func:`.run.run`."""
    from tqdm import tqdm

    from vidcolor.training.loop import Event
    from vidcolor.training.run import run
    from vidcolor.training.validation import Validation
    from vidcolor.training.watcher import Listener

    leads = assignment.place.leads
    bar: Any = tqdm(total=100.0, unit="%", disable=True if quiet or not leads else None, bar_format=_BAR)

    def started(step: int, progress: float) -> None:
        bar.initial = bar.n = min(100.0, 100.0 * progress)
        bar.refresh()
        if step and leads:
            bar.write(f"going on at step {step}", file=sys.stderr)

    def step(event: Event) -> None:
        bar.update(min(100.0, 100.0 * event.progress) - bar.n)
        if event.step % 10 == 0 or event.ended:
            losses = " ".join(f"{k} {v:.4f}" for k, v in event.losses.items())
            bar.set_postfix_str(f"step {event.step} {losses} {event.pictures_per_second:.1f} pictures/s")

    def validated(step: int, result: Validation) -> None:
        more = "" if result.perceptual is None else f", perceptual {result.perceptual:.4f}"
        bar.write(
            f"step {step}: PSNR {result.psnr:.2f} dB (grey {result.grey_psnr:.2f}), ab error "
            f"{result.ab_error:.2f}, colourfulness {result.colourfulness:.2f}{more}",
            file=sys.stderr,
        )

    if judged is not None and leads:
        learned = {content for _, content in photos.listing}
        both = sum(content in learned for _, content in judged.listing)
        if both:
            click.echo(f"of the pictures to judge by, {both} are learned from too: scores flatter", err=True)
    with bar:
        listener = Listener(started=started, step=step, validated=validated)
        outcome = run(state, photos, judged, assignment, listener, restart=restart)
    if leads:
        done = "already done, " if outcome.already else ""
        spent = f"{outcome.steps} steps, {outcome.pictures} crops, {outcome.minutes:.1f} minutes"
        click.echo(printable(f"{assignment.files.out}: {done}{spent}"), err=True)
