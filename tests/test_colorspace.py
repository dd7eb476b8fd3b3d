from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from skimage.color import rgb2lab

from vidcolor import chromatable
from vidcolor.chromatable import ChromaTable, tabulated
from vidcolor.colorspace import (
    ab_from_rgb,
    bt709_from_bt2020,
    lightness_from_luma,
    luma_from_rgb,
    rgb_from_lab,
    rgb_from_ycbcr,
    unbounded_chroma_from_ab,
    ycbcr_from_rgb,
)
from vidcolor.matrices import BT709, BT2020, MATRICES, SMPTE170M, Matrix

SATURATED = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1), (1, 0, 1), (0.5, 0, 0), (0, 0, 0.3)]
unit = st.floats(0.0, 1.0, width=32)


def photograph(name: str) -> torch.Tensor:
    rgb = torch.from_numpy(getattr(data, name)()[::2, ::2].copy())
    return rgb.permute(2, 0, 1)[None].float() / 255.0


def pixel(r: float, g: float, b: float) -> torch.Tensor:
    return torch.tensor([r, g, b], dtype=torch.float32).view(1, 3, 1, 1)


def round_trip(rgb: torch.Tensor, matrix: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """CbCr codes of 8 bits: from the picture itself, and from its luma and true ab through the table."""
    ycbcr = ycbcr_from_rgb(rgb, matrix)
    ab = ab_from_rgb(rgb, wide=matrix.wide)[0].permute(1, 2, 0).numpy().copy()
    made = ChromaTable(matrix)(ycbcr[0, 0].numpy(), ab)
    true = ycbcr[0, 1:].permute(1, 2, 0).numpy()
    return np.rint(true * 224), np.rint(made * 224)


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket"])
@pytest.mark.parametrize("matrix", [BT709, SMPTE170M], ids=lambda m: m.name)
def test_round_trip_of_true_ab_is_within_0_4_codes_rms(name: str, matrix: Matrix) -> None:
    true, made = round_trip(photograph(name), matrix)
    for channel in range(2):
        assert np.sqrt(((true - made)[..., channel] ** 2).mean()) <= 0.4


@pytest.mark.parametrize("matrix", list(MATRICES.values()), ids=lambda m: m.name)
@pytest.mark.parametrize("rgb", SATURATED, ids=str)
def test_saturated_colours_come_back(rgb: tuple[float, float, float], matrix: Matrix) -> None:
    colour = pixel(*rgb)
    ycbcr = ycbcr_from_rgb(colour, matrix)
    made = unbounded_chroma_from_ab(ycbcr[:, :1], ab_from_rgb(colour, wide=matrix.wide), matrix)
    assert (made - ycbcr[:, 1:]).abs().max() * 224 < 0.1


@pytest.mark.parametrize("matrix", [BT709, BT2020], ids=lambda m: m.name)
@pytest.mark.parametrize("rgb", SATURATED, ids=str)
def test_so_they_do_through_the_table(rgb: tuple[float, float, float], matrix: Matrix) -> None:
    true, made = round_trip(pixel(*rgb), matrix)
    assert np.abs(true - made).max() <= 10  # of 112: blue is dark, where the table is at its coarsest


def exact_form(y: torch.Tensor, ab: torch.Tensor, matrix: Matrix) -> torch.Tensor:
    """What the table stands for: CbCr by bisection, then scaled until the first of R'G'B' is at 0 or 1."""
    cbcr = unbounded_chroma_from_ab(y, ab, matrix)
    offset = rgb_from_ycbcr(torch.zeros_like(y), cbcr, matrix)
    room = torch.where(offset > 0, 1.0 - y, y).clip(min=0.0)
    return cbcr * (room / offset.abs().clip(min=1e-9)).amin(1, keepdim=True).clip(max=1.0)


def test_table_agrees_with_the_exact_form_on_every_matrix() -> None:
    torch.manual_seed(0)
    y = torch.rand(1, 1, 64, 64)
    ab = torch.randn(1, 2, 64, 64) * 25.0
    for matrix in MATRICES.values():
        exact = exact_form(y, ab, matrix)[0].permute(1, 2, 0).numpy()
        fast = ChromaTable(matrix)(y[0, 0].numpy(), ab[0].permute(1, 2, 0).numpy().copy())
        assert np.sqrt(((exact - fast) ** 2).mean()) * 224 < 0.6


def test_a_table_that_several_threads_want_is_made_once() -> None:
    made, make = [], chromatable.unbounded_chroma_from_ab

    def slowly(y: Any, ab: Any, matrix: Matrix) -> Any:
        made.append(len(y))
        time.sleep(0.02)
        return make(y, ab, matrix)

    chromatable._atlas.cache_clear()
    with mock.patch.object(chromatable, "unbounded_chroma_from_ab", slowly), ThreadPoolExecutor(4) as threads:
        found = list(threads.map(tabulated, [BT709] * 4))
    assert sum(made) == 65, "its slices"
    assert all(one is found[0] for one in found)
    assert ChromaTable(BT709)._atlas is found[0]


@given(unit, unit, unit)
@settings(max_examples=60, deadline=None)
def test_lab_round_trip(r: float, g: float, b: float) -> None:
    rgb = pixel(r, g, b)
    lab = torch.from_numpy(rgb2lab(rgb[0].permute(1, 2, 0).double().numpy())).float()
    ab = ab_from_rgb(rgb)
    assert torch.allclose(ab.flatten(), lab[0, 0, 1:], atol=0.05)  # an independent implementation
    assert torch.allclose(rgb_from_lab(lab[..., :1].permute(2, 0, 1)[None], ab), rgb, atol=2e-3)


def test_colours_with_the_primaries_of_bt2020_become_those_of_bt709() -> None:
    rows = torch.tensor([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    narrow = 0.01 + 0.99 * torch.rand(200, 3, generator=torch.Generator().manual_seed(1))
    coded = [1.055 * x ** (1 / 2.4) - 0.055 for x in (narrow, narrow @ rows.T)]
    expected, wide = (x[..., None, None] for x in coded)  # rows: ITU-R BT.2087, from BT.709 to BT.2020
    made = bt709_from_bt2020(wide)
    assert torch.allclose(made, expected, atol=4e-3)
    assert torch.allclose(ab_from_rgb(made), ab_from_rgb(wide, wide=True), atol=1.0)
    pure = bt709_from_bt2020(pixel(0.0, 1.0, 0.0))
    assert pure.flatten().tolist() == [0.0, 1.0, 0.0], "what BT.709 cannot show is clipped"


@given(unit, st.floats(-128, 128, width=32), st.floats(-128, 128, width=32))
@settings(max_examples=60, deadline=None)
def test_result_has_the_given_luma_and_stays_in_the_cube(y: float, a: float, b: float) -> None:
    luma = torch.full((1, 1, 1, 1), y)
    for matrix in (BT709, SMPTE170M, BT2020):
        made = ChromaTable(matrix)(np.full((1, 1), y, np.float32), np.array([[[a, b]]], np.float32))
        rgb = rgb_from_ycbcr(luma, torch.from_numpy(made).view(1, 2, 1, 1), matrix)
        assert rgb.min() >= -1e-4 and rgb.max() <= 1 + 1e-4
        assert luma_from_rgb(rgb, matrix).item() == pytest.approx(y, abs=1e-4)


@given(unit)
@settings(max_examples=30, deadline=None)
def test_grey_stays_grey(y: float) -> None:
    made = ChromaTable(BT709)(np.full((1, 1), y, np.float32), np.zeros((1, 1, 2), np.float32))
    assert np.abs(made).max() < 1e-3


def test_luma_outside_the_legal_range_gets_no_chroma() -> None:
    y = np.array([[-0.05, 0.0, 1.0, 1.07]], np.float32)
    ab = np.full((1, 4, 2), 60.0, np.float32)
    assert np.abs(ChromaTable(BT709)(y, ab)).max() < 1e-5  # 0.003 codes of 8 bits, 0.7 of 16


def test_gamut_is_fitted_by_scaling_chroma_alone() -> None:
    y, cb, cr = (np.full((1, 1), value, np.float32) for value in (0.9, 0.3, -0.4))
    ChromaTable(BT709).fit_gamut(y, cb, cr)
    assert cb.item() / 0.3 == pytest.approx(cr.item() / -0.4, abs=1e-6)  # one factor for both
    assert 0 < cb.item() / 0.3 < 1


def test_lightness_of_the_grey_axis_is_that_of_lab() -> None:
    greys = torch.linspace(0, 1, 11)
    expected = rgb2lab(greys.view(1, -1, 1).expand(1, -1, 3).double().numpy())[0, :, 0]
    assert np.allclose(lightness_from_luma(greys).numpy(), expected, atol=0.01)
    assert lightness_from_luma(torch.tensor([-0.1, 1.2])).tolist() == pytest.approx([0.0, 100.0], abs=1e-3)
