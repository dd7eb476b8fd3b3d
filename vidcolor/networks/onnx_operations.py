"""How ONNX has what torch does in a generator's forward pass (https://onnx.ai/onnx/operators).

Each function here is told what torch's own of that kind was told, and its result ``y``; it writes that into a
graph and returns the name of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from vidcolor.errors import Unsupported
from vidcolor.networks.onnx_graph import Graph


def _pair(value: Any) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def _windows(
    to: Graph, kind: str, tensors: Sequence[Tensor | None], padding: Any, stride: Any, **attributes: Any
) -> str:
    """What looks at a map through windows, padded alike on both sides."""
    inputs = [to.name_of(one) for one in tensors if one is not None]
    pads = [*_pair(padding), *_pair(padding)]
    return to.add(kind, inputs, pads=pads, strides=_pair(stride), **attributes)


def _convolution(
    to: Graph,
    y: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> str:
    more = {"dilations": _pair(dilation), "group": groups}
    return _windows(to, "Conv", (x, weight, bias), padding, stride, **more)


def _transposed(
    to: Graph,
    y: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> str:
    more = {"dilations": _pair(dilation), "group": groups, "output_padding": _pair(output_padding)}
    return _windows(to, "ConvTranspose", (x, weight, bias), padding, stride, **more)


def _part(to: Graph, y: Tensor, x: Tensor, index: Any) -> str:
    """What lies between two places along some axes: ``x[:, :a]``, ``x[..., a:, b:]``."""
    parts = list(index) if isinstance(index, tuple) else [index]
    name, lengths = to.name_of(x), x.shape
    if any(part is Ellipsis for part in parts):
        at = next(i for i, part in enumerate(parts) if part is Ellipsis)
        parts[at : at + 1] = [slice(None)] * (len(lengths) - len(parts) + 1)
    for axis, part in enumerate(parts):
        if not isinstance(part, slice) or part.step is not None:
            raise Unsupported("has nothing here for a part of a tensor that is no range")
        start, stop = part.start or 0, lengths[axis] if part.stop is None else part.stop
        if start < 0 or stop < 0:
            raise Unsupported("has nothing here for a part counted from the end")
        whole = start == 0 and stop >= lengths[axis]
        if not whole and (stop < lengths[axis] or not to.trim(name, axis, start)):
            ends = [to.constant(torch.tensor([value])) for value in (start, stop, axis)]
            name = to.add("Slice", [name, *ends])
    return name


def _interpolate(
    to: Graph, y: Tensor, x: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None, **more: Any,
) -> str:  # fmt: skip
    if mode not in ("nearest", "bilinear") or align_corners or any(more.values()):
        raise Unsupported(f"has nothing here for interpolation {mode}")
    linear = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    nearest = {
        "mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor",
    }  # fmt: skip
    shape = to.constant(torch.tensor(y.shape))
    return to.add("Resize", [to.name_of(x), "", "", shape], **(linear if mode == "bilinear" else nearest))


def _pool(
    to: Graph, y: Tensor, x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
    dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> str:  # fmt: skip
    if return_indices:
        raise Unsupported("has nothing here for places of maxima")
    more = {"kernel_shape": _pair(kernel_size), "dilations": _pair(dilation), "ceil_mode": int(ceil_mode)}
    return _windows(to, "MaxPool", (x,), padding, stride or kernel_size, **more)


def _mean(
    to: Graph, y: Tensor, x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
) -> str:  # fmt: skip
    if ceil_mode or divisor_override is not None:
        raise Unsupported("has nothing here for means of other than whole windows")
    more = {"kernel_shape": _pair(kernel_size), "count_include_pad": int(count_include_pad)}
    return _windows(to, "AveragePool", (x,), padding, stride or kernel_size, **more)


def _pad(
    to: Graph, y: Tensor, x: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> str:
    if mode not in ("constant", "reflect") or len(pad) != 4:
        raise Unsupported(f"has nothing here for padding {mode}")
    left, right, above, below = pad
    pads = to.constant(torch.tensor([0, 0, above, left, 0, 0, below, right]))
    return to.add("Pad", [to.name_of(x), pads, to.name_of(value or 0.0)], mode=mode)


def _instance_norm(
    to: Graph, y: Tensor, x: Tensor, running_mean: Any = None, running_var: Any = None,
    weight: Tensor | None = None, bias: Tensor | None = None, use_input_stats: bool = True,
    momentum: float = 0.1, eps: float = 1e-5,
) -> str:  # fmt: skip
    if not use_input_stats:
        raise Unsupported("has nothing here for instance norm by kept statistics")
    scale = to.constant(torch.ones(y.shape[1])) if weight is None else to.name_of(weight)
    shift = to.constant(torch.zeros(y.shape[1])) if bias is None else to.name_of(bias)
    return to.add("InstanceNormalization", [to.name_of(x), scale, shift], epsilon=eps)


def _batch_norm(
    to: Graph, y: Tensor, x: Tensor, running_mean: Tensor, running_var: Tensor, weight: Tensor,
    bias: Tensor, training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> str:  # fmt: skip
    if training:
        raise Unsupported("has nothing here for batch norm by the picture's own statistics")
    inputs = [to.name_of(one) for one in (x, weight, bias, running_mean, running_var)]
    return to.add("BatchNormalization", inputs, epsilon=eps)


def _clip(
    to: Graph, y: Tensor, x: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> str:
    return to.add("Clip", [to.name_of(one) for one in (x, min_val, max_val)])


def _picture_mean(to: Graph, y: Tensor, x: Tensor, dim: Sequence[int], keepdim: bool = False) -> str:
    return to.add("ReduceMean", [to.name_of(x)], axes=list(dim), keepdims=int(keepdim))


def _leaky(to: Graph, y: Tensor, x: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> str:
    return to.add("LeakyRelu", [to.name_of(x)], alpha=negative_slope)


def _same(to: Graph, y: Tensor, x: Tensor, *args: Any, **kwargs: Any) -> str:
    """Another type, place or order in memory: nothing that a model in float32 knows."""
    if y.dtype != torch.float32:
        raise Unsupported(f"has nothing here for {y.dtype}")
    return to.name_of(x)


def _dropout(
    to: Graph, y: Tensor, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> str:
    if training:
        raise Unsupported("has nothing here for dropout")
    return to.name_of(x)


def _zeros(to: Graph, y: Tensor, x: Tensor, *args: Any, **kwargs: Any) -> str:
    return to.constant(y)


def _joined(to: Graph, y: Tensor, tensors: Sequence[Tensor], dim: int = 0) -> str:
    return to.add("Concat", [to.name_of(one) for one in tensors], axis=dim)


def _of_one(kind: str) -> Callable[..., str]:
    return lambda to, y, x, inplace=False: to.add(kind, [to.name_of(x)])


def _of_two(kind: str) -> Callable[..., str]:
    return lambda to, y, a, b: to.add(kind, [to.name_of(a), to.name_of(b)])


OPERATIONS: dict[str, Callable[..., str]] = {
    "conv2d": _convolution,
    "conv_transpose2d": _transposed,
    "getitem": _part,
    "interpolate": _interpolate,
    "max_pool2d": _pool,
    "avg_pool2d": _mean,
    "pad": _pad,
    "instance_norm": _instance_norm,
    "batch_norm": _batch_norm,
    "hardtanh": _clip,
    "clamp": _clip,
    "mean": _picture_mean,
    "log": _of_one("Log"),
    "exp": _of_one("Exp"),
    "sqrt": _of_one("Sqrt"),
    "leaky_relu": _leaky,
    "relu": _of_one("Relu"),
    "tanh": _of_one("Tanh"),
    "cat": _joined,
    "add": _of_two("Add"),
    "sub": _of_two("Sub"),
    "mul": _of_two("Mul"),
    "div": _of_two("Div"),
    "truediv": _of_two("Div"),
    "dropout": _dropout,
    "new_zeros": _zeros,
    "to": _same,
    "float": _same,
    "contiguous": _same,
}
"""What is written down, by the names of torch's functions."""
