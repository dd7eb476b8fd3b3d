"""Generators from their files, ready on a device."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from vidcolor.devices import Device
from vidcolor.networks.engines import Sessions
from vidcolor.sharing import Sharing
from vidcolor.stages.predict import Predictor, precision_of, resolve_engine

if TYPE_CHECKING:
    import torch

    from vidcolor.checkpoint import Generator


def load_generator(name: str) -> Generator:
    """As :func:`vidcolor.checkpoint.load_generator` does, with torch."""
    from vidcolor import checkpoint

    return checkpoint.load_generator(name)


def make_predictor(
    weights: Path, device: Device, dtype: torch.dtype | str, engine: str, *, few: bool = False
) -> Predictor:
    """A predictor of the caller's own, whose engine and arithmetic can still be changed.

    What engines have made of the same weights for the film before is not made anew.

    Args:
        engine, few: as :func:`~vidcolor.stages.predict.resolve_engine` takes them.

    Raises:
        WeightsError, UsageError: the file is of no use, or the engine not to be had.
    """
    sessions = _sessions(weights, _changed(weights))
    sessions.trim()
    generator = load_generator(str(weights))
    chosen = resolve_engine(engine, generator, device, dtype, few, sessions)
    return Predictor(generator, device, dtype, Sharing(), chosen, sessions)


@lru_cache(maxsize=1)
def _sessions(weights: Path, changed: tuple[int, ...]) -> Sessions:
    return Sessions()


def cached_predictor(weights: Path, device: Device, dtype: torch.dtype | str, engine: str) -> Predictor:
    """The last one again, if it was made for the same by this thread; else a new one, for few pictures.

    For one photograph after another: to load a generator takes longer than to colour a picture.
    """
    return _kept(weights, _changed(weights), device, precision_of(dtype), engine, threading.get_ident())


@lru_cache(maxsize=1)
def _kept(
    weights: Path,
    changed: tuple[int, ...],
    device: Device,
    precision: str,
    engine: str,
    thread: int,
) -> Predictor:
    return make_predictor(weights, device, precision, engine, few=True)


def _changed(weights: Path) -> tuple[int, ...]:
    with suppress(OSError):  # gone since it was found: loading says so in words
        return stamp(weights)
    return ()


def stamp(path: str | Path) -> tuple[int, ...]:
    """Device, inode, size and time of change: others where it is another file, or has been written to."""
    status = os.stat(path)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
