"""Generators computed by ONNX Runtime on a CPU, where it is installed: the same function in less time.

What a network does to a picture is recorded while torch does it once, operation by operation, and written
down as an ONNX model (https://onnx.ai/onnx/operators) for that size of picture.
"""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vidcolor.errors import UsageError, first_line
from vidcolor.networks.onnx_operations import OPERATIONS, Unsupported

log = logging.getLogger(__name__)

_OPSET, _IR = 17, 8
"""Of ONNX 1.12, which every ONNX Runtime that is still installed can read."""
_MOST_SESSIONS = 8
"""Models that are kept, for sizes of pictures (a film has two or three) and numbers of threads."""
_TOLERANCE = 0.05
"""How far ab may lie from torch's; that of the default generator lies within 0.0002."""
_IN, _OUT = "luminance", "ab"


def installed() -> str | None:
    """The version of ONNX Runtime, or None where it, or the ``onnx`` package, is missing or broken."""
    try:
        runtime, _ = (importlib.import_module(name) for name in ("onnxruntime", "onnx"))
        return str(runtime.__version__)
    except Exception as error:  # of its own or of what it is built on: without it the work can be done, too
        log.debug("ONNX Runtime is not used: %r", error)
        return None


class OnnxRuntimeNetwork:
    """A network as a function of one picture; may be called from several threads at once.

    Args:
        network: in evaluation mode, on the CPU, in float32, its BatchNorm fused.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._sessions: dict[tuple[tuple[int, ...], int], Any] = {}  # by shape and threads
        self._lock = threading.Lock()

    def __call__(self, x: Tensor) -> Tensor:
        """What the network makes of ``x`` ``(1, C, H, W)``, float32.

        Raises:
            UsageError: ONNX Runtime does not make what torch makes.
        """
        key = (tuple(x.shape), torch.get_num_threads())
        with self._lock:
            session = self._sessions.get(key)
            if session is None:
                if len(self._sessions) >= _MOST_SESSIONS:
                    del self._sessions[next(iter(self._sessions))]  # the oldest: each takes a second to make
                try:
                    session = self._sessions[key] = begin(self._network, *key)
                except Unsupported as error:
                    raise UsageError(f"ONNX Runtime {error}: use --engine torch") from error
        return _answer(session, x)


def begin(network: nn.Module, shape: tuple[int, ...], threads: int) -> Any:
    """A session of ONNX Runtime for inputs of one shape, tried on another than it was recorded with.

    Raises:
        Unsupported: it cannot do what the network does, or does something else.
    """
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 100.0
    try:
        session = _session(recorded(network, x), threads)
        with torch.inference_mode():
            wanted = network(100.0 - x)
        off = float((_answer(session, 100.0 - x) - wanted).abs().max())
    except (MemoryError, Unsupported):
        raise
    except Exception as error:  # its classes are not to be relied upon
        if "memory" in str(error).lower():
            raise MemoryError(str(error)) from error
        raise Unsupported(f"fails ({first_line(error)})") from error
    if not off <= _TOLERANCE and bool(wanted.isfinite().all()):  # weights of no use are found elsewhere
        raise Unsupported(f"gives other colours than torch (by {off:.3g})")
    return session


def _session(model: bytes, threads: int) -> Any:
    runtime = importlib.import_module("onnxruntime")
    runtime.disable_telemetry_events()
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # encoders want the processor
    options.log_severity_level = 3
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _answer(session: Any, x: Tensor) -> Tensor:
    state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    try:
        return torch.from_numpy(session.run([_OUT], {_IN: x.contiguous().numpy()})[0])
    except (state.Fail, state.RuntimeException) as error:  # no RuntimeErrors, but memory runs out here, too
        raise RuntimeError(str(error)) from error


def recorded(network: nn.Module, x: Tensor) -> bytes:
    """The network as an ONNX model for inputs of the shape of ``x``.

    Raises:
        Unsupported: it does something that is not written down here.
    """
    with torch.inference_mode(False), torch.no_grad():
        seen = x.clone()
        recorder = _Recorder(seen)
        with recorder:
            y: Tensor = network(seen)
    return recorder.model(seen, y)


class _Recorder(TorchFunctionMode):
    """Writes down what torch is asked to do with what comes from one tensor.

    Tensors are known by their ``id``: those that are used are alive, so that no other has the same.
    """

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self._onnx = importlib.import_module("onnx")
        self._names = {id(x): _IN}
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        known = any(id(one) in self._names for one in _tensors((args, tuple(kwargs.values()))))
        result = func(*args, **kwargs)
        made = _tensors((result,))
        if not known:
            for one in made:
                self._names.pop(id(one), None)  # that of a tensor which is no more
        elif made:
            write = OPERATIONS.get(func.__name__.strip("_"))
            if write is None or not isinstance(result, Tensor):
                raise Unsupported(f"has nothing here for {func.__name__}")
            self._names[id(result)] = write(self, result, *args, **kwargs)
        return result

    def name_of(self, value: Any) -> str:
        """The name of a tensor that came by, or of a weight or a number, which is kept with the model."""
        if not isinstance(value, Tensor):
            return self.constant(torch.tensor(float(value)))
        return self._names.get(id(value)) or self.constant(value.detach())

    def constant(self, values: Tensor) -> str:
        """Keep a tensor with the model."""
        name = f"c{len(self._constants)}"
        self._constants.append(self._onnx.numpy_helper.from_array(values.numpy(), name))
        return name

    def add(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """One more operation; returns the name of its result."""
        name = f"n{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def trim(self, result: str, axis: int, start: int) -> bool:
        """Have the last convolution leave out its first rows or columns; whether it made ``result``."""
        node = self._nodes[-1]
        if axis < 2 or node.op_type != "Conv" or node.output[0] != result:
            return False
        attributes = {a.name: a.ints for a in node.attribute}
        pads, strides = attributes["pads"], attributes["strides"]
        if pads[axis - 2] < start * strides[axis - 2]:
            return False
        pads[axis - 2] -= start * strides[axis - 2]
        return True

    def model(self, x: Tensor, y: Tensor) -> bytes:
        """All that was written down."""
        helper, number = self._onnx.helper, self._onnx.TensorProto.FLOAT
        if id(y) not in self._names:
            raise Unsupported("has no part in what does not come from the picture")
        self._nodes.append(helper.make_node("Identity", [self._names[id(y)]], [_OUT], _OUT))
        graph = helper.make_graph(
            self._nodes,
            "generator",
            [helper.make_tensor_value_info(_IN, number, list(x.shape))],
            [helper.make_tensor_value_info(_OUT, number, list(y.shape))],
            self._constants,
        )
        opset = [helper.make_opsetid("", _OPSET)]
        return bytes(helper.make_model(graph, opset_imports=opset, ir_version=_IR).SerializeToString())


def _tensors(values: Sequence[Any]) -> list[Tensor]:
    """All tensors in there, at any depth."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
            found += _tensors(value)
    return found
