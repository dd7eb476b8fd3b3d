from __future__ import annotations

import pytest
import torch

from vidcolor.networks.depthwise import DepthwiseConv, wants_quick_gradient
from vidcolor.networks.efficientnet import ConvBN


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
@pytest.mark.parametrize("frozen", [False, True])
def test_quick_gradients_are_those_of_float32(kernel: int, stride: int, frozen: bool) -> None:
    torch.manual_seed(6)
    layer = ConvBN(8, 8, kernel, stride, groups=8).eval().requires_grad_(not frozen)
    x = torch.randn(2, 8, 12, 9, requires_grad=True)
    inputs = [x, *(p for p in layer.parameters() if p.requires_grad)]
    wanted = torch.autograd.grad(layer(x).square().sum(), inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    found = torch.autograd.grad(y.float().square().sum(), inputs)
    for f, w in zip(found, wanted, strict=True):
        assert f.shape == w.shape
        assert (f - w).norm() < 0.02 * w.norm()


def test_it_is_for_training_in_bf16_alone() -> None:
    x, depthwise, dense = (
        torch.randn(1, 4, 8, 8, requires_grad=True),
        torch.ones(4, 1, 3, 3),
        torch.ones(4, 4, 3, 3),
    )
    assert not wants_quick_gradient(x, depthwise)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert wants_quick_gradient(x, depthwise)
        assert not wants_quick_gradient(x, dense)
        assert not wants_quick_gradient(x.detach(), depthwise)
        with torch.no_grad():
            assert not wants_quick_gradient(x, depthwise)
    y = DepthwiseConv.apply(x, depthwise, torch.zeros(4), 1, [1, 1])
    assert y.shape == x.shape
