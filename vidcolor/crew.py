"""Several workers that make the segments of one film, each those of other shots.

This process reads ahead and finds where shots begin; a worker makes the segments from there to the shot's
end, with the same arithmetic as one process alone: as many threads, the same batches. Who the workers are,
processes or machines, is for :mod:`vidcolor.processes` and :mod:`vidcolor.cluster` to say.
"""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vidcolor.devices import Device, resolve_device
from vidcolor.errors import Interrupted, OutputError, UsageError
from vidcolor.framesource import AHEAD, FrameSource
from vidcolor.logs import LoggedWarning, silenced
from vidcolor.making import Maker, Order, Tools
from vidcolor.manifest import Manifest
from vidcolor.media.processors import goes_anywhere
from vidcolor.options import TORCH
from vidcolor.packing import Place
from vidcolor.planning import Planner
from vidcolor.predictors import predictor_without_torch
from vidcolor.reading import open_as_asked
from vidcolor.result import Meter, Progress
from vidcolor.sharing import Sharing
from vidcolor.stages.predict import Predictor, resolve_engine
from vidcolor.temporal import Anchor, Key
from vidcolor.threads import Worker
from vidcolor.torchthreads import set_thread_count, thread_count
from vidcolor.workplace import Workplace

if TYPE_CHECKING:
    from vidcolor.checkpoint import Generator

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.2
_MOST_AHEAD = 256
"""Shots that wait for workers or are with them; each holds 0.2 MB of what the filter knows there."""


@dataclass(frozen=True, kw_only=True)
class Setup(Order):
    """The order, and all else that a worker needs to know.

    Attributes:
        found: files of finished segments, by number.
        anywhere: whether processors of any number make the same film.
    """

    manifest: Manifest
    work: Workplace
    found: dict[int, Path]
    anchors: Mapping[Key, Anchor]
    anywhere: bool


class WorkerPool(ABC):
    """Workers to whom shots are given."""

    def __init__(self) -> None:
        self._passed_on: set[str] = set()

    @abstractmethod
    def submit(self, number: int, place: Place | None) -> None:
        """Have the segments from there on made, to the first that ends with a shot; from any thread."""

    @abstractmethod
    def check(self, seconds: float) -> bool:
        """Whether all that was submitted is done, after at most so many seconds.

        Raises:
            VidcolorError: what a worker has met.
        """

    @abstractmethod
    def outstanding(self) -> int:
        """How many are submitted and not known to be done; from any thread."""

    @abstractmethod
    def frames(self) -> int:
        """How many frames have been made, as far as is known."""

    def pass_on(self, warnings: list[LoggedWarning]) -> None:
        """Pass on what a worker warns of, if none has warned of the like."""
        for template, message in warnings:
            if template not in self._passed_on:
                self._passed_on.add(template)
                log.warning("%s", message)


def setup_of(maker: Maker) -> Setup:
    """What the workers of this maker need to know; looks for shots that come back, if that is asked for."""
    return Setup(
        **vars(maker.order),
        manifest=maker.manifest,
        work=maker.work,
        found=maker.finished.files,
        anchors=dict(maker.tools.anchors()),
        anywhere=goes_anywhere(maker.encoding.plan.codec, maker.order.options.encoder_options),
    )


def maker_of(
    setup: Setup, device: str, cancel: threading.Event, callback: Callable[[Progress], None] | None
) -> Maker:
    """What makes segments in a worker.

    Raises:
        VidcolorError: source or weights cannot be read there, or there is no such device.
    """
    predictor, manifest, options = _predictor_of(setup, device), setup.manifest, setup.options
    open_it = partial(open_as_asked, setup.name, options)
    source = FrameSource(open_it, setup.settings, AHEAD, cancel)
    first = source.first()
    if first is None:
        raise OutputError(f"{setup.name}: no frame of it decodes any more")
    reading = source.reading
    meter = Meter(container=reading.container, stream=reading.stream, options=options, callback=callback)
    tools = Tools(
        predictor=predictor, open_it=open_it, anchors=lambda: setup.anchors, meter=meter, cancel=cancel
    )
    with silenced():  # what is odd is said by who gave the order
        maker = Maker(
            order=setup, tools=tools, work=setup.work, source=source, first=first, manifest=manifest
        )
    maker.finished.files = dict(setup.found)
    return maker


def _predictor_of(setup: Setup, device: str) -> Predictor:
    """One that computes as the manifest says, with torch where there is no other way."""
    machine = setup.manifest.machine
    precision, threads = str(machine["precision"]), int(machine["torch threads"])
    wanted = precision, machine["engine"], threads
    found = predictor_without_torch(setup.weights, setup.options)
    if found is not None and (found.precision, found.engine, thread_count()) == wanted:
        return found
    from vidcolor.checkpoint import load_generator

    generator = load_generator(str(setup.weights))
    set_thread_count(threads)
    chosen = resolve_device(str(machine["device"]) if device == "auto" else device)
    engine = engine_here(setup.manifest, generator, chosen, precision)
    return Predictor(generator, chosen, precision, Sharing(), engine)


def engine_here(manifest: Manifest, generator: Generator, device: Device, precision: str) -> str:
    """What computes the generator on this machine for a job of that manifest."""
    try:
        return resolve_engine(str(manifest.machine["engine"]).split()[0], generator, device, precision)
    except UsageError:  # not here; whether torch will do is another question
        return TORCH


@dataclass(kw_only=True)
class Crew:
    """Gives the shots of a film to workers.

    Attributes:
        maker: whose segments they are.
        workers: to whom shots are given.
    """

    maker: Maker
    workers: WorkerPool

    def work(self) -> None:
        """Hand out the shots as they are found, and wait for the last of them.

        Raises:
            VidcolorError: what is finished is kept.
        """
        meter, cancel = self.maker.tools.meter, self.maker.tools.cancel
        total, duration = meter.total(), meter.duration()  # the planner will open the source anew
        number, place = self.maker.finished.first_missing()
        told = meter.before = place.frames if place else 0
        if place is not None and place.state is None:
            return
        stop = threading.Event()
        with Worker("vidcolor-plan", lambda: self._plan(number, place, stop), abandon=stop) as planner:
            try:
                while True:
                    planning = planner.running  # before the check: what it submits last is waited for
                    if self.workers.check(_POLL_SECONDS) and not planning:
                        break
                    if cancel.is_set():
                        raise Interrupted
                    if planning:
                        planner.join(_POLL_SECONDS)
                    done = self.workers.frames() + meter.before
                    if done != told:
                        told = done
                        meter.tell_of(done, total, duration)
                planner.check()
            except BaseException:
                stop.set()
                raise

    def _plan(self, number: int, place: Place | None, stop: threading.Event) -> None:
        self.workers.submit(number, place)
        for beginning in Planner(maker=self.maker, cancel=stop).beginnings(number, place):
            while self.workers.outstanding() >= _MOST_AHEAD and not stop.wait(_POLL_SECONDS):
                pass
            if stop.is_set():
                return
            self.workers.submit(*beginning)
