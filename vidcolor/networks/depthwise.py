"""Depthwise convolution whose gradient is quick on CPUs in bfloat16.

oneDNN has no fast path for some gradients of bfloat16 depthwise convolutions (those of 5×5 weights and
of strided inputs take ten times as long as in float32), so these are computed in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def wants_quick_gradient(x: Tensor, weight: Tensor) -> bool:
    """Whether autocast would run this depthwise convolution of a CPU in bfloat16, with a gradient."""
    return (
        weight.shape[1] == 1
        and x.device.type == "cpu"
        and x.requires_grad
        and torch.is_grad_enabled()
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
    )


class DepthwiseConv(torch.autograd.Function):
    """``conv2d`` with as many groups as channels; arguments x, weight, bias, stride, padding."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: list[int]) -> Tensor:
        """Convolve ``(N, C, h, w)`` in bfloat16."""
        x, low = x.to(torch.bfloat16), weight.to(torch.bfloat16)
        ctx.save_for_backward(x, weight)
        ctx.geometry = (stride, padding)
        return torch.conv2d(x, low, bias.to(torch.bfloat16), stride, padding, 1, x.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, weight and bias; each in the precision in which it is quick."""
        x, weight = ctx.saved_tensors
        stride, padding = ctx.geometry
        fixed = ([stride] * 2, padding, [1, 1], False, [0, 0], x.shape[1])
        back = torch.ops.aten.convolution_backward
        grad = grad.contiguous(memory_format=torch.channels_last)
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        of_x = of_weight = of_bias = None
        low, small = weight.to(torch.bfloat16), stride == 1 and weight.shape[-1] == 3
        if small:
            of_x, of_weight, _ = back(grad, x, low, None, *fixed, [wants_x, wants_weight, False])
        elif stride == 1:
            if wants_x:
                of_x, _, _ = back(grad, x, low, None, *fixed, [True, False, False])
            if wants_weight:
                _, of_weight, _ = back(
                    grad.float(), x.float(), weight.float(), None, *fixed, [False, True, False]
                )
        else:
            of_x, of_weight, _ = back(
                grad.float(), x.float(), weight.float(), None, *fixed, [wants_x, wants_weight, False]
            )
        if wants_bias:
            of_bias = grad.float().sum((0, 2, 3))
        return (
            None if of_x is None else of_x.to(x.dtype),
            None if of_weight is None else of_weight.to(weight.dtype),
            of_bias,
            None,
            None,
        )
