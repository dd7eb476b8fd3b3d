"""Generators made quick for use: fewer passes over the maps, the same function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from vidcolor.networks.efficientnet import SameConv2d
from vidcolor.torchthreads import torch_threads

_MOST_SHAPES = 4
"""Shapes of input for which a convolution keeps its weights repacked: a film has two or three."""


@torch_threads(1)
def fuse_batch_norm(module: nn.Module) -> None:
    """Fold each BatchNorm that follows a convolution into it: the same function, a third fewer passes."""

    def add(layers: list[nn.Module], layer: nn.Module) -> None:
        before = layers[-1] if layers else None
        if isinstance(layer, nn.BatchNorm2d) and isinstance(before, (nn.Conv2d, nn.ConvTranspose2d)):
            layers[-1] = fuse_conv_bn_eval(before, layer, transpose=isinstance(before, nn.ConvTranspose2d))
        else:
            layers.append(layer)

    _rebuild(module, add)


def _rebuild(module: nn.Module, add: Callable[[list[nn.Module], nn.Module], None]) -> None:
    """Make every sequence in ``module`` anew; ``add`` joins each layer to those before it."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Sequential):
            layers: list[nn.Module] = []
            for layer in child:
                add(layers, layer)
            setattr(module, name, nn.Sequential(*layers))
        _rebuild(getattr(module, name), add)


def fuse_activations(module: nn.Module) -> None:
    """Have oneDNN apply ReLU and ReLU6 while it writes what it convolves, from weights that it has repacked.

    For a CPU, and without gradients. These are the operations that torch.compile makes of such layers,
    without its minutes of compiling; where this torch has them not, nothing changes.
    """
    dtype = next((p.dtype for p in module.parameters()), torch.float32)
    if _available(dtype):
        _rebuild(module, _with_activation)


def _with_activation(layers: list[nn.Module], layer: nn.Module) -> None:
    before = layers[-1] if layers else None
    activation = _ACTIVATIONS.get(type(layer))
    if isinstance(before, FusedConv2d) and activation is not None and before.plain:
        before.activation = activation
    elif type(layer) in (nn.Conv2d, SameConv2d):
        layers.append(FusedConv2d(layer))
    else:
        layers.append(layer)


_Activation: TypeAlias = tuple[str, tuple[float, ...]]
_NONE: _Activation = ("none", ())
_ACTIVATIONS: dict[type[nn.Module], _Activation] = {
    nn.ReLU: ("relu", ()),
    nn.ReLU6: ("hardtanh", (0.0, 6.0)),
}


class FusedConv2d(nn.Module):
    """A convolution and the activation after it, as one operation of oneDNN.

    Args:
        convolution: ``Conv2d`` or :class:`SameConv2d` with its weights; padded with zeros.
    """

    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        assert isinstance(convolution, nn.Conv2d)
        self.convolution = convolution
        self.activation = _NONE
        self._packed: dict[tuple[int, ...], Tensor] = {}

    @property
    def plain(self) -> bool:
        """Whether no activation is part of it yet."""
        return self.activation == _NONE

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, h, w)`` to what convolution and activation make of it."""
        own = self.convolution
        padding, skip = own.borders(x) if isinstance(own, SameConv2d) else (list(own.padding), (0, 0))
        geometry = (padding, list(own.stride), list(own.dilation), own.groups)
        shape = tuple(x.shape)
        packed = self._packed.get(shape)
        if packed is None:
            if len(self._packed) >= _MOST_SHAPES:
                self._packed.clear()  # other threads may be about to use theirs, which they hold
            packed = _operations()._reorder_convolution_weight(own.weight.detach(), *geometry, list(shape))
            self._packed[shape] = packed
        kind, numbers = self.activation
        y: Tensor = _operations()._convolution_pointwise(
            x, packed, own.bias, *geometry, kind, list(numbers), ""
        )
        return y[..., skip[0] :, skip[1] :] if any(skip) else y


def _operations() -> Any:
    return torch.ops.mkldnn


@torch.inference_mode()
def _available(dtype: torch.dtype) -> bool:
    """Whether torch has the operations and the processor the arithmetic: a small convolution is tried."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    with torch.random.fork_rng(devices=[]):  # skip_init would import a quarter of torch's modules, and sympy
        small = nn.Conv2d(8, 8, 3, padding=1).to(dtype)
    for values in small.parameters():
        values.copy_(torch.linspace(-0.1, 0.1, values.numel()).view_as(values))
    x = torch.linspace(-1.0, 1.0, 8 * 16 * 16, dtype=dtype).view(1, 8, 16, 16)
    fused = FusedConv2d(small)
    fused.activation = _ACTIVATIONS[nn.ReLU]
    try:
        return torch.allclose(fused(x).float(), small(x).relu().float(), atol=1e-2)
    except (RuntimeError, NotImplementedError, AttributeError, TypeError):
        return False
