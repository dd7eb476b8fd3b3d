"""Workers on several machines: the shots of a film as tasks of a Ray cluster, over storage that all share."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vidcolor.checkpoint import load_generator
from vidcolor.crew import Crew, Setup, WorkerPool, engine_here, maker_of, setup_of
from vidcolor.errors import OutputError, ResumeMismatch, UsageError, VidcolorError, first_line
from vidcolor.logs import LoggedWarning, WarningCollector
from vidcolor.machine import describe_machine
from vidcolor.making import Maker
from vidcolor.manifest import PROCESSORS, Manifest, digest_weights, identify
from vidcolor.memory import keep_freed_memory
from vidcolor.packing import Place
from vidcolor.segments import SegmentStore
from vidcolor.threads import unless_cancelled

_RETRIES = 3
"""How often Ray runs a task again whose worker, or machine, is lost."""
_GRACE_SECONDS = 15
_CONNECT_SECONDS = 5


def make_on_cluster(maker: Maker) -> None:
    """Make the segments that are missing as Ray tasks, wherever the cluster has processors (or GPUs) free.

    Source, weights that did not come with vidcolor, and the work folder have to be found under the same paths
    on all machines. A worker compares these, and what the last digits of its arithmetic depend on, with what
    the job was begun on, and refuses what would give another film.

    Args:
        maker: whose segments they are; it finds them when this returns.

    Raises:
        UsageError: Ray is not installed, there is no cluster at ``--ray``'s address, or none with a GPU.
        VidcolorError: what is finished is kept.
    """
    options = maker.order.options
    address = options.ray
    assert address is not None
    with _connected(address, maker.tools.cancel) as ray:
        workers: _Tasks | None = None
        try:
            workers = _Tasks(ray, maker, _needs(ray, maker.manifest, address), most=options.jobs)
            Crew(maker=maker, workers=workers).work()
        except ray.exceptions.RayError as error:
            kept = "what is finished is kept: " if options.resume else ""
            raise OutputError(
                f"{maker.order.target.name}: the cluster gave up ({first_line(error)}); {kept}run "
                f"{options.again} again"
            ) from error
        finally:
            if workers is not None:
                workers.cancel()
    maker.finished.find()


@contextmanager
def _connected(address: str, cancel: threading.Event) -> Iterator[Any]:
    try:
        import ray
    except ImportError as error:
        raise UsageError("--ray needs Ray: pip install 'vidcolor[ray]'") from error
    ours = not ray.is_initialized()
    if ours:
        _require_an_answer(address)
        logging.getLogger("ray").setLevel(logging.ERROR)
        # in a thread of its own: it may try for minutes, and on the main thread it would take SIGTERM from us
        connect = partial(ray.init, address=address, log_to_driver=False, configure_logging=False)
        try:
            unless_cancelled("vidcolor-connect", connect, cancel)
        except (ConnectionError, ValueError, RuntimeError, AssertionError) as error:
            raise UsageError(
                f"--ray {address}: no Ray cluster answers there ({first_line(error)})"
            ) from error
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()


def _require_an_answer(address: str) -> None:
    """Ray itself would try for many minutes."""
    if address == "auto":
        return
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:  # Ray's own "local" begins a cluster that would end with the thread that asked for it
        raise UsageError(f"--ray {address}: give HOST:PORT, or auto for the cluster that this machine is in")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise UsageError(f"--ray {address}: no Ray cluster answers there ({first_line(error)})") from error


def _needs(ray: Any, manifest: Manifest, address: str) -> dict[str, float]:
    """What a task asks the cluster for: a GPU, or as many processors as the generator has threads."""
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if manifest.machine["device"] == "cuda":
        if not any(resources.get("GPU") for resources in alive):
            raise UsageError(f"--ray {address}: the cluster has no GPU; use --device cpu")
        return {"num_cpus": 1, "num_gpus": 1}
    most = max((resources.get("CPU", 0.0) for resources in alive), default=0.0)
    if most < 1:
        raise UsageError(f"--ray {address}: the cluster has no processors")
    return {"num_cpus": min(float(manifest.machine["torch threads"]), most)}


class _Tasks(WorkerPool):
    def __init__(self, ray: Any, maker: Maker, needs: dict[str, float], most: int | None) -> None:
        super().__init__()
        setup = setup_of(maker)
        weights = setup.weights.resolve() if Path(maker.order.options.weights).is_file() else None
        setup = replace(
            setup,
            name=os.path.abspath(setup.name),
            weights=weights or Path(maker.order.options.weights),
            work=setup.work.absolute(),
        )
        self._ray, self._most = ray, most
        self._remote = ray.remote(max_retries=_RETRIES, scheduling_strategy="SPREAD", **needs)(_make_shot)
        self._setup = ray.put(setup)
        self._waiting: deque[tuple[int, Place | None]] = deque()
        self._running: list[Any] = []
        self._store = maker.finished.store
        self._counted = {path.name: 0 for path in maker.finished.files.values()}

    def submit(self, number: int, place: Place | None) -> None:
        self._waiting.append((number, place))

    def check(self, seconds: float) -> bool:
        while self._waiting and (self._most is None or len(self._running) < self._most):
            self._running.append(self._remote.remote(self._setup, *self._waiting.popleft()))
        if not self._running:
            return True
        done, self._running = self._ray.wait(self._running, num_returns=len(self._running), timeout=seconds)
        for task in done:
            try:
                self.pass_on(self._ray.get(task))
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause from error
        return not self._running and not self._waiting

    def outstanding(self) -> int:
        return len(self._waiting) + len(self._running)

    def frames(self) -> int:
        """Workers tell nothing while they work; what they have finished is in the folder."""
        for path in self._store.listed():
            if path.name not in self._counted:
                self._counted[path.name] = SegmentStore.describe(path).frames
        return sum(self._counted.values())

    def cancel(self) -> None:
        """End the tasks that are left, and wait until they have ended."""
        for task in self._running:
            self._ray.cancel(task, force=True)
        if self._running:
            self._ray.wait(self._running, num_returns=len(self._running), timeout=_GRACE_SECONDS)


_worker: tuple[Setup, Maker] | None = None
_warnings: WarningCollector | None = None


def _make_shot(setup: Setup, number: int, place: Place | None) -> list[LoggedWarning]:
    """Task of a worker: what it warns of. Its maker serves for all shots of a film."""
    global _worker, _warnings
    node = os.uname().nodename if hasattr(os, "uname") else "a machine"
    try:
        if (
            _worker is None
            or _worker[0].manifest != setup.manifest
            or _worker[0].work.folder != setup.work.folder
        ):
            keep_freed_memory()
            torch.set_num_threads(int(setup.manifest.machine["torch threads"]))
            _require_the_same(setup)
            device = str(setup.manifest.machine["device"])
            _worker = setup, maker_of(setup, device, threading.Event(), None)
        _warnings = _warnings or WarningCollector().attach()
        maker = _worker[1]
        # what a lost worker has finished; there may be all of the film behind the shot
        maker.finished.files = maker.finished.store.numbered()
        maker.finished.unread = set(maker.finished.files)
        maker.make_shot(number, place)
    except VidcolorError as error:
        raise type(error)(f"on {node}: {error}") from None
    return _warnings.take()


def _require_the_same(setup: Setup) -> None:
    """Refuse a machine that would make another film."""
    manifest = setup.manifest
    known = Manifest.read(setup.work.manifest_path)
    # a worker whose memory ran out has written a smaller limit
    if known is None or replace(known, batch_limit=manifest.batch_limit) != manifest:
        raise OutputError(
            f"{setup.work.folder}: is not there, or not the same folder; all machines need the same storage "
            "under the same path (--work-dir names another)"
        )
    generator = load_generator(str(setup.weights))
    device, precision = torch.device(str(manifest.machine["device"])), str(manifest.machine["precision"])
    engine = engine_here(manifest, generator, device, precision)
    here = replace(
        manifest,
        source=identify(setup.name),
        weights=digest_weights(generator.path),
        machine=describe_machine(device, precision, engine, int(manifest.machine["batch size"]))
        | ({key: manifest.machine[key] for key in PROCESSORS} if setup.anywhere else {}),
    )
    differences = manifest.differences(here, drift=setup.options.accept_drift)
    if differences:
        advice = "; --accept-drift takes what it makes" if here.machine != manifest.machine else ""
        raise ResumeMismatch(f"this machine would make another film: {'; '.join(differences)}{advice}")
