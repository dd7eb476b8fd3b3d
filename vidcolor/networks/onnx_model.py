"""Exports generators as ONNX models, for engines that compute those.

What a network does to a picture is traced while torch does it once, operation by operation, for that size
of picture. torch's own exporters take seconds and 270 MB for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vidcolor.errors import Unsupported
from vidcolor.networks.onnx_graph import Graph
from vidcolor.networks.onnx_operations import OPERATIONS


def exported(network: nn.Module, x: Tensor) -> bytes:
    """The network as an ONNX model for inputs of the shape of ``x``.

    Raises:
        Unsupported: it does something that is not written down here.
    """
    with torch.inference_mode(False), torch.no_grad():
        seen = x.clone()
        graph = Graph(seen)
        with _Tracer(graph):
            y: Tensor = network(seen)
    return graph.model(seen, y)


class _Tracer(TorchFunctionMode):
    """Writes down what torch is asked to do with what comes of a graph's input."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self._graph = graph

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        names = self._graph.names
        known = any(id(one) in names for one in _tensors((args, tuple(kwargs.values()))))
        result = func(*args, **kwargs)
        made = _tensors((result,))
        if not known:
            for one in made:
                names.pop(id(one), None)  # that of a tensor which is no more
        elif made:
            write = OPERATIONS.get(func.__name__.strip("_"))
            if write is None or not isinstance(result, Tensor):
                raise Unsupported(f"has nothing here for {func.__name__}")
            names[id(result)] = write(self._graph, result, *args, **kwargs)
        return result


def _tensors(values: Sequence[Any]) -> list[Tensor]:
    """All tensors in there, at any depth."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
            found += _tensors(value)
    return found
