"""What happens beside the steps of a run: validation, checkpoints, records, weights."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from vidcolor.checkpoint import metadata_of, save_weights
from vidcolor.errors import WeightsError
from vidcolor.training.loop import Event
from vidcolor.training.options import Assignment, Files, TrainOptions
from vidcolor.training.recipes import RECIPES
from vidcolor.training.records import Records
from vidcolor.training.state import TrainState, save_checkpoint
from vidcolor.training.validation import Validation, validate
from vidcolor.writing import write_whole

CHECKPOINT = "checkpoint.pt"
BEST = "best.safetensors"
_LINE_EVERY = 10


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Callbacks for whoever watches a run.

    Attributes:
        started: gets the step to go on from and the share of the budget that is used.
        step: gets each step's event.
        validated: gets step and result of each validation.
    """

    started: Callable[[int, float], None] = lambda step, progress: None
    step: Callable[[Event], None] = lambda event: None
    validated: Callable[[int, Validation], None] = lambda step, result: None


class Watcher:
    """Validates, saves and records; in the leading process only.

    Args:
        state: of the run; nothing of it is changed but the best score.
        inputs: see :func:`.state.inputs_of`.
        pictures: to judge by, R'G'B' ``(N, 3, h, w)``, 0..1; there may be none.
        listener: is told of each step and each validation.
    """

    def __init__(
        self,
        state: TrainState,
        assignment: Assignment,
        inputs: dict[str, str],
        pictures: Tensor,
        listener: Listener,
    ) -> None:
        self._state, self._options, self._files = state, assignment.options, assignment.files
        self._inputs, self._pictures, self._listener = inputs, pictures, listener
        leads = assignment.place.leads
        self._records = Records(self._files.work, state.counters.step) if leads else None
        self._saved = time.monotonic()
        self._best = self._files.work / BEST
        self._recalibrated = False

    def after_step(self, event: Event) -> None:
        """What an event calls for."""
        self._listener.step(event)
        if self._records is None:
            return
        if event.step % _LINE_EVERY == 0 or event.ended:
            speed = {"pictures_per_second": event.pictures_per_second, "rate": event.rate}
            self._records.numbers(event.step, "train", {**event.losses, **speed, "stage": event.stage})
        if event.stage_ended and not event.ended:  # before the checkpoint, behind which a killed run goes on
            self._save(self._files.work / f"stage-{event.stage + 1}.safetensors")
        judged = event.step % self._options.every == 0 or event.stage_ended
        if judged:
            self._judge(event.step)
        minutes = (time.monotonic() - self._saved) / 60.0
        if judged or minutes >= self._options.checkpoint_minutes:
            self._checkpoint()

    def recalibrated(self, step: int) -> None:
        """Judge the weights once more: their BatchNorm statistics are others now."""
        self._recalibrated = True
        self._judge(step)

    def _judge(self, step: int) -> None:
        if not len(self._pictures) or self._records is None:
            return
        state = self._state
        device = next(state.generator.parameters()).device
        result, picture = validate(state.average, state.features, self._pictures, device)
        self._records.numbers(step, "recalibrated" if self._recalibrated else "validation", asdict(result))
        self._records.sample(step, picture)
        if result.score < state.counters.best and not self._recalibrated:
            state.counters.best = result.score
            self._save(self._best)
        self._listener.validated(step, result)

    def _checkpoint(self) -> None:
        save_checkpoint(self._state, self._options, self._inputs, self._files.work / CHECKPOINT)
        self._saved = time.monotonic()

    def finish(self) -> None:
        """Write the weights."""
        if self._records is None:
            return
        if self._options.keep == "best" and self._best.exists():
            content = self._best.read_bytes()
            write_whole(self._files.out, lambda file: file.write(content))
        else:
            self._save(self._files.out)

    def close(self) -> None:
        """Draw the curves and let go of the records."""
        if self._records is not None:
            self._records.close()

    def _save(self, path: Path) -> None:
        network = self._state.average
        if not all(bool(tensor.isfinite().all()) for tensor in network.state_dict().values()):
            raise WeightsError(f"{path}: not written, its weights would be no numbers: lower --rate")
        save_weights(
            path,
            network,
            recipe=describe(self._state, self._options, self._files, recalibrated=self._recalibrated),
            data=_data_line(self._inputs),
            run=_run_digest(
                self._state, self._options, self._inputs, self._options.recalibrate * self._recalibrated
            ),
            date=datetime.date.today().isoformat(),
        )


def are_written(state: TrainState, options: TrainOptions, files: Files, inputs: dict[str, str]) -> bool:
    """Whether weights as such a run writes them at its end are there; something may be recorded in them."""
    there, best = metadata_of(files.out), files.work / BEST
    if options.keep == "best" and best.exists():
        wanted = metadata_of(best) | {"data": _data_line(inputs)}
    else:
        line = describe(state, options, files, recalibrated=options.recalibrate > 0)
        digest = _run_digest(state, options, inputs, options.recalibrate)
        wanted = {"recipe": line, "data": _data_line(inputs), "run": digest}
    # weights of before have no digest of their run
    keys = ("run",) if "run" in there and "run" in wanted else ("recipe", "data")
    return all(there.get(key) == wanted.get(key, "") for key in keys)


def _run_digest(state: TrainState, options: TrainOptions, inputs: dict[str, str], recalibrated: int) -> str:
    """SHA-256 of what tells a run's weights from others; names of files and the device do not.

    Args:
        recalibrated: crops on which statistics were taken anew.
    """
    counters = state.counters
    told = [inputs, _unusual(options), counters.step, counters.seconds, recalibrated]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _data_line(inputs: dict[str, str]) -> str:
    return f"{inputs['count']} pictures, sha256 of their list {inputs['pictures']}"


def _unusual(options: TrainOptions) -> list[str]:
    """The fixed options that are not as usual with the recipe."""
    usual = TrainOptions(steps=1, recipe=options.recipe).fixed() | {"recipe": TrainOptions.recipe}
    return [f"{k} {v}" for k, v in options.fixed().items() if v != usual[k]]


def describe(state: TrainState, options: TrainOptions, files: Files, *, recalibrated: bool) -> str:
    """One line that says how weights came about."""
    counters = state.counters
    changed = _unusual(options)
    read = {"encoder": files.encoder, "features": files.features, "begun with": files.init}
    names = {kind: path.name for kind, path in read.items() if path is not None}
    changed += [f"{kind} {os.fsencode(name).decode('utf-8', 'replace')}" for kind, name in names.items()]
    device = next(state.generator.parameters()).device.type
    return (
        f"{RECIPES[options.recipe].source}; to stage {counters.stage + 1}, {counters.step} steps, "
        f"{counters.pictures} crops of {options.crop} px, {counters.seconds / 60:.0f} minutes ({device}); "
        f"batch {options.batch}; {', '.join(changed) or 'usual options'}"
        + (f"; recalibrated on {options.recalibrate} crops" if recalibrated else "")
    )
