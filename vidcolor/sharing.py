"""Work that is shared out among torch's threads, a piece for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


class Sharing:
    """As many threads as torch has when it is made; where those are more than pieces, several share one."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="vidcolor-share")

    def __call__(self, work: Callable[[T], R], pieces: Sequence[T]) -> list[R]:
        """What ``work`` makes of each piece, in order. A failure is raised when all have ended.

        For who goes on after that may want the memory which the others have.
        """
        threads = torch.get_num_threads()
        each = max(1, threads // len(pieces))

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
