"""How many threads torch computes with, or what stands in for it where it has not been imported."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_own = threading.local()


@dataclass
class Known:
    """What torch has told of itself before.

    Attributes:
        version: as torch says it.
        threads: that it takes on this machine, unless told otherwise.
    """

    version: str = ""
    threads: int = 0


known = Known()
"""What stands in for torch."""


def _torch() -> Any:
    """Torch, if somebody has imported it: that takes seconds, and some 450 MB where it is built for CUDA."""
    return sys.modules.get("torch")


def torch_version() -> str:
    """As torch says it itself, with what it was built for."""
    torch = _torch()
    return str(torch.__version__) if torch is not None else known.version


def thread_count() -> int:
    """Threads that what this thread has computed may take."""
    torch = _torch()
    return int(torch.get_num_threads()) if torch is not None else getattr(_own, "count", known.threads or 1)


def set_thread_count(count: int) -> None:
    """Have what this thread computes, and those that begin later, take so many."""
    torch = _torch()
    if torch is not None:
        torch.set_num_threads(count)
    _own.count = count


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Have torch use so many threads: sums depend on their number.

    Work on hundreds of small tensors is done on one: it waits for other threads more than it computes, many
    times as long where another program has their core.
    """
    before = thread_count()
    set_thread_count(count)
    try:
        yield
    finally:
        set_thread_count(before)
