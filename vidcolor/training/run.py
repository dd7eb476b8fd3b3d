"""A whole training run: from pictures to a weights file, going on where it stopped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vidcolor.checkpoint import metadata_of
from vidcolor.errors import OutputError, ResumeMismatch, UsageError, first_line
from vidcolor.training.batches import batches
from vidcolor.training.calibration import recalibrate
from vidcolor.training.data import PhotoSet
from vidcolor.training.loop import train
from vidcolor.training.options import Assignment, Files, TrainOptions
from vidcolor.training.parallel import Place, same_everywhere, wait_for_all
from vidcolor.training.recipes import RECIPES
from vidcolor.training.records import CURVES, METRICS, SAMPLES
from vidcolor.training.sampling import background
from vidcolor.training.schedule import position, stages_of
from vidcolor.training.state import TrainState, inputs_of, load_checkpoint
from vidcolor.training.validation import fixed_pictures
from vidcolor.training.watcher import BEST, CHECKPOINT, Listener, Watcher, are_written
from vidcolor.writing import write_whole

_VALIDATION_PICTURES = 48
_LISTED = re.compile(rb"\\?[0-9a-f]{64}  ")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run came to: steps, pictures seen and minutes over all resumptions.

    ``already``: it was over, and its weights were there as they were asked for; they are left alone.
    """

    steps: int
    pictures: int
    minutes: float
    already: bool = False


@contextmanager
def held(work: Path) -> Iterator[None]:
    """Make the folder of a run and keep other runs out of it; a crash does not leave the lock behind.

    Raises:
        OutputError: it cannot be made or written, or another run is at work there.
    """
    from filelock import FileLock, Timeout  # the command alone needs it

    lock = FileLock(work / "run.lock")
    try:
        work.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise OutputError(
            f"{work}: another run is at work there; wait for it, or name another --out and --work-dir"
        ) from error
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise OutputError(f"{work}: cannot be made or written ({reason})") from error
    try:
        yield
    finally:
        lock.release()


def _forget(work: Path) -> None:
    """Remove what an earlier run left in its folder, and nothing else.

    Numbers of none stay: by them the weights of that run are known as ones that may be written over.
    """
    if not _has_run(work):
        return
    try:
        (work / METRICS).write_bytes(b"")
        for old in (*(work / name for name in (CHECKPOINT, BEST, CURVES)), *work.glob(SAMPLES)):
            old.unlink(missing_ok=True)
        for old in (*work.glob("stage-[0-9].safetensors"), *work.glob("tensorboard/events.out.tfevents.*")):
            old.unlink()
    except OSError as error:
        raise OutputError(f"{work}: cannot be written ({error.strerror or error})") from error


def _has_run(work: Path) -> bool:
    return any((work / name).exists() for name in (CHECKPOINT, METRICS))


def refuse_others(files: Files) -> None:
    """Refuse to write over what no run in this folder has made.

    Raises:
        OutputError: the weights, or their list of pictures, are there already and are others'.
    """
    out, listing = files.out, _listing_of(files)
    if out.exists() and not (_has_run(files.work) and metadata_of(out)):
        raise OutputError(f"{out}: exists already, and no run in {files.work} made it; choose another name")
    if listing.exists() and not (listing.is_file() and _LISTED.match(listing.read_bytes()[:80])):
        raise OutputError(f"{listing}: exists already, and is no list of pictures; choose another --out")


def check_parts(options: TrainOptions, place: Place) -> None:
    """Refuse a batch that does not divide.

    Raises:
        UsageError: into as many equal parts as there are processes and parts of each.
    """
    if options.batch % (place.world * options.accumulate):
        raise UsageError(
            f"--batch {options.batch} does not divide by {place.world} processes x {options.accumulate} parts"
        )


def hold_out(photos: PhotoSet, count: int) -> tuple[PhotoSet, PhotoSet]:
    """Split evenly spread pictures off for validation: the rest, and ``count`` of them (a tenth at most)."""
    count = min(count, len(photos) // 10)
    if count == 0:
        return photos, photos.subset([])
    chosen = np.linspace(0, len(photos) - 1, count).astype(np.int64)
    rest = np.setdiff1d(np.arange(len(photos)), chosen)
    return photos.subset(rest.tolist()), photos.subset(chosen.tolist())


def run(
    state: TrainState,
    photos: PhotoSet,
    validation: PhotoSet | None,
    assignment: Assignment,
    listener: Listener,
    *,
    restart: bool = False,
) -> Outcome:
    """Train, or go on training, until the budget is spent, and write the weights.

    Args:
        state: as built; a checkpoint in the work folder is loaded into it.
        photos: what to learn from.
        validation: what to judge by; None takes every n-th picture out of ``photos``.
        restart: forget what an earlier run left in the work folder; nothing of it is lost to a wrong request.

    Raises:
        UsageError: the batch does not divide, or the best weights are to be kept and nothing can judge them.
        WeightsError, ResumeMismatch, OutputError: as their docstrings say.
    """
    options, files, place = assignment.options, assignment.files, assignment.place
    check_parts(options, place)
    if validation is None:
        photos, validation = hold_out(photos, _VALIDATION_PICTURES)
    if options.keep == "best" and not len(validation):
        raise UsageError("--keep best: --validation is needed, or 10 pictures, one of which is held out")
    if place.device.type == "cuda":
        # what cuDNN takes unasked for gradients of depthwise convolutions in bf16 takes tens of times as long
        # as its best, which it seeks for 20 to 60 s for each size of crops (seen on an H200, torch 2.11)
        torch.backends.cudnn.benchmark = True
    recipe = RECIPES[options.recipe]
    stages = stages_of(recipe, options)
    inputs = inputs_of(files, photos.digest, validation.digest) | {"count": str(len(photos))}
    if restart and place.leads:
        _forget(files.work)
    wait_for_all(place)
    if (files.work / CHECKPOINT).exists():
        load_checkpoint(state, options, inputs, stages, files.work / CHECKPOINT)
    _check_together(state, place)
    if place.leads:
        _write_listing(photos, files)
    counters = state.counters
    used = position(stages, options, counters.step, counters.seconds).total
    if used >= 1.0 and are_written(state, options, files, inputs):
        return _outcome(state, already=True)
    listener.started(counters.step, used)
    pictures = fixed_pictures(validation, _VALIDATION_PICTURES, options.crop)
    watcher = Watcher(state, assignment, inputs, pictures, listener)
    try:
        with background(batches(photos, options, place, first_step=counters.step, recipe=recipe)) as ready:
            train(state, ready, stages, options, place, watcher.after_step)
        if options.recalibrate and place.leads:
            recalibrate(state.average, photos, options.recalibrate, crop=options.crop, seed=options.seed)
            watcher.recalibrated(counters.step)
        watcher.finish()
    except BaseException:
        with suppress(OutputError):  # what came first says more
            watcher.close()
        raise
    watcher.close()
    return _outcome(state)


def _outcome(state: TrainState, *, already: bool = False) -> Outcome:
    counters = state.counters
    return Outcome(
        steps=counters.step,
        pictures=counters.pictures,
        minutes=counters.seconds / 60.0,
        already=already,
    )


def _check_together(state: TrainState, place: Place) -> None:
    """All processes must go on from the same step: they may not see the same folder."""
    step = state.counters.step
    if int(same_everywhere(step, place)) != step:
        raise ResumeMismatch("the processes found different checkpoints: --work-dir must be shared by all")


def _listing_of(files: Files) -> Path:
    name = files.out.name.removesuffix(".safetensors")
    return files.out.with_name(f"{name}.data.sha256")


def _write_listing(photos: PhotoSet, files: Files) -> None:
    content = photos.written_listing
    path = _listing_of(files)
    if not (path.is_file() and path.read_bytes() == content):
        write_whole(path, lambda file: file.write(content))
