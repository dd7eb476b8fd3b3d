from __future__ import annotations

import pytest
import torch
from generators import GENERATORS, lively
from torch import nn

from vidcolor.networks.base import scale_lab
from vidcolor.networks.cyclegan import CycleGenerator
from vidcolor.networks.encoder_unet import EncoderUNet, ImageNetEncoder
from vidcolor.networks.pix2pix import Pix2PixUNet
from vidcolor.networks.pix2pixhd import Pix2PixHD

HALF_SIZE = ("lite", "evened lite", "resnet", "mobilenet")


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("size", [(1, 1), (2, 3)], ids=str)
def test_every_multiple_gives_bounded_ab(name: str, size: tuple[int, int]) -> None:
    network = lively(name)
    height, width = (n * network.multiple for n in size)
    with torch.no_grad():
        ab = network(torch.rand(2, 1, height, width) * 100)
    k = 2 if name in HALF_SIZE else 1
    assert ab.shape == (2, 2, height // k, width // k)
    assert ab.abs().max() <= 110


@pytest.mark.parametrize("name", GENERATORS)
def test_bf16_weights_give_float32_that_is_close(name: str) -> None:
    network = lively(name)
    luminance = torch.rand(1, 1, 64, 64) * 100
    with torch.no_grad():
        exact = network(luminance)
        rounded = network.to(torch.bfloat16)(luminance)
    assert rounded.dtype == torch.float32
    assert (rounded - exact).square().mean().sqrt() < 0.05 * exact.std() + 0.5


@pytest.mark.parametrize("name", GENERATORS)
def test_every_parameter_learns(name: str) -> None:
    network = lively(name).train()
    network(torch.rand(2, 1, 64, 64) * 100).square().mean().backward()
    without = [n for n, p in network.named_parameters() if p.grad is None]
    assert not without


@pytest.mark.parametrize("name", GENERATORS)
def test_a_picture_teaches_the_same_alone_and_among_others(name: str) -> None:
    """Channels last, as in training: there torch's InstanceNorm learns wrongly from a single picture."""
    network = lively(name).to(memory_format=torch.channels_last)
    pictures, wanted = torch.rand(3, 1, 64, 64) * 100, torch.rand(3, 2, 64, 64)

    def gradients(parts: int) -> torch.Tensor:
        network.zero_grad()
        for picture, ab in zip(pictures.chunk(parts), wanted.chunk(parts), strict=True):
            made = network(picture.to(memory_format=torch.channels_last))
            (made * ab[..., : made.shape[-2], : made.shape[-1]]).sum().backward()
        return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])

    together = gradients(1)
    assert (gradients(3) - together).norm() < 1e-3 * together.norm()


def test_dropout_is_for_training_alone_and_for_the_three_innermost_layers() -> None:
    network = Pix2PixUNet(4, 6)
    assert [layer[-1].p for layer in network.up] == [0.5, 0.5, 0.5, 0.0, 0.0]
    luminance = torch.rand(2, 1, 64, 64) * 100
    with torch.no_grad():
        assert not torch.equal(network(luminance), network(luminance))
        network.eval()
        assert torch.equal(network(luminance), network(luminance))


def test_pix2pix_has_the_paper_s_size_and_no_norm_at_either_end() -> None:
    with torch.device("meta"):
        network = Pix2PixUNet()
    assert network.multiple == 256
    assert 54e6 < sum(p.numel() for p in network.parameters()) < 55e6
    norms = [any(isinstance(m, nn.BatchNorm2d) for m in layer) for layer in network.down]
    assert norms == [False, *[True] * 6, False]


def test_pix2pix_trains_on_a_single_picture() -> None:
    assert Pix2PixUNet(2, 7).train()(torch.rand(1, 1, 128, 128)).isfinite().all()


@pytest.mark.parametrize("network", [Pix2PixUNet(32, 5), Pix2PixHD(32, 2, 1), CycleGenerator(32, 1)])
def test_weights_start_as_in_the_papers(network: nn.Module) -> None:
    weights = torch.cat([p.flatten() for n, p in network.named_parameters() if p.dim() == 4])
    assert abs(weights.std().item() - 0.02) < 0.001
    assert abs(weights.mean().item()) < 0.001
    scales = [m.weight for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    if scales:
        assert abs(torch.cat(scales).mean().item() - 1.0) < 0.005


def test_pix2pixhd_has_the_paper_s_size() -> None:
    with torch.device("meta"):
        plain, enhanced = Pix2PixHD(), Pix2PixHD(enhancer=True)
    assert 181e6 < sum(p.numel() for p in plain.parameters()) < 184e6
    assert (plain.multiple, enhanced.multiple) == (32, 64)


def test_the_enhancer_goes_on_from_the_global_generator() -> None:
    plain, enhanced = Pix2PixHD(4, 2, 1), Pix2PixHD(4, 2, 1, enhancer=True)
    enhanced.trunk.load_state_dict(plain.trunk.state_dict())
    assert torch.equal(enhanced.trunk[0][1].weight, plain.trunk[0][1].weight)


def test_cyclegan_colours_with_the_ab_of_the_grey_picture_s_translation() -> None:
    network = lively("cyclegan")
    luminance = torch.rand(1, 1, 16, 24) * 100
    lab = scale_lab(luminance, torch.zeros(1, 2, 16, 24))
    assert lab[:, 0].min() >= -1 and lab[:, 0].max() <= 1
    with torch.no_grad():
        translated = network.translate(lab)
        assert translated.shape == lab.shape
        assert torch.equal(network(luminance), translated[:, 1:] * 110.0)


def test_scaled_lab_lies_in_plus_minus_one() -> None:
    lab = scale_lab(torch.tensor([0.0, 50.0, 100.0]).view(3, 1, 1, 1), torch.full((3, 2, 1, 1), 110.0))
    assert lab[:, 0].flatten().tolist() == [-1.0, 0.0, 1.0]
    assert lab[:, 1:].flatten().tolist() == [1.0] * 6


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "mobilenet_v2"])
def test_imagenet_encoder_gives_five_scales_and_takes_torchvision_s_weights(name: str) -> None:
    import torchvision.models

    state = getattr(torchvision.models, name)(weights=None).state_dict()
    encoder = ImageNetEncoder(name).eval()
    encoder.load_imagenet(state)
    features = encoder(torch.rand(1, 1, 64, 96) * 100)
    assert [tuple(f.shape[-2:]) for f in features] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]
    assert tuple(f.shape[1] for f in features) == encoder.channels


def test_imagenet_encoder_computes_what_torchvision_computes_on_a_grey_picture() -> None:
    import torchvision.models

    torch.manual_seed(4)
    whole = torchvision.models.mobilenet_v2(weights=None).eval()
    encoder = ImageNetEncoder("mobilenet_v2").eval()
    encoder.load_imagenet(whole.state_dict())
    grey = torch.rand(1, 1, 64, 64)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        expected = whole.features[:-1]((grey - mean) / std)
        assert torch.allclose(encoder(grey * 100)[-1], expected, rtol=1e-3, atol=1e-5)


def test_imagenet_weights_of_another_encoder_are_refused_by_name() -> None:
    import torchvision.models

    resnet = EncoderUNet("resnet18", (8, 8, 8, 8)).encoder
    with pytest.raises(ValueError, match=r"^conv1\.weight is not in the weights"):
        resnet.load_imagenet(torchvision.models.mobilenet_v2(weights=None).state_dict())
    narrow = {k: v[..., :1] if v.dim() == 4 else v for k, v in resnet.state_dict().items()}
    state = {k.split(".", 2)[2]: v for k, v in narrow.items()}
    with pytest.raises(ValueError, match=r"^conv1\.weight: \(64, 3, 7, 7\) here, \(64, 3, 7, 1\)"):
        resnet.load_imagenet(state)


@pytest.mark.parametrize("value", [0, -1, 10**9, 2.0, "64", True, None], ids=repr)
def test_absurd_sizes_are_refused(value: object) -> None:
    for build in (Pix2PixUNet, Pix2PixHD, CycleGenerator):
        with pytest.raises(ValueError, match="filters must be an integer from"):
            build(value)  # type: ignore[arg-type]
