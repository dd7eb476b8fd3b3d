"""Scores of pictures and of sets of pictures, against values known and against other implementations."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import scipy.linalg
import skimage.metrics
import torch
from judges import CHANNELS, photo, save_judges
from numpy.typing import NDArray
from torch.overrides import TorchFunctionMode

from vidcolor.evaluation.backbones import load_backbones
from vidcolor.evaluation.distances import frechet, kernel_distance
from vidcolor.evaluation.pixels import ab_error, colourfulness, psnr, ssim
from vidcolor.torchthreads import torch_threads

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def few_features() -> Iterator[None]:
    """The judge of these tests gives fewer features than the real one."""
    with mock.patch("vidcolor.evaluation.backbones._FEATURES", CHANNELS):
        yield


def silent(line: str) -> None:
    raise AssertionError(f"nothing is to be said, not {line!r}")


def vectors(count: int, length: int, seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((count, length)) @ rng.standard_normal((length, length))
    return (mixed + rng.standard_normal(length)).astype(np.float32)


def direct_frechet(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    a, b = one.astype(np.float64), other.astype(np.float64)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.real(scipy.linalg.sqrtm(cov_a @ cov_b))
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root))


def test_psnr() -> None:
    zero = np.zeros((4, 4, 3), np.uint8)
    assert psnr(zero, zero) == 100.0
    assert psnr(zero, zero + 255) == pytest.approx(0.0)
    assert psnr(zero, zero + 1) == pytest.approx(48.13, abs=0.01)


def test_ab_error_of_grey_is_the_mean_chroma() -> None:
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    assert ab_error(np.full_like(red, 90), red) == pytest.approx(104.55, abs=0.05)  # chroma of sRGB red


def test_colourfulness_of_known_pictures() -> None:
    assert colourfulness(np.full((8, 8, 3), 77, np.uint8)) == 0.0
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255  # rg = 255, yb = 127.5, no spread
    assert colourfulness(red) == pytest.approx(0.3 * np.hypot(255, 127.5))
    assert colourfulness(red, magnitudes=True) == pytest.approx(0.3 * np.hypot(255, 127.5))


def test_the_two_forms_of_colourfulness_differ_where_opposite_colours_meet() -> None:
    halves = np.zeros((8, 8, 3), np.uint8)
    halves[:, :4, 0] = halves[:, 4:, 1] = 200  # red and green: rg = ±200, yb = 100
    assert colourfulness(halves) == pytest.approx(200 + 0.3 * 100)
    assert colourfulness(halves, magnitudes=True) == pytest.approx(0.3 * np.hypot(200, 100))


def test_ssim_is_that_of_two_other_implementations() -> None:
    from torchmetrics.functional.image import structural_similarity_index_measure

    one = photo(1)
    noise = np.random.default_rng(0).integers(-20, 20, one.shape)
    other = np.clip(one + noise, 0, 255).astype(np.uint8)
    found = ssim(one, other)
    assert 0.1 < found < 0.99
    direct = skimage.metrics.structural_similarity(
        one, other, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert found == pytest.approx(direct, abs=1e-4)
    x, y = (torch.from_numpy(p).permute(2, 0, 1)[None].double() for p in (one, other))
    _, everywhere = structural_similarity_index_measure(x, y, data_range=255.0, return_full_image=True)
    inside = everywhere[..., 5:-5, 5:-5]  # that library goes on into mirrored edges
    assert found == pytest.approx(float(inside.mean()), abs=1e-4)


def test_ssim_of_equal_and_of_tiny_pictures() -> None:
    assert ssim(photo(1), photo(1)) == pytest.approx(1.0)
    assert math.isnan(ssim(photo(1, 10, 40), photo(2, 10, 40)))


@pytest.mark.parametrize(("count", "other_count"), [(12, 12), (90, 90), (12, 90), (50, 20)])
def test_frechet_distance_is_that_of_the_direct_formula(count: int, other_count: int) -> None:
    one, other = vectors(count, 24, 1), vectors(other_count, 24, 2)
    assert frechet(one, other) == pytest.approx(direct_frechet(one, other), rel=1e-4)
    assert frechet(one, one) == pytest.approx(0.0, abs=1e-6)


def test_fid_is_within_one_percent_of_another_implementation_on_the_same_tensors(tmp_path: Path) -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance

    inception = load_backbones(save_judges(tmp_path, alexnet=False), CPU, silent).inception
    assert inception is not None

    class Features(torch.nn.Module):
        num_features = CHANNELS

        def forward(self, rgb: torch.Tensor) -> torch.Tensor:
            return inception.run(rgb)

    rng = np.random.default_rng(3)
    batches = [torch.from_numpy(rng.integers(0, top, (24, 3, 299, 299), np.uint8)) for top in (256, 200)]
    other = FrechetInceptionDistance(feature=Features())
    for real, batch in zip((True, False), batches, strict=True):
        other.update(batch, real=real)
    found = frechet(*(inception.run(batch).numpy() for batch in batches))
    assert found > 0.0
    assert found == pytest.approx(float(other.compute()), rel=0.01)


def test_kid_is_that_of_another_implementation() -> None:
    from torchmetrics.image.kid import poly_mmd

    one, other = vectors(40, 16, 1), vectors(40, 16, 2)
    direct = float(poly_mmd(torch.from_numpy(one).double(), torch.from_numpy(other).double()))
    mean, deviation = kernel_distance(one, other, subset=40)  # every subset is the whole
    assert mean == pytest.approx(direct, rel=1e-9)
    assert deviation == pytest.approx(0.0, abs=1e-9 * abs(direct))


@pytest.mark.parametrize("subset", [10, 40])
def test_kid_of_pictures_with_themselves_is_zero_where_they_are_known_to_be_the_same(subset: int) -> None:
    features = vectors(40, 16, 1)
    by_chance = kernel_distance(features, vectors(40, 16, 2), subset)[1] / 10
    assert abs(kernel_distance(features, features, subset, paired=True)[0]) < 3 * by_chance + 1e-9
    assert kernel_distance(features, features, subset)[0] < -5 * by_chance


def test_kid_repeats_itself_and_its_seed_matters() -> None:
    one, other = vectors(40, 16, 1), vectors(40, 16, 2)
    assert kernel_distance(one, other, 10) == kernel_distance(one, other, 10)
    assert kernel_distance(one, other, 10) != kernel_distance(one, other, 10, seed=1)


def test_lpips_is_its_formula_on_the_features_of_the_trunk_that_was_named(tmp_path: Path) -> None:
    import importlib.resources

    from torchvision.models import alexnet

    folder = save_judges(tmp_path, inception=False)
    judge = load_backbones(folder, CPU, silent).alexnet
    assert judge is not None
    pair = [torch.from_numpy(photo(s, 299, 299)).permute(2, 0, 1)[None] for s in (1, 2)]
    heads = torch.load(
        str(importlib.resources.files("lpips") / "weights/v0.1/alex.pth"),
        map_location="cpu",
        weights_only=True,
    )
    trunk = alexnet(weights=None).features.eval()
    state = torch.load(folder / "alexnet.pth", weights_only=True)
    trunk.load_state_dict({k[9:]: v for k, v in state.items() if k.startswith("features.")})
    shift = torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
    scale = torch.tensor([0.458, 0.448, 0.450])[:, None, None]
    x = (torch.cat(pair).float() / 127.5 - 1.0 - shift) / scale
    total, stage = 0.0, 0
    with torch.no_grad():
        for layer in trunk:
            x = layer(x)
            if isinstance(layer, torch.nn.ReLU):
                unit = x / (x.norm(dim=1, keepdim=True) + 1e-10)
                weighted = (unit[0] - unit[1]) ** 2 * heads[f"lin{stage}.model.1.weight"][0]
                total += float(weighted.sum(0).mean())
                stage += 1
    assert stage == 5
    assert float(judge.run(*pair)) == pytest.approx(total, rel=1e-3)
    assert float(judge.run(pair[0], pair[0])) == 0.0


def test_a_library_that_is_missing_leaves_its_column_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "lpips", None)
    found = load_backbones(save_judges(tmp_path), CPU, silent)
    assert found.inception is not None and found.alexnet is None
    assert "pip install" in found.missing["alexnet"]


def test_judging_with_networks_of_a_folder_gives_no_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_backbones(save_judges(tmp_path), CPU, silent)
    assert not caught


def test_distances_of_sets_keep_to_one_thread() -> None:
    """Their products are small, and the threads of a BLAS wait for each other by spinning."""
    seen: dict[str, set[int]] = {}

    class Watching(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.setdefault(func.__name__, set()).add(torch.get_num_threads())
            return func(*args, **(kwargs or {}))

    one, other = vectors(40, 16, 1), vectors(40, 16, 2)
    with torch_threads(2), Watching():
        frechet(one, other)
        kernel_distance(one, other, 10)
    assert seen["matmul"] == seen["linalg_svdvals"] == {1}
