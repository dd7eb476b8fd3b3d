"""Worker processes on this machine, one for each device."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for
from typing import Any

from vidcolor.crew import Crew, Setup, WorkerPool, maker_of, setup_of
from vidcolor.errors import Interrupted, OutputError, UsageError
from vidcolor.interpreter import switched_on
from vidcolor.logs import LoggedWarning, WarningCollector
from vidcolor.making import Maker
from vidcolor.memory import keep_freed_memory
from vidcolor.packing import Place
from vidcolor.result import Progress

_POLL_SECONDS = 0.2
_STOP, _LEAVE = 1, 2
"""Words to workers: come to a clean end; leave at once (they ignore the SIGTERM of a broken pool)."""


@dataclass(kw_only=True)
class _Shared:
    """What this process and its workers share: devices to take, frames done by each, the word to stop.

    Nothing has a lock: a worker that is killed would keep it.
    """

    devices: Any
    frames: Any
    stop: Any


class _Processes(WorkerPool):
    def __init__(self, pool: ProcessPoolExecutor, shared: _Shared) -> None:
        super().__init__()
        self._pool, self._shared = pool, shared
        self._tasks: set[Future[list[LoggedWarning]]] = set()

    def submit(self, number: int, place: Place | None) -> None:
        with _signals_held():
            self._tasks.add(self._pool.submit(_make_shot, number, place))

    def check(self, seconds: float) -> bool:
        done, missing = wait(set(self._tasks), seconds)
        for task in done:
            self.pass_on(task.result())
            self._tasks.discard(task)
        return not missing

    def outstanding(self) -> int:
        return len(self._tasks)

    def frames(self) -> int:
        return sum(self._shared.frames)


def refuse_daemon() -> None:
    """A daemonic process, such as those of a ``multiprocessing.Pool``, may not start others.

    Raises:
        UsageError: this is one.
    """
    if multiprocessing.current_process().daemon:
        raise UsageError(
            "several jobs or devices need worker processes, which a daemonic process (such as those of a "
            "multiprocessing.Pool) cannot start: call from one of a concurrent.futures.ProcessPoolExecutor, "
            "or do with one job"
        )


@switched_on("PYTHONSAFEPATH")  # workers run nothing that lies beside the films (from Python 3.11 on)
def make_in_processes(maker: Maker) -> None:
    """Make the segments that are missing in worker processes, one for each device.

    Args:
        maker: whose segments they are; it finds them when this returns.

    Raises:
        VidcolorError: what is finished is kept.
    """
    order = maker.order
    context = multiprocessing.get_context("spawn")
    devices = order.options.devices
    shared = _Shared(
        devices=context.SimpleQueue(),
        frames=context.RawArray("q", len(devices)),
        stop=context.RawValue("b", 0),
    )
    for numbered in enumerate(devices):
        shared.devices.put(numbered)
    with ProcessPoolExecutor(len(devices), context, _begin, (setup_of(maker), shared)) as pool:
        try:
            Crew(maker=maker, workers=_Processes(pool, shared)).work()
        except BaseException as error:
            broken = isinstance(error, BrokenProcessPool)
            shared.stop.value = _LEAVE if broken else _STOP
            _read_no_more(pool)
            if not broken:
                raise
            kept = "what is finished is kept: " if order.options.resume else ""
            raise OutputError(
                f"{order.target.name}: a worker process has died (out of memory?); {kept}run "
                f"{order.options.again} again, with fewer --jobs. From Python, the script has to say "
                "if __name__ == '__main__'"
            ) from error
        finally:
            shared.stop.value = shared.stop.value or _STOP
            pool.shutdown(wait=True, cancel_futures=True)
    maker.finished.find()


@contextmanager
def _signals_held() -> Iterator[None]:
    """Processes that are started in here have Ctrl-C and the like blocked from their first moment on."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _read_no_more(pool: ProcessPoolExecutor) -> None:
    """Let go of tasks on their way to workers that are gone.

    CPython before 3.11.7 and 3.12.1 waits for ever for somebody to read them (python/cpython#94777); later
    ones do this themselves, in a thread of their own, and would stumble over a second time.
    """
    if sys.version_info >= (3, 12, 1) or (3, 11, 7) <= sys.version_info < (3, 12):
        return
    reader = getattr(getattr(pool, "_call_queue", None), "_reader", None)
    if reader is not None:
        reader.close()


class _Count:
    """Counts the frames of this process, in its place in an array."""

    def __init__(self, counts: Any, number: int) -> None:
        self._counts, self._number = counts, number
        self.last = 0

    def __call__(self, now: Progress) -> None:
        more, self.last = max(now.frames - self.last, 0), now.frames
        self._counts[self._number] += more


_maker: Maker | None = None
_count: _Count | None = None
_warnings: WarningCollector | None = None


def _begin(setup: Setup, shared: _Shared) -> None:
    """Make a worker process ready: it ends with its parent, and leaves signals to that."""
    global _maker, _count, _warnings
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    _warnings = WarningCollector().attach()
    cancel = threading.Event()
    threading.Thread(target=_watch, args=(shared.stop, cancel), daemon=True).start()
    keep_freed_memory()
    number, device = shared.devices.get()
    _count = _Count(shared.frames, number)
    with suppress(Interrupted):  # told to stop before it has begun: its tasks end it, and nobody is alarmed
        _maker = maker_of(setup, device, cancel, _count)


def _watch(stop: Any, cancel: threading.Event) -> None:
    parent = multiprocessing.parent_process()
    while not stop.value:
        if parent is not None and wait_for([parent.sentinel], _POLL_SECONDS):
            os._exit(1)
    if stop.value == _LEAVE:
        os._exit(1)
    cancel.set()


def _make_shot(number: int, place: Place | None) -> list[LoggedWarning]:
    """Task of a worker process: what it warns of."""
    if _maker is None:
        raise Interrupted
    assert _count is not None and _warnings is not None
    _count.last = place.frames if place else 0
    _maker.make_shot(number, place)
    return _warnings.take()
