"""Generators written down as ONNX models (https://onnx.ai/onnx/operators), for engines that compute those.

What a network does to a picture is recorded while torch does it once, operation by operation, for that size
of picture. torch's own exporters take seconds and 270 MB for that.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vidcolor.networks.onnx_operations import OPERATIONS, Unsupported

INPUT, OUTPUT = "luminance", "ab"
"""What the picture and its colours are called in a model."""
_OPSET, _IR = 17, 8
"""Of ONNX 1.12, which all that still is installed can read."""


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
        self._names = {id(x): INPUT}
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
        self._nodes.append(helper.make_node("Identity", [self._names[id(y)]], [OUTPUT], OUTPUT))
        graph = helper.make_graph(
            self._nodes,
            "generator",
            [helper.make_tensor_value_info(INPUT, number, list(x.shape))],
            [helper.make_tensor_value_info(OUTPUT, number, list(y.shape))],
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
