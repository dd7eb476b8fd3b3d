"""Several worker processes that make the segments of one film, each those of other shots.

This process reads ahead and finds where shots begin; a worker makes the segments from there to the shot's
end, with the same arithmetic as one process alone: as many threads, the same batches.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any

import torch

from vidcolor.checkpoint import load_generator
from vidcolor.errors import Interrupted, OutputError
from vidcolor.film import Film
from vidcolor.framesource import FrameSource
from vidcolor.making import Maker, Order, open_as_asked
from vidcolor.manifest import Manifest
from vidcolor.media.opening import pick_video
from vidcolor.options import Options
from vidcolor.planning import Planner
from vidcolor.result import Meter, Progress
from vidcolor.segments import Place
from vidcolor.stages.decode import DecodeSettings
from vidcolor.stages.predict import Predictor, resolve_device
from vidcolor.target import Target
from vidcolor.temporal import Anchor, Key
from vidcolor.threads import Worker
from vidcolor.workplace import Workplace

_POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Setup:
    """All that a worker process needs to know."""

    name: str
    place: Target
    options: Options
    settings: DecodeSettings
    weights: Path
    precision: str
    terms: Manifest
    work: Workplace
    found: dict[int, Path]
    anchors: dict[Key, Anchor]
    ahead: int


@dataclass(kw_only=True)
class _Shared:
    """What this process and its workers share: devices to take, frames done by each, the word to stop.

    Nothing has a lock: a worker that is killed would keep it.
    """

    devices: Any
    frames: Any
    stop: Any


def make_apart(maker: Maker, film: Film) -> None:
    """Make the segments that are missing in worker processes, one for each device.

    Args:
        maker: whose segments they are; it finds them when this returns.
        film: as it is going to be, for the times of frames.

    Raises:
        VidcolorError: what is finished is kept.
    """
    order = maker.order
    context = multiprocessing.get_context("spawn")
    devices = order.options.devices
    shared = _Shared(
        devices=context.Queue(), frames=context.RawArray("q", len(devices)), stop=context.RawValue("b", 0)
    )
    for numbered in enumerate(devices):
        shared.devices.put(numbered)
    anchors: Mapping[Key, Anchor] = order.anchors()
    maker.anchors = anchors
    setup = Setup(
        name=order.name,
        place=order.place,
        options=order.options,
        settings=order.settings,
        weights=order.weights,
        precision=str(maker.terms.machine["precision"]),
        terms=maker.terms,
        work=maker.work,
        found=maker.found,
        anchors=dict(anchors),
        ahead=maker.source.ahead,
    )
    with ProcessPoolExecutor(len(devices), context, _begin, (setup, shared)) as pool:
        crew = _Crew(maker=maker, pool=pool, film=film)
        try:
            crew.work(shared)
        except BrokenProcessPool as error:
            raise OutputError(
                f"{order.place.name}: a worker process has died (out of memory?); what is finished is kept: "
                "run the same command again, with fewer --jobs"
            ) from error
        finally:
            shared.stop.value = 1
            pool.shutdown(wait=True, cancel_futures=True)
    maker.find()


@dataclass(kw_only=True)
class _Crew:
    maker: Maker
    pool: ProcessPoolExecutor
    film: Film
    tasks: list[Future[None]] = field(default_factory=list)

    def work(self, shared: _Shared) -> None:
        """Hand out the shots as they are found, and wait for the last of them."""
        meter, cancel = self.maker.order.meter, self.maker.order.cancel
        total, duration = meter.total(), meter.duration()  # the planner will open the source anew
        number, place = self._finished()
        done = meter.before = place.frames if place else 0
        if place is not None and place.state is None:
            return
        with Worker("vidcolor-plan", lambda: self._plan(number, place), abandon=cancel) as planner:
            while planner.running or not all(task.done() for task in self.tasks):
                if cancel.is_set():
                    shared.stop.value = 1
                    raise Interrupted(signal.SIGINT)
                planner.join(_POLL_SECONDS) if planner.running else wait(self.tasks, _POLL_SECONDS)
                for task in self.tasks:
                    if task.done():
                        task.result()
                if sum(shared.frames) + meter.before != done:
                    done = sum(shared.frames) + meter.before
                    meter.tell_of(done, total, duration)
            planner.check()

    def _finished(self) -> tuple[int, Place | None]:
        """The first segment that is missing, and where it begins."""
        number, place = 0, None
        while number in self.maker.found and (place is None or place.state is not None):
            place = self.maker.store.read(self.maker.found[number]).after
            number += 1
        return number, place

    def _plan(self, number: int, place: Place | None) -> None:
        maker = self.maker
        options = maker.order.options
        planner = Planner(
            source=maker.source,
            mode=options.temporal if options.smoothing > 0.0 else "off",
            render_size=options.render_size,
            frames=maker.terms.segment_frames,
            ticks=self.film.ticks,
            cancel=maker.order.cancel,
        )
        self.tasks.append(self.pool.submit(_make_shot, number, place))
        for beginning in planner.beginnings(number, place):
            self.tasks.append(self.pool.submit(_make_shot, *beginning))


class _Count:
    """Counts the frames of this process, in its place in an array."""

    def __init__(self, counts: Any, place: int) -> None:
        self._counts, self._place = counts, place
        self.last = 0

    def __call__(self, now: Progress) -> None:
        more, self.last = max(now.frames - self.last, 0), now.frames
        self._counts[self._place] += more


_maker: Maker | None = None
_count: _Count | None = None


def _begin(setup: Setup, shared: _Shared) -> None:
    """Make a worker process ready: it ends with its parent, and leaves signals to that."""
    global _maker, _count
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    logging.getLogger("vidcolor").addHandler(logging.NullHandler())
    cancel = threading.Event()
    threading.Thread(target=_watch, args=(shared.stop, cancel), daemon=True).start()
    torch.set_num_threads(int(setup.terms.machine["torch threads"]))
    place, device = shared.devices.get()
    _count = _Count(shared.frames, place)
    _maker = _maker_of(setup, device, cancel, _count)


def _watch(stop: Any, cancel: threading.Event) -> None:
    parent = multiprocessing.parent_process()
    while not stop.value:
        if parent is not None and wait_for([parent.sentinel], _POLL_SECONDS):
            os._exit(1)
    cancel.set()


def _maker_of(setup: Setup, device: str, cancel: threading.Event, count: _Count) -> Maker:
    generator = load_generator(str(setup.weights))
    predictor = Predictor(generator, resolve_device(device), getattr(torch, setup.precision))
    options = setup.options
    open_it = partial(open_as_asked, setup.name, options)
    source = FrameSource(open_it, setup.settings, setup.ahead, cancel)
    first = source.first()
    if first is None:
        raise OutputError(f"{setup.name}: no frame of it decodes any more")
    order = Order(
        name=setup.name,
        place=setup.place,
        options=options,
        predictor=predictor,
        open_it=open_it,
        settings=setup.settings,
        wanted=setup.terms,
        anchors=lambda: setup.anchors,
        weights=setup.weights,
        meter=Meter(container=source.container, stream=pick_video(source.container, setup.name),
                    options=options, callback=count),
        cancel=cancel,
    )  # fmt: skip
    return Maker(
        order=order,
        work=setup.work,
        source=source,
        first=first,
        terms=setup.terms,
        found=dict(setup.found),
    )


def _make_shot(number: int, place: Place | None) -> None:
    """Task of a worker process."""
    assert _maker is not None and _count is not None
    _count.last = place.frames if place else 0
    _maker.make_shot(number, place)
