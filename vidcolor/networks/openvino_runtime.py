"""OpenVINO, which computes generators on a CPU in float32, or in bfloat16 where the CPU can."""

from __future__ import annotations

import importlib
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

import numpy as np

from vidcolor.frames import Floats

_HINTS = {"float32": "f32", "bfloat16": "bf16"}
PRECISIONS = tuple(_HINTS)
_REPORTER, _CONVERT = "openvino.tools.ovc", "convert_model"
"""The part of the package that tells its makers of its import; it converts models, and isn't needed here. Its
function has a place in the package, too.
"""
_importing = threading.Lock()
"""Held meanwhile: a module is among those that are known before it is there."""
_beginning = threading.Lock()
"""Held in a first call: two at once, in a process that has made none, may wait for each other for ever, one
for what its bindings to Python make once, the other, which makes it, for the interpreter's lock.
"""


def version() -> str:
    """That of the package."""
    return str(_openvino().__version__).split("-")[0]


def session(model: bytes, precision: str, threads: int, calls: int) -> Callable[[Floats], Floats]:
    """As :class:`~vidcolor.networks.engines.Runtime` says; what it gives depends on neither number."""
    core = _openvino().Core()
    settings = {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": threads * calls,
        "NUM_STREAMS": calls,
        "ENABLE_CPU_PINNING": False,  # encoders want the processor
    }
    made = core.compile_model(core.read_model(model), "CPU", settings)
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for _ in range(calls):
        requests.put(made.create_infer_request())
    with _beginning:
        _answer(requests, np.zeros(made.input(0).shape, np.float32))
    return lambda x: _answer(requests, x)


def _answer(requests: queue.SimpleQueue[Any], x: Floats) -> Floats:
    request = requests.get()
    try:
        return np.asarray(request.infer({0: np.ascontiguousarray(x)})[0])  # which is a copy
    finally:
        requests.put(request)


def _openvino() -> ModuleType:
    with _importing:
        if "openvino" in sys.modules:
            return importlib.import_module("openvino")  # waits for a program's thread that is importing it
        return _imported()


def _imported() -> ModuleType:
    with _without(_REPORTER):
        module = importlib.import_module("openvino")
    if not hasattr(module, _CONVERT) and not hasattr(module, "__getattr__"):
        module.__dict__["__getattr__"] = _convert  # for a program that we are a part of
    return module


def _convert(name: str) -> Any:
    """An attribute of the package that :func:`_imported` has left out, when somebody asks for it."""
    if name == _CONVERT:
        with suppress(ImportError):
            return getattr(importlib.import_module(_REPORTER), name)
    raise AttributeError(f"module 'openvino' has no attribute {name!r}")


@contextmanager
def _without(name: str) -> Iterator[None]:
    """Have ``import name`` fail meanwhile, unless that has been imported already."""
    unknown = name not in sys.modules
    if unknown:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if unknown:
            del sys.modules[name]
