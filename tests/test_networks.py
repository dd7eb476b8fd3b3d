from __future__ import annotations

import pytest
import torch

from vidcolor.networks.efficientnet import ConvBN, EfficientNetLite
from vidcolor.networks.unet import LiteUNet


@pytest.mark.parametrize("variant", ["lite0", "lite1", "lite2"])
def test_encoder_gives_five_scales(variant: str) -> None:
    encoder = EfficientNetLite(variant).eval()
    features = encoder(torch.rand(1, 1, 64, 96) * 100)
    assert [tuple(f.shape[-2:]) for f in features] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]
    assert tuple(f.shape[1] for f in features) == encoder.channels


def imagenet_state(encoder: EfficientNetLite) -> dict[str, torch.Tensor]:
    """What an ImageNet checkpoint looks like: the same tensors in order, a stem for RGB, a classifier."""
    torch.manual_seed(3)
    state = {f"timm.{k}": torch.rand_like(v.float()) for k, v in encoder.state_dict().items()}
    state["timm.stem.0.weight"] = torch.rand(32, 3, 3, 3)
    return state | {"classifier.weight": torch.rand(1000, 1280)}


def test_imagenet_weights_are_taken_and_the_stem_folded() -> None:
    encoder = EfficientNetLite("lite0")
    state = imagenet_state(encoder)
    encoder.load_imagenet(state)
    assert torch.allclose(encoder.stem[0].weight[:, 0], state["timm.stem.0.weight"].sum(1))
    name = "stages.6.0.layers.2.0.weight"
    assert torch.equal(encoder.state_dict()[name], state[f"timm.{name}"])


def test_encoder_of_rgb_keeps_its_stem_and_sees_a_grey_picture_as_the_one_of_l_does() -> None:
    coloured, grey = EfficientNetLite("lite0", in_channels=3).eval(), EfficientNetLite("lite0").eval()
    state = imagenet_state(grey)
    coloured.load_imagenet(state)
    grey.load_imagenet(state)
    picture = torch.rand(1, 1, 64, 64)
    for one, other in zip(coloured(picture.expand(1, 3, -1, -1)), grey(picture * 100), strict=True):
        assert torch.allclose(one, other, rtol=1e-3)


@pytest.mark.parametrize(("kernel", "stride", "groups"), [(1, 1, 1), (3, 2, 1), (5, 2, 8)])
def test_folded_batch_norm_gives_the_same_maps_and_gradients(kernel: int, stride: int, groups: int) -> None:
    torch.manual_seed(5)
    layer = ConvBN(8, 16, kernel, stride, groups)
    norm = layer[1]
    for tensor in (norm.weight, norm.running_var):
        torch.nn.init.uniform_(tensor, 0.5, 2.0)
    for tensor in (norm.bias, norm.running_mean):
        torch.nn.init.normal_(tensor)
    layer.eval()
    x = torch.randn(2, 8, 9, 12)
    plain = torch.nn.functional.relu6(norm(layer[0](x)))
    assert torch.allclose(layer(x), plain, atol=1e-5)
    parameters = list(layer.parameters())
    assert len(parameters) == 3
    wanted = torch.autograd.grad(plain.square().sum(), parameters)
    found = torch.autograd.grad(layer(x).square().sum(), parameters)
    assert all(torch.allclose(f, w, rtol=1e-4, atol=1e-3) for f, w in zip(found, wanted, strict=True))


def test_batch_norm_in_training_mode_uses_the_batch_and_keeps_statistics() -> None:
    layer = ConvBN(3, 4, 3, act=False)
    y = layer(torch.randn(4, 3, 8, 8))
    assert torch.allclose(y.mean((0, 2, 3)), torch.zeros(4), atol=1e-5)
    assert layer[1].num_batches_tracked == 1


def test_imagenet_weights_of_another_variant_are_refused() -> None:
    with pytest.raises(ValueError, match="in the weights"):
        EfficientNetLite("lite2").load_imagenet(imagenet_state(EfficientNetLite("lite0")))


def test_generator_has_about_six_million_parameters_and_fits_into_30_megabytes() -> None:
    parameters = sum(p.numel() for p in LiteUNet().parameters())
    assert 4e6 < parameters < 8e6
    assert parameters * 2 < 30e6


def test_generator_predicts_ab_at_half_size_within_bounds() -> None:
    network = LiteUNet("lite0", (16, 16, 8, 8)).eval()
    torch.nn.init.normal_(network.head.weight, std=10.0)
    ab = network(torch.rand(2, 1, 64, 96) * 100)
    assert ab.shape == (2, 2, 32, 48)
    assert 100 < ab.abs().max() <= 110
