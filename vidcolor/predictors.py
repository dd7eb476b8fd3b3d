"""Generators from their files, ready on a device."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from vidcolor.devices import Cpu, Device, may_have_gpu
from vidcolor.errors import WeightsError
from vidcolor.exporter import Exporter, may_export
from vidcolor.modelcache import Choice, ModelCache
from vidcolor.networks.engines import BY_NAME, Sessions
from vidcolor.options import TORCH, Options
from vidcolor.sharing import Sharing
from vidcolor.stages.predict import Predictor, resolve_engine
from vidcolor.torchthreads import TorchInfo, assume_torch
from vidcolor.writing import stamp

if TYPE_CHECKING:
    from torch import nn

    from vidcolor.checkpoint import Generator


def load_generator(name: str) -> Generator:
    """As :func:`vidcolor.checkpoint.load_generator` does, with torch."""
    from vidcolor import checkpoint

    return checkpoint.load_generator(name)


def make_predictor(
    weights: Path, device: Device, precision: str, engine: str, *, few: bool = False
) -> Predictor:
    """A predictor of the caller's own, whose engine and arithmetic can still be changed.

    What engines have made of the same weights for the film before is not made anew.

    Args:
        engine, few: as :func:`~vidcolor.stages.predict.resolve_engine` takes them.

    Raises:
        WeightsError, UsageError: the file is of no use, or the engine not to be had.
    """
    generator, read_stamp = _loaded(weights)
    sessions = _sessions(weights, read_stamp)
    sessions.trim()
    chosen = resolve_engine(engine, generator, device, precision, few, sessions)
    return Predictor(generator, device, precision, Sharing(), chosen, sessions)


def _loaded(weights: Path) -> tuple[Generator, tuple[int, ...]]:
    """A generator, and what tells its file from what may take its place: models are kept as that one's."""
    while True:
        read_stamp = _stamp(weights)
        generator = load_generator(str(weights))
        if read_stamp == _stamp(weights):
            return generator, read_stamp


@lru_cache(maxsize=1)
def _sessions(weights: Path, read_stamp: tuple[int, ...]) -> Sessions:
    return Sessions(_model_cache(weights, read_stamp))


@lru_cache(maxsize=1)
def _model_cache(weights: Path, read_stamp: tuple[int, ...]) -> ModelCache:
    return ModelCache(weights, read_stamp)


class _Deferred:
    """A generator whose network is loaded, and torch imported, when it is asked for."""

    def __init__(self, weights: Path, read_stamp: tuple[int, ...], multiple: int) -> None:
        self._weights, self._read_stamp, self.multiple = weights, read_stamp, multiple

    @cached_property
    def network(self) -> nn.Module:
        """In evaluation mode.

        Raises:
            WeightsError: the file is not what it was, or of no use.
        """
        network = load_generator(str(self._weights)).network
        if _stamp(self._weights) != self._read_stamp:
            raise WeightsError(f"{self._weights}: has changed while a film was coloured with it")
        return network


def predictor_without_torch(weights: Path, options: Options) -> Predictor | None:
    """One for the CPU and an engine whose models are kept, or made by another process; None: torch is needed.

    Raises:
        WeightsError, UsageError: as :func:`make_predictor`.
    """
    if "torch" in sys.modules or options.ray is not None or options.device not in ("auto", "cpu"):
        return None
    if options.engine == TORCH or (options.device == "auto" and may_have_gpu()) or not may_export():
        return None
    read_stamp = _stamp(weights)
    sessions, models = _sessions(weights, read_stamp), _model_cache(weights, read_stamp)
    exporter = Exporter(weights, *_asked(options))
    choice = models.choice(*_asked(options))
    if choice is None and models.writable and exporter.start():
        choice = models.choice(*_asked(options))
    if choice is None or choice.engine == TORCH:
        return None
    if BY_NAME[choice.engine.split()[0]].version() != choice.engine:
        return None
    assume_torch(choice.torch)
    models.make_elsewhere = exporter.export
    sessions.trim()
    generator = _Deferred(weights, read_stamp, choice.multiple)
    return Predictor(generator, Cpu(), choice.precision, Sharing(), choice.engine, sessions)


def note_choice(options: Options, predictor: Predictor, info: TorchInfo) -> None:
    """Keep for :func:`predictor_without_torch` what options have come to on a CPU."""
    models = predictor.sessions.kept if predictor.sessions is not None else None
    if isinstance(models, ModelCache) and predictor.device.type == "cpu":
        choice = Choice(
            precision=predictor.precision, engine=predictor.engine, multiple=predictor.multiple, torch=info
        )
        models.keep_choice(choice, *_asked(options))


def _asked(options: Options) -> tuple[str, str, str]:
    """What a choice follows from; by ``--device cpu`` it is not known what ``auto`` comes to."""
    return options.device, options.precision, options.engine


def cached_predictor(weights: Path, device: Device, precision: str, engine: str) -> Predictor:
    """The last one again, if it was made for the same by this thread; else a new one, for few pictures.

    For one photograph after another: to load a generator takes longer than to colour a picture.
    """
    return _cached(weights, _stamp(weights), device, precision, engine, threading.get_ident())


@lru_cache(maxsize=1)
def _cached(
    weights: Path,
    read_stamp: tuple[int, ...],
    device: Device,
    precision: str,
    engine: str,
    thread: int,
) -> Predictor:
    return make_predictor(weights, device, precision, engine, few=True)


def _stamp(weights: Path) -> tuple[int, ...]:
    with suppress(OSError):  # gone since it was found: loading says so in words
        return stamp(weights)
    return ()
