"""What the command does to its own process: signals, and a standard output that carries only the film."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from vidcolor.errors import UsageError


class Caught:
    """The signal that came, if one did."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.signal: int | None = None

    def handle(self, number: int, _: object) -> None:
        if self.signal is not None:
            os._exit(128 + number)  # asked a second time: at once
        self.signal = number
        self.event.set()


@contextmanager
def cancelled_by_signals() -> Iterator[Caught]:
    caught = Caught()
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    before = {n: signal.signal(n, caught.handle) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def film_output(target: str) -> Iterator[int]:
    """The descriptor for the film; what libraries print goes to standard error while it is open."""
    if target != "-":
        yield 1
        return
    if os.isatty(1):
        raise UsageError("the film would go to the terminal; redirect it, or name a file")
    sys.stdout.flush()
    film = os.dup(1)
    try:
        os.dup2(2, 1)
        yield film
    finally:
        os.dup2(film, 1)
        os.close(film)
