"""EfficientNet-Lite encoders for grey pictures, or for R'G'B'.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (ICML 2019),
in the Lite variant (no squeeze-and-excitation, ReLU6, stem and last stage not scaled). The padding is
TensorFlow's "same", which pads the right and bottom edge more, since the ImageNet weights were trained so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidcolor.networks.depthwise import DepthwiseConv, wants_quick_gradient

# (expansion, kernel, stride, channels, repeats) of EfficientNet-B0's seven stages
_B0_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_SCALES = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}
_STEM_CHANNELS = 32
_BATCH_NORM_EPS = 1e-3
# ImageNet weights expect (x - 127) / 128 for x in 0..255; L* in 0..100 stands in for the grey x
_SCALE, _SHIFT = 255.0 / 128.0, 127.0 / 128.0


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding: ceil(size / stride) outputs, extra padding at the end."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``(N, C, h, w)`` to ``(N, C', ceil(h/s), ceil(w/s))``."""
        return self.convolve(x, self.weight, self.bias)

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """As :meth:`forward`, with another weight and bias of the same shapes."""
        padding, skip = self.borders(x)
        if bias is not None and wants_quick_gradient(x, weight):
            y: Tensor = DepthwiseConv.apply(x, weight, bias, self.stride[0], padding)
        else:
            y = F.conv2d(x, weight, bias, self.stride[0], padding, 1, self.groups)
        return y[..., skip[0] :, skip[1] :] if any(skip) else y

    def borders(self, x: Tensor) -> tuple[list[int], tuple[int, int]]:
        """Padding above and left of ``x`` that is the same below and right, and results to leave out there.

        Where more is wanted below and right, a stride is added on all sides and the first row or column of
        results left out: that is quicker than to copy ``x`` into a larger map.
        """
        k, s = self.kernel_size[0], self.stride[0]
        wanted = [max((math.ceil(n / s) - 1) * s + k - n, 0) for n in x.shape[-2:]]
        odd = (wanted[0] % 2, wanted[1] % 2)
        return [w // 2 + s * o for w, o in zip(wanted, odd, strict=True)], odd


class ConvBN(nn.Sequential):
    """Convolution, BatchNorm and, with ``act``, ReLU6.

    With BatchNorm in evaluation mode, also inside a network that trains, its factor goes into the small
    weight instead of the large map: the same function and the same gradients with a pass less each way.
    """

    def __init__(
        self, c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1, act: bool = True
    ) -> None:
        conv = SameConv2d(c_in, c_out, kernel, stride, groups=groups, bias=False)
        layers: list[nn.Module] = [conv, nn.BatchNorm2d(c_out, eps=_BATCH_NORM_EPS)]
        super().__init__(*layers, *([nn.ReLU6(inplace=True)] if act else []))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, c_in, h, w)`` to ``(N, c_out, ceil(h/stride), ceil(w/stride))``."""
        conv, norm, *act = self
        assert isinstance(conv, SameConv2d) and isinstance(norm, nn.BatchNorm2d)
        assert norm.running_var is not None and norm.running_mean is not None
        if norm.training:
            y: Tensor = norm(conv(x))
        else:
            scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
            y = conv.convolve(
                x, conv.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale
            )
        return act[0](y) if act else y


class MBConv(nn.Module):
    """Inverted residual block: 1×1 expansion, depthwise convolution, linear 1×1 projection."""

    def __init__(self, c_in: int, c_out: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        hidden = c_in * expansion
        layers = [] if expansion == 1 else [ConvBN(c_in, hidden, 1)]
        layers.append(ConvBN(hidden, hidden, kernel, stride, groups=hidden))
        layers.append(ConvBN(hidden, c_out, 1, act=False))
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        """``(N, c_in, h, w)`` to ``(N, c_out, ceil(h/stride), ceil(w/stride))``."""
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


def _round_channels(channels: float) -> int:
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


class EfficientNetLite(nn.Module):
    """Feature pyramid of an EfficientNet-Lite without its classifier.

    Args:
        variant: ``lite0``, ``lite1`` or ``lite2``.
        in_channels: 1 for L* in 0..100, 3 for R'G'B' in 0..1.

    Attributes:
        channels: channels of the five outputs, at 1/2, 1/4, 1/8, 1/16 and 1/32 of the input's size.
    """

    def __init__(self, variant: str = "lite2", in_channels: int = 1) -> None:
        super().__init__()
        width, depth = _SCALES[variant]
        self._scale = _SCALE / (100.0 if in_channels == 1 else 1.0)
        self.stem = ConvBN(in_channels, _STEM_CHANNELS, 3, 2)
        self.stages = nn.ModuleList()
        self._taps: list[int] = []
        c_in, outputs = _STEM_CHANNELS, []
        for index, (expansion, kernel, stride, channels, repeats) in enumerate(_B0_STAGES):
            fixed = index in (0, len(_B0_STAGES) - 1)
            c_out = _round_channels(channels * width)
            count = repeats if fixed else math.ceil(repeats * depth)
            blocks = [
                MBConv(c_in if i == 0 else c_out, c_out, expansion, kernel, stride if i == 0 else 1)
                for i in range(count)
            ]
            self.stages.append(nn.Sequential(*blocks))
            c_in = c_out
            outputs.append(c_out)
            if index + 1 == len(_B0_STAGES) or _B0_STAGES[index + 1][2] == 2:
                self._taps.append(index)
        self.channels = tuple(outputs[i] for i in self._taps)

    def forward(self, picture: Tensor) -> list[Tensor]:
        """Five maps, finest first (see ``channels``), of L* ``(N, 1, h, w)`` or R'G'B' ``(N, 3, h, w)``."""
        # scaled before it is rounded to the weights' precision: L* itself would lose two bits of it
        dtype = next(self.stem.parameters()).dtype
        x = self.stem((picture * self._scale - _SHIFT).to(dtype))
        features = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in self._taps:
                features.append(x)
        return features

    def load_imagenet(self, state: Mapping[str, Tensor]) -> None:
        """Take ImageNet weights whose tensors stand in the usual order (stem, blocks, head, classifier).

        For L*, the three input channels of the stem are added up: grey gives each of them the same.

        Raises:
            ValueError: too few tensors, or a shape that differs: the weights belong to another variant.
        """
        own = self.state_dict()
        values = [v for k, v in state.items() if not k.endswith("num_batches_tracked")]
        names = [k for k in own if not k.endswith("num_batches_tracked")]
        if len(values) < len(names):
            raise ValueError(f"{len(values)} tensors in the weights, {len(names)} needed")
        for name, value in zip(names, values, strict=False):
            if name == "stem.0.weight" and value.dim() == 4 and own[name].shape[1] == 1:
                value = value.sum(1, keepdim=True)
            if own[name].shape != value.shape:
                raise ValueError(
                    f"{name}: {tuple(own[name].shape)} here, {tuple(value.shape)} in the weights"
                )
            own[name] = value.to(torch.float32)
        self.load_state_dict(own)
