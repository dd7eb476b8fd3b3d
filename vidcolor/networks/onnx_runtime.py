"""ONNX Runtime, which computes generators on a CPU in float32."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from vidcolor.frames import Floats

PRECISIONS = ("float32",)


def version() -> str:
    """That of the package."""
    return str(importlib.import_module("onnxruntime").__version__)


def session(model: bytes, precision: str, threads: int, calls: int) -> Callable[[Floats], Floats]:
    """As :class:`~vidcolor.networks.engines.Runtime` says; ``calls`` is of no account here."""
    runtime = importlib.import_module("onnxruntime")
    runtime.disable_telemetry_events()
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # encoders want the processor
    options.log_severity_level = 3
    made = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda x: _answer(made, x)


def _answer(made: Any, x: Floats) -> Floats:
    state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    try:
        return np.asarray(made.run(None, {made.get_inputs()[0].name: np.ascontiguousarray(x)})[0])
    except (state.Fail, state.RuntimeException) as error:  # no RuntimeErrors, but memory runs out here, too
        raise RuntimeError(str(error)) from error
