"""A whole training run: from a folder of pictures to a weights file, going on where it stopped."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from vidcolor.checkpoint import save_weights
from vidcolor.errors import InputError, OutputError, UsageError
from vidcolor.networks.base import ColourNetwork
from vidcolor.training.batches import batches
from vidcolor.training.data import PhotoSet
from vidcolor.training.loop import Event, train
from vidcolor.training.options import Files, TrainOptions
from vidcolor.training.parallel import Place
from vidcolor.training.recipes import RECIPES, Stage
from vidcolor.training.records import Records
from vidcolor.training.sampling import background
from vidcolor.training.schedule import stages_of
from vidcolor.training.state import TrainState, build_state, load_checkpoint, save_checkpoint
from vidcolor.training.validation import Validation, fixed_pictures, validate

CHECKPOINT = "checkpoint.pt"
_VALIDATION_PICTURES = 48
_SMALLEST_SET = 4
_LINE_EVERY = 10


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run came to: steps, pictures seen and minutes over all resumptions, the last validation."""

    steps: int
    pictures: int
    minutes: float
    validation: Validation | None


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Callbacks for whoever watches; see :func:`run`."""

    started: Callable[[int, int], None] = lambda step, pictures: None
    step: Callable[[Event], None] = lambda event: None
    validated: Callable[[int, Validation], None] = lambda step, result: None


def hold_out(photos: PhotoSet, count: int) -> tuple[PhotoSet, PhotoSet]:
    """Split evenly spread pictures off for validation: the rest, and ``count`` of them (a tenth at most)."""
    count = min(count, len(photos) // 10)
    if count == 0:
        return photos, photos.subset([])
    chosen = np.linspace(0, len(photos) - 1, count).astype(np.int64)
    rest = np.setdiff1d(np.arange(len(photos)), chosen)
    return photos.subset(rest.tolist()), photos.subset(chosen.tolist())


def run(
    photos: PhotoSet,
    validation: PhotoSet | None,
    options: TrainOptions,
    files: Files,
    place: Place,
    listener: Listener,
) -> Outcome:
    """Train, or go on training, until the budget is spent; writes the weights to ``files.out``.

    Args:
        photos: what to learn from.
        validation: what to judge by; None takes every n-th picture out of ``photos``.
        listener: ``started`` gets the step to go on from and the number of pictures, ``step`` each
            step's event, ``validated`` each validation.

    Raises:
        InputError: too few pictures.
        UsageError, WeightsError, ResumeMismatch, OutputError: as their docstrings say.
    """
    if len(photos) < _SMALLEST_SET:
        raise InputError(f"{len(photos)} usable pictures are too few to train on; {_SMALLEST_SET} at least")
    if options.batch % (place.world * options.accumulate):
        raise UsageError(
            f"--batch {options.batch} does not divide by {place.world} processes x {options.accumulate} parts"
        )
    if validation is None:
        photos, validation = hold_out(photos, _VALIDATION_PICTURES)
    recipe = RECIPES[options.recipe]
    stages = stages_of(recipe, options)
    state = build_state(options, files, place.device)
    checkpoint = files.work / CHECKPOINT
    if checkpoint.exists():
        load_checkpoint(state, options, photos.digest, stages, checkpoint)
    if place.leads:
        _write_listing(photos, files)
    listener.started(state.counters.step, len(photos))
    pictures = fixed_pictures(validation, _VALIDATION_PICTURES, options.crop)
    watcher = _Watcher(state, options, files, place, pictures, listener, photos)
    ahead = batches(photos, options, place, first_step=state.counters.step, unpaired=recipe.unpaired)
    with background(ahead) as ready:
        train(state, ready, stages, options, place, watcher.after_step)
    watcher.finish(stages)
    counters = state.counters
    return Outcome(
        steps=counters.step,
        pictures=counters.pictures,
        minutes=counters.seconds / 60.0,
        validation=watcher.last,
    )


def _write_listing(photos: PhotoSet, files: Files) -> None:
    path = files.out.with_suffix(".data.sha256")
    text = "".join(f"{content}  {name}\n" for name, content in photos.listing)
    try:
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error})") from error


class _Watcher:
    """Validates, saves and records; in the leading process only."""

    def __init__(
        self,
        state: TrainState,
        options: TrainOptions,
        files: Files,
        place: Place,
        pictures: Tensor,
        listener: Listener,
        photos: PhotoSet,
    ) -> None:
        self._state, self._options, self._files = state, options, files
        self._place, self._pictures, self._listener, self._photos = place, pictures, listener, photos
        self._records = Records(files.work, state.counters.step) if place.leads else None
        self._saved = time.monotonic()
        self._best: Path = files.work / "best.safetensors"
        self.last: Validation | None = None

    def after_step(self, event: Event) -> None:
        """What an event calls for."""
        self._listener.step(event)
        if not self._place.leads or self._records is None:
            return
        if event.step % _LINE_EVERY == 0 or event.ended:
            speed = {"pictures_per_second": event.pictures_per_second, "rate": event.rate}
            self._records.numbers(event.step, "train", {**event.losses, **speed, "stage": event.stage})
        if event.step % self._options.every == 0 or event.stage_ended:
            self._validate(event)
        minutes = (time.monotonic() - self._saved) / 60.0
        if minutes >= self._options.checkpoint_minutes or event.stage_ended:
            self._checkpoint()
        if event.stage_ended and not event.ended:
            self._save(self._files.work / f"stage-{event.stage + 1}.safetensors")

    def _validate(self, event: Event) -> None:
        if not len(self._pictures) or self._records is None:
            return
        state = self._state
        result, picture = validate(state.average, state.features, self._pictures, self._place.device)
        self.last = result
        self._records.numbers(event.step, "validation", result.as_dict())
        self._records.sample(event.step, picture)
        if result.score < state.counters.best:
            state.counters.best = result.score
            self._save(self._best)
        self._listener.validated(event.step, result)

    def _checkpoint(self) -> None:
        save_checkpoint(self._state, self._options, self._photos.digest, self._files.work / CHECKPOINT)
        self._saved = time.monotonic()

    def finish(self, stages: tuple[Stage, ...]) -> None:
        """Write the weights and the curves."""
        if not self._place.leads or self._records is None:
            return
        self._records.close()
        if self._options.keep == "best" and self._best.exists():
            try:
                self._files.out.write_bytes(self._best.read_bytes())
            except OSError as error:
                raise OutputError(f"{self._files.out}: cannot be written ({error})") from error
        else:
            self._save(self._files.out)

    def _save(self, path: Path) -> None:
        network = self._state.average
        assert isinstance(network, ColourNetwork)
        save_weights(
            path,
            network,
            recipe=describe(self._state, self._options),
            data=f"{len(self._photos)} pictures, sha256 of their list {self._photos.digest}",
            date=datetime.date.today().isoformat(),
        )


def describe(state: TrainState, options: TrainOptions) -> str:
    """One line that says how weights came about."""
    counters = state.counters
    usual = TrainOptions(steps=1).fixed()
    changed = [f"{k} {v}" for k, v in options.fixed().items() if v != usual[k]]
    device = next(state.generator.parameters()).device.type
    return (
        f"{RECIPES[options.recipe].source}; to stage {counters.stage + 1}, {counters.step} steps, "
        f"{counters.pictures} crops of {options.crop} px, {counters.seconds / 60:.0f} minutes ({device}); "
        f"batch {options.batch}; {', '.join(changed) or 'usual options'}"
    )
