"""An ONNX model while it is written, operation by operation (https://onnx.ai/onnx/operators)."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vidcolor.errors import Unsupported

INPUT, OUTPUT = "luminance", "ab"
"""What the picture and its colours are called in a model."""
_OPSET, _IR = 17, 8
"""Of ONNX 1.12, which all that still is installed can read."""


class Graph:
    """What has been written down so far.

    Args:
        x: what goes in.

    Attributes:
        names: what ``x`` and all that came of it are called, by the ``id`` of the tensor: those that are used
            are alive, so that no other has the same.
    """

    def __init__(self, x: Tensor) -> None:
        self._onnx = importlib.import_module("onnx")
        self.names = {id(x): INPUT}
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def name_of(self, value: Any) -> str:
        """The name of a tensor that came by, or of a weight or a number, which is kept with the model."""
        if not isinstance(value, Tensor):
            return self.constant(torch.tensor(float(value)))
        return self.names.get(id(value)) or self.constant(value.detach())

    def constant(self, values: Tensor) -> str:
        """Keep a tensor with the model; returns its name."""
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
        """All that was written down, as the bytes of a model that makes ``y`` of ``x``.

        Raises:
            Unsupported: ``y`` was not made of what goes in.
        """
        helper, number = self._onnx.helper, self._onnx.TensorProto.FLOAT
        if id(y) not in self.names:
            raise Unsupported("has no part in what does not come from the picture")
        self._nodes.append(helper.make_node("Identity", [self.names[id(y)]], [OUTPUT], OUTPUT))
        graph = helper.make_graph(
            self._nodes,
            "generator",
            [helper.make_tensor_value_info(INPUT, number, list(x.shape))],
            [helper.make_tensor_value_info(OUTPUT, number, list(y.shape))],
            self._constants,
        )
        opset = [helper.make_opsetid("", _OPSET)]
        return bytes(helper.make_model(graph, opset_imports=opset, ir_version=_IR).SerializeToString())
