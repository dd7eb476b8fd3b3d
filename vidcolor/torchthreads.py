"""How many threads torch computes with, or would compute with where it has not been imported."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_own = threading.local()


@dataclass(frozen=True, kw_only=True)
class TorchInfo:
    """What torch says of itself when it has just been imported.

    Attributes:
        version: with what it was built for.
        threads: that it takes on this machine, unless told otherwise.
        capability: instructions of the processor that it uses: ``AVX512``, ``AVX2`` …
    """

    version: str
    threads: int
    capability: str


_assumed: TorchInfo | None = None
"""What torch would say, as long as it has not been imported."""


def import_torch() -> TorchInfo | None:
    """What torch says when it is imported here; None where a program has done so, which may have set it."""
    if "torch" in sys.modules:
        return None
    torch = importlib.import_module("torch")
    return TorchInfo(
        version=str(torch.__version__),
        threads=int(torch.get_num_threads()),
        capability=str(torch.backends.cpu.get_cpu_capability()),
    )


def assume_torch(info: TorchInfo) -> None:
    """Have torch not imported to ask for this, which it said in an earlier run."""
    global _assumed
    _assumed = info


def torch_version() -> str:
    """As torch says it itself."""
    torch = _torch()
    return torch.version if isinstance(torch, TorchInfo) else str(torch.__version__)


def cpu_capability() -> str:
    """Instructions of the processor that torch uses."""
    torch = _torch()
    return torch.capability if isinstance(torch, TorchInfo) else str(torch.backends.cpu.get_cpu_capability())


def thread_count() -> int:
    """Threads that what this thread has computed may take."""
    torch = _torch()
    if isinstance(torch, TorchInfo):
        return getattr(_own, "count", torch.threads)
    if hasattr(_own, "count"):  # it has been imported since
        torch.set_num_threads(_own.count)
        del _own.count
    return int(torch.get_num_threads())


def set_thread_count(count: int) -> None:
    """Have what this thread computes, and where torch is there what threads begun later do, take so many."""
    torch = _torch()
    if isinstance(torch, TorchInfo):
        _own.count = count
        return
    _own.__dict__.clear()
    torch.set_num_threads(count)


def _torch() -> Any:
    """Torch, or what it is assumed to say."""
    if _assumed is not None and "torch" not in sys.modules:
        return _assumed
    return importlib.import_module("torch")  # waits for a thread that is importing it


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Have torch use so many threads: sums depend on their number.

    Work on hundreds of small tensors is done on one: it waits for other threads more than it computes, many
    times as long where another program has their core.
    """
    had_own, before = hasattr(_own, "count"), thread_count()
    set_thread_count(count)
    try:
        yield
    finally:
        set_thread_count(before)
        if not had_own:  # a program that imports torch later may set it
            _own.__dict__.clear()
