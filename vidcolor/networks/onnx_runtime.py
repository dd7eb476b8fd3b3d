"""ONNX Runtime, which computes generators on a CPU in float32."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from vidcolor.frames import Floats
from vidcolor.interpreter import switched_on

PRECISIONS = ("float32",)
_TELLS_NOBODY = "ORT_DISABLE_TELEMETRY"
"""Read at its import, which else sends its makers a line and gives the machine a number, kept in a file."""
_importing = threading.Lock()


def version() -> str:
    """That of the package."""
    return str(_onnxruntime().__version__)


def session(model: bytes, precision: str, threads: int, calls: int) -> Callable[[Floats], Floats]:
    """As :class:`~vidcolor.networks.engines.Runtime` says; ``calls`` is of no account here."""
    runtime = _onnxruntime()
    runtime.disable_telemetry_events()
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # encoders want the processor
    options.log_severity_level = 3
    made = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda x: _answer(made, x)


def _onnxruntime() -> ModuleType:
    with _importing, switched_on(_TELLS_NOBODY):
        return importlib.import_module("onnxruntime")


def _answer(made: Any, x: Floats) -> Floats:
    state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    try:
        return np.asarray(made.run(None, {made.get_inputs()[0].name: np.ascontiguousarray(x)})[0])
    except (state.Fail, state.RuntimeException) as error:  # no RuntimeErrors, but memory runs out here, too
        raise RuntimeError(str(error)) from error
