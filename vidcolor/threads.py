"""Threads that hand work on through bounded queues, and pass their exceptions to who waits."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

from vidcolor.errors import Interrupted

T = TypeVar("T")
_POLL_SECONDS = 0.2
"""No wait is longer: on Windows no Ctrl-C comes through while the main thread waits without a limit."""
_GRACE_SECONDS = 1.0


class Closed(Exception):
    """The other end of the queue has gone."""


class ByteQueue(Generic[T]):
    """First in, first out; bounded by the bytes that wait in it rather than by their number."""

    def __init__(self, limit_bytes: int) -> None:
        self._items: deque[tuple[T, int]] = deque()
        self._limit = limit_bytes
        self._bytes = 0
        self._finished = False
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T, size: int) -> None:
        """Add an item of ``size`` bytes; waits while the queue is full, but takes any item when empty.

        Raises:
            Closed: the reader has gone.
        """
        with self._changed:
            while not self._closed and self._bytes and self._bytes + size > self._limit:
                self._changed.wait(_POLL_SECONDS)
            if self._closed:
                raise Closed
            self._items.append((item, size))
            self._bytes += size
            self._changed.notify_all()

    def finish(self) -> None:
        """Say that nothing more will come."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def close(self) -> None:
        """Say that nothing more will be read; what waits is dropped."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    def drain(self, stop: threading.Event | None = None) -> Iterator[T]:
        """Items until the writer has finished, or ``stop`` is set."""
        while True:
            with self._changed:
                while not (self._items or self._finished or self._closed):
                    if stop is not None and stop.is_set():
                        break
                    self._changed.wait(_POLL_SECONDS)
                if not self._items or (stop is not None and stop.is_set()):
                    return
                item, size = self._items.popleft()
                self._bytes -= size
                self._changed.notify_all()
            yield item


class Worker:
    """A thread that runs one function; its exception is raised by :meth:`check` and at the end of ``with``.

    The thread is a daemon. One that has an ``abandon`` is not waited for once that is set, nor after an
    exception: a read that blocks for ever must not keep the process alive. Any other is always waited
    for, so that nobody takes away what it is still using.
    """

    def __init__(self, name: str, work: Callable[[], None], abandon: threading.Event | None = None) -> None:
        self._work = work
        self._abandon = abandon
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def _run(self) -> None:
        try:
            self._work()
        except Closed:
            pass
        except BaseException as error:
            self._error = error

    def __enter__(self) -> Worker:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        given_up = kind is not None or (self._abandon is not None and self._abandon.is_set())
        if given_up and self._abandon is not None:
            self._thread.join(_GRACE_SECONDS)
        else:
            self._outlast()
        if kind is None:
            self.check()

    def check(self) -> None:
        """Raise what the function raised, if it did."""
        if self._error is not None:
            raise self._error

    @property
    def running(self) -> bool:
        """Whether the function has not ended yet."""
        return self._thread.is_alive()

    def join(self, seconds: float) -> None:
        """Wait for the function to end, but not longer than this."""
        self._thread.join(seconds)

    def wait(self) -> None:
        """Wait for the function to end, then :meth:`check`."""
        self._outlast()
        self.check()

    def _outlast(self) -> None:
        while self.running:
            self._thread.join(_POLL_SECONDS)


def unless_cancelled(name: str, work: Callable[[], T], cancel: threading.Event) -> T:
    """What ``work`` returns, in a thread of that name.

    It may block for ever in a call that no signal handler of Python's can interrupt.

    Raises:
        Interrupted: ``cancel`` is set first; ``work`` is then left to itself.
    """
    results: list[T] = []
    with Worker(name, lambda: results.append(work()), abandon=cancel) as worker:
        while worker.running and not cancel.is_set():
            worker.join(_POLL_SECONDS)
        cancelled = cancel.is_set()
    if cancelled:
        raise Interrupted
    return results[0]
