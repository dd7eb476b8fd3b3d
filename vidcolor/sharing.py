"""Work that is shared out among torch's threads, a piece for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def helper(name: str) -> Iterator[Executor]:
    """A thread that works for the caller, and has as many of torch's threads, whatever others set meanwhile.

    What it has not begun in the end is dropped.
    """
    hand = ThreadPoolExecutor(1, name, torch.set_num_threads, (torch.get_num_threads(),))
    try:
        yield hand
    finally:
        hand.shutdown(cancel_futures=True)


class Sharing:
    """Threads that take a piece of work each, as many as torch has when this is made.

    Where few come at once, torch computes each with several threads.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="vidcolor-share")

    def __call__(self, work: Callable[[T], R], pieces: Sequence[T], at_once: int = 0) -> list[R]:
        """What ``work`` makes of each piece, in order.

        Args:
            at_once: how many are to have the threads, though fewer may have come.

        Raises:
            Exception: the first that a piece raised, when all have ended: whoever goes on after it may want
                the memory that the others have.
        """
        threads = torch.get_num_threads()
        each = max(1, threads // max(at_once, len(pieces)))

        def one(piece: T) -> R:
            torch.set_num_threads(each)
            return work(piece)

        begun: list[Future[R]] = []
        try:
            for piece in pieces:
                begun.append(self._threads.submit(one, piece))
        finally:
            wait(begun)
            torch.set_num_threads(threads)  # it holds for one thread, and for those that begin later
        failed = next((error for error in map(Future.exception, begun) if error is not None), None)
        if failed is None:
            return [piece.result() for piece in begun]
        begun.clear()  # with it and its error in this frame, what failed would keep its memory
        try:
            raise failed
        finally:
            del failed
