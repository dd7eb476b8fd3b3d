"""What computes a generator on a CPU in torch's place, where it is installed: the same in less time."""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from vidcolor.errors import Unsupported, UsageError, first_line
from vidcolor.frames import Floats
from vidcolor.options import ONNX_RUNTIME, OPENVINO
from vidcolor.torchthreads import thread_count

if TYPE_CHECKING:
    from torch import nn

log = logging.getLogger(__name__)

_MOST_SESSIONS = 8
"""Models that are kept, for sizes of pictures (a film has two or three) and numbers of threads."""
_MOST_LEFT = 2
"""Of those, how many are left from one film to the next."""
_TOLERANCE = 0.05
"""How far ab may lie from torch's in float32; that of the default generator lies within 0.0002."""
_COARSE = 0.25
"""How far it may lie in bfloat16 on average, as a share of chroma; that of the default generator: 0.03."""
Session = Callable[[Floats], Floats]


class Runtime(Protocol):
    """What a module of an engine has."""

    PRECISIONS: tuple[str, ...]

    def version(self) -> str:
        """That of its package. Raises whatever a broken installation raises."""

    def session(self, model: bytes, precision: str, threads: int, calls: int) -> Session:
        """A model, ready to be called by several threads at once.

        Args:
            model: of ONNX.
            precision: one of ``PRECISIONS``, by torch's names.
            threads: for each call.
            calls: at once, as many as there may be.
        """


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A program that computes ONNX models.

    Attributes:
        name: as ``--engine`` has it, which is that of the extra that installs it, too.
        title: its proper name.
        module: of this package.
    """

    name: str
    title: str
    module: str

    @property
    def runtime(self) -> Runtime:
        """Its module."""
        return cast(Runtime, importlib.import_module(f"{__package__}.{self.module}"))

    def installed(self) -> str | None:
        """Its name and version, or None where it, or the ``onnx`` package, is missing or broken."""
        try:
            importlib.import_module("onnx")
        except Exception as error:
            log.debug("onnx is not used: %r", error)
            return None
        return self.version()

    def version(self) -> str | None:
        """The same, though models may be all that it can do anything with: ``onnx`` writes them down."""
        try:
            return f"{self.name} {self.runtime.version()}"
        except Exception as error:  # of its own or of what it is built on: torch can do the work, too
            log.debug("%s is not used: %r", self.title, error)
            return None


BY_NAME = {
    one.name: one
    for one in (
        Engine(name=ONNX_RUNTIME, title="ONNX Runtime", module="onnx_runtime"),
        Engine(name=OPENVINO, title="OpenVINO", module="openvino_runtime"),
    )
}
"""All there are; those that ``auto`` prefers come first."""


class Keeps(Protocol):
    """Keeps models from one run to the next."""

    def model(self, name: str) -> bytes | None:
        """One that is kept under that name."""

    def have_made(self, shape: tuple[int, ...]) -> bool:
        """Have one for inputs of that shape kept by another process; whether it may be."""

    def keep_model(self, name: str, model: bytes) -> None:
        """Keep one."""


class HasNetwork(Protocol):
    """A generator whose network may be there only when it is asked for."""

    @property
    def network(self) -> nn.Module:
        """In evaluation mode, on the CPU, in float32."""

    @property
    def multiple(self) -> int:
        """Height and width of what it takes must be multiples of this."""


@dataclass(frozen=True)
class Fused:
    """A generator whose BatchNorm is fused when it is asked for its network."""

    generator: HasNetwork

    @property
    def network(self) -> nn.Module:
        """In evaluation mode."""
        from vidcolor.networks.fusing import fuse_batch_norm  # with torch

        network = self.generator.network
        fuse_batch_norm(network)
        return network

    @property
    def multiple(self) -> int:
        """Height and width of what it takes must be multiples of this."""
        return self.generator.multiple


class Sessions:
    """What engines have made of one generator, for all who colour with it: to make it takes a second.

    Attributes:
        kept: where models are found that were made, and tried, in another run; None: nowhere.
        tried: engines and kinds of arithmetic that have been found able.
    """

    def __init__(self, kept: Keeps | None = None) -> None:
        self.kept = kept
        self.tried: set[tuple[str, str]] = set()
        self._ready: dict[Hashable, Session] = {}  # those used last come last
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Session]) -> Session:
        """The model of that key, made where there is none; from any thread."""
        with self._lock:
            session = self._ready.pop(key, None)
            if session is None:
                self._forget(_MOST_SESSIONS - 1)
                session = make()
            self._ready[key] = session
        return session

    def trim(self) -> None:
        """Forget those that another film is unlikely to want: each takes some 90 MB."""
        with self._lock:
            self._forget(_MOST_LEFT)

    def _forget(self, most: int) -> None:
        for key in list(self._ready)[: max(0, len(self._ready) - most)]:
            del self._ready[key]


class EngineNetwork:
    """A network as a function of one picture; may be called from several threads at once.

    Args:
        engine: what computes it.
        generator: what is computed.
        precision: one of the engine's.
        threads: of all calls at once; each has as many as torch has where it is called.
        sessions: of this generator, if there are some already.
    """

    def __init__(
        self,
        engine: Engine,
        generator: HasNetwork,
        precision: str = "float32",
        threads: int = 1,
        sessions: Sessions | None = None,
    ) -> None:
        self._engine = engine
        self._generator = generator
        self._precision = precision
        self._threads = threads
        self._sessions = sessions or Sessions()

    def __call__(self, x: Floats) -> Floats:
        """What the network makes of ``x`` ``(1, C, H, W)``.

        Raises:
            UsageError: the engine does not make what torch makes.
        """
        shape, threads = tuple(x.shape), thread_count()
        calls, kept = max(1, self._threads // threads), self._sessions.kept

        def make() -> Session:
            try:
                return begin(self._engine, self._generator, shape, self._precision, threads, calls, kept)
            except Unsupported as error:
                raise UsageError(f"{self._engine.title} {error}: use --engine torch") from error

        return self._sessions.get((self._engine.name, self._precision, shape, threads, calls), make)(x)


def begin(
    engine: Engine,
    generator: HasNetwork,
    shape: tuple[int, ...],
    precision: str,
    threads: int = 1,
    calls: int = 1,
    kept: Keeps | None = None,
) -> Session:
    """A function of inputs of one shape, tried on another than it was traced with.

    Args:
        kept: where a model may be found that has been tried before; one that is made goes there.

    Raises:
        Unsupported: the engine cannot do what the network does, or does something else.
    """
    name = f"{engine.name} {engine.runtime.version()} {precision} {'x'.join(map(str, shape))}"
    model = kept.model(name) if kept is not None else None
    if model is None and kept is not None and kept.have_made(shape):
        model = kept.model(name)
    if model is not None:
        try:
            return engine.runtime.session(model, precision, threads, calls)
        except Exception as error:  # it is made anew
            log.debug("%s is of no use: %r", name, error)
    import torch  # here, because what has been made is called without it

    from vidcolor.networks.onnx_model import exported

    network = generator.network
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 100.0
    try:
        model = exported(network, x)
        session = engine.runtime.session(model, precision, threads, calls)
        with torch.inference_mode():
            wanted = network(100.0 - x).numpy()
        found = session((100.0 - x).numpy())
    except (MemoryError, Unsupported):
        raise
    except Exception as error:  # its classes are not to be relied upon
        if any(word in str(error).lower() for word in ("memory", "bad_alloc")):
            raise MemoryError(str(error)) from error
        raise Unsupported(f"fails ({first_line(error)})") from error
    off, most = np.abs(found - wanted), _COARSE * np.abs(wanted).mean()
    near = off.max() <= _TOLERANCE if precision == "float32" else off.mean() <= most
    if not near and bool(np.isfinite(wanted).all()):  # weights of no use are found elsewhere
        raise Unsupported(f"gives other colours than torch (by {float(off.max()):.3g})")
    if kept is not None:
        kept.keep_model(name, model)
    return session
