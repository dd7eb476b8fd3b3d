"""Work that is shared out among torch's threads, a piece for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from vidcolor.torchthreads import set_thread_count, thread_count

T = TypeVar("T")
R = TypeVar("R")


class Submit(Protocol):
    """Has work done elsewhere."""

    def __call__(self, work: Callable[..., R], *given: Any) -> Future[R]:
        """What ``work`` makes of what is ``given``."""


class PredictThread:
    """A thread that predicts for another.

    It is kept for as long as there is work: what cuDNN plans for a thread is not given back when that ends.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "vidcolor-predict")

    @contextmanager
    def lent(self) -> Iterator[Submit]:
        """A function that has work done, with as many of torch's threads as the caller has.

        What has not begun in the end is dropped, and what has is waited for.
        """
        begun: list[Future[Any]] = []

        def submit(work: Callable[..., R], *given: Any) -> Future[R]:
            begun[:] = [one for one in begun if not one.done()]
            task = self._thread.submit(_with_threads, thread_count(), work, *given)
            begun.append(task)
            return task

        try:
            yield submit
        finally:
            for one in begun:
                one.cancel()
            wait(begun)
            begun.clear()


def _with_threads(threads: int, work: Callable[..., R], *given: Any) -> R:
    _take_threads(threads)
    return work(*given)


def _take_threads(count: int) -> None:
    thread_count()  # asked first, torch takes what any thread has set last; from then on it is ours
    set_thread_count(count)


class Sharing:
    """Threads that take a piece of work each, as many as torch has when this is made.

    Where few come at once, torch computes each with several threads.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(thread_count(), thread_name_prefix="vidcolor-share")

    def __call__(self, work: Callable[[T], R], pieces: Sequence[T], at_once: int = 0) -> list[R]:
        """What ``work`` makes of each piece, in order.

        Args:
            at_once: how many are to have the threads, though fewer may have come.

        Raises:
            Exception: the first that a piece raised, when all have ended: whoever goes on after it may want
                the memory that the others have.
        """
        threads = thread_count()
        each = max(1, threads // max(at_once, len(pieces)))

        def one(piece: T) -> R:
            _take_threads(each)
            return work(piece)

        begun: list[Future[R]] = []
        try:
            for piece in pieces:
                begun.append(self._threads.submit(one, piece))
        finally:
            wait(begun)
            set_thread_count(threads)  # it holds for one thread, and for those that begin later
        failed = next((error for error in map(Future.exception, begun) if error is not None), None)
        if failed is None:
            return [piece.result() for piece in begun]
        begun.clear()  # with it and its error in this frame, what failed would keep its memory
        try:
            raise failed
        finally:
            del failed
