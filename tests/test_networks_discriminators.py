from __future__ import annotations

import pytest
import torch
from torch import nn

from vidcolor.networks.discriminators import MultiScale, PatchGAN, Projected


@pytest.mark.parametrize(("n_layers", "field"), [(1, 16), (2, 34), (3, 70), (4, 142)])
def test_a_logit_of_patchgan_sees_as_many_pixels_as_the_paper_says(n_layers: int, field: int) -> None:
    network = PatchGAN(1, 2, n_layers).eval()
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.1)  # no path is cut off by chance
    picture = torch.rand(1, 1, 256, 256, requires_grad=True)
    logits = network(picture)[0][-1]
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert picture.grad is not None
    rows, columns = (picture.grad[0, 0] != 0).nonzero(as_tuple=True)
    assert rows.max() - rows.min() + 1 == field
    assert columns.max() - columns.min() + 1 == field


@pytest.mark.parametrize("norm", ["batch", "instance", "spectral"])
def test_patchgan_gives_its_maps_and_then_logits(norm: str) -> None:
    [maps] = PatchGAN(3, 4, norm=norm)(torch.randn(2, 3, 128, 96))
    shapes = [(4, 64, 48), (8, 32, 24), (16, 16, 12), (32, 15, 11), (1, 14, 10)]
    assert [tuple(m.shape[1:]) for m in maps] == shapes


def test_an_unknown_norm_is_refused() -> None:
    with pytest.raises(ValueError, match="batch, instance, spectral"):
        PatchGAN(norm="group")


@pytest.mark.parametrize(("norm", "kind"), [("batch", nn.BatchNorm2d), ("instance", nn.InstanceNorm2d)])
def test_the_first_and_the_last_layer_have_no_norm(norm: str, kind: type[nn.Module]) -> None:
    network = PatchGAN(3, 4, norm=norm)
    has_norm = [any(isinstance(m, kind) for m in layer.modules()) for layer in network.layers]
    assert has_norm == [False, True, True, True, False]


def test_patchgan_starts_from_the_paper_s_weights() -> None:
    network = PatchGAN(3, 64)
    weight = network.layers[2][0].weight
    assert abs(weight.std().item() - 0.02) < 0.001
    assert abs(weight.mean().item()) < 0.001
    norm = network.layers[3][1].weight
    assert abs(norm.mean().item() - 1.0) < 0.005
    assert 0.015 < norm.std().item() < 0.025


def test_spectral_norm_bounds_each_layer() -> None:
    network = PatchGAN(3, 8, norm="spectral")
    for _ in range(30):
        network(torch.randn(1, 3, 64, 64))
    for layer in network.layers:
        weight = (layer[0] if isinstance(layer, nn.Sequential) else layer).weight
        assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("scales", [1, 2, 3])
def test_multi_scale_gives_a_list_for_each_size(scales: int) -> None:
    maps = MultiScale(scales, 3, 4)(torch.randn(1, 3, 128, 128))
    assert [m[-1].shape[-1] for m in maps] == [14, 6, 2][:scales]
    assert all(len(m) == 5 and m[-1].shape[1] == 1 for m in maps)


def test_the_smaller_scale_sees_the_halved_picture() -> None:
    network = MultiScale(2, 1, 2, norm="spectral").eval()
    flat = torch.full((1, 1, 128, 128), 0.3)
    maps = network(flat)[1]
    expected = network.scales[1](flat[..., ::2, ::2])[0]
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(maps, expected, strict=True))


CHANNELS = (4, 6, 8, 10, 12)


def pyramid(height: int, width: int, *, learn: bool = False) -> list[torch.Tensor]:
    """Maps as a feature network gives them, at 1/2 to 1/32."""
    return [torch.rand(2, c, height >> i, width >> i, requires_grad=learn) for i, c in enumerate(CHANNELS, 1)]


@pytest.fixture(scope="module")
def projected() -> Projected:
    torch.manual_seed(2)
    return Projected(CHANNELS, 8)


def test_projected_judges_four_scales(projected: Projected) -> None:
    maps = projected(pyramid(128, 96))
    assert [len(m) for m in maps] == [4, 3, 2, 1]
    assert {tuple(m[-1].shape) for m in maps} == {(2, 1, 4, 3)}


def test_projected_lets_gradients_into_features_and_its_heads_alone(projected: Projected) -> None:
    features = pyramid(64, 64, learn=True)
    projected.requires_grad_(False).requires_grad_(True)  # as a step of the generator does
    sum(maps[-1].square().sum() for maps in projected(features)).backward()  # type: ignore[union-attr]
    assert features[0].grad is None  # the finest map is not judged
    assert all(f.grad is not None and f.grad.abs().sum() > 0 for f in features[1:])
    with_gradient = {n.split(".")[0] for n, p in projected.named_parameters() if p.grad is not None}
    assert with_gradient == {"heads"}
    assert all(p.requires_grad == n.startswith("heads.") for n, p in projected.named_parameters())
