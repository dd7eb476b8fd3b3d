from __future__ import annotations

from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from vidcolor.colorspace import lightness_from_luma
from vidcolor.frames import Frame, Orientation, Signal
from vidcolor.matrices import BT709
from vidcolor.stages.luminance import lightness, luminance, padded, render_shape


def frame_of(luma: np.ndarray, **changes: Any) -> Frame:
    return Frame(
        video=None,  # type: ignore[arg-type]  # this stage does not look at it
        luma=luma,
        signal=Signal(depth=8 if luma.dtype == np.uint8 else 10, full_range=True, matrix=BT709),
        pts=0,
        duration=1,
        time_base=Fraction(1, 25),
        **changes,
    )


@pytest.mark.parametrize(
    ("size", "aspect", "expected"),
    [
        ((480, 640), Fraction(1), (96, 128)),
        ((576, 720), Fraction(16, 15), (96, 128)),
        ((640, 480), Fraction(1), (128, 96)),
        ((1, 1), Fraction(1), (96, 96)),
        ((31, 17), Fraction(1), (175, 96)),
        ((4, 4000), Fraction(1), (96, 384)),
        ((480, 640), Fraction(1, 2), (144, 96)),
    ],
)
def test_render_size_is_the_short_side_of_square_pixels(
    size: tuple[int, int], aspect: Fraction, expected: tuple[int, int]
) -> None:
    assert render_shape(frame_of(np.zeros(size, np.uint8), aspect=aspect), 96) == expected


@pytest.mark.parametrize(
    ("size", "short", "expected"),
    [
        ((1080, 1920), 256, (256, 448)),
        ((1920, 1080), 256, (448, 256)),
        ((804, 1920), 256, (256, 608)),
        ((480, 640), 256, (256, 341)),  # a sixteenth is too much
        ((519, 960), 256, (256, 474)),
        ((720, 1280), 253, (253, 448)),  # the short side is the user's
        ((600, 600), 257, (257, 257)),
    ],
)
def test_a_long_side_is_squeezed_a_little_where_that_saves_padding(
    size: tuple[int, int], short: int, expected: tuple[int, int]
) -> None:
    assert render_shape(frame_of(np.zeros(size, np.uint8)), short) == expected


def test_the_generator_sees_the_picture_upright() -> None:
    luma = np.zeros((64, 96), np.uint8)
    luma[:32, :48] = 255  # upper left as stored
    clockwise = Orientation(transpose=True, mirror=True)
    picture = luminance(frame_of(luma, orientation=clockwise), luma, 64)
    assert picture.grey.shape == (96, 64)
    assert picture.luminance[10, 60] == pytest.approx(100.0)  # upper right to a viewer
    assert picture.luminance[10, 3] == picture.luminance[90, 60] == 0.0


def test_ten_bits_and_eight_look_the_same() -> None:
    ramp = np.tile(np.arange(128, dtype=np.uint8), (64, 1))
    eight = luminance(frame_of(ramp), ramp, 64).luminance
    wide = (ramp.astype(np.int32) * 1023 // 255).astype(np.uint16)
    ten = luminance(frame_of(wide), wide, 64).luminance
    assert np.abs(eight - ten).max() < 0.5


def test_batches_are_padded_with_their_edges() -> None:
    plane = np.arange(12, dtype=np.float32).reshape(3, 4)
    batch = padded([plane, plane], 8)
    assert batch.shape == (2, 1, 8, 8)
    assert np.array_equal(batch[0, 0, :3, :4], plane)
    assert batch[1, 0, 7, 7] == plane[-1, -1]


def test_the_table_of_lightness_is_exact_enough_everywhere() -> None:
    y = np.linspace(0, 1, 300_000, dtype=np.float32).reshape(3, -1)
    exact = lightness_from_luma(torch.from_numpy(y)).numpy()
    assert lightness(y).dtype == np.float32
    assert np.abs(lightness(y) - exact).max() < 0.001
    assert lightness(np.array([0.0, 1.0], np.float32)).tolist() == pytest.approx([0.0, 100.0], abs=1e-4)


@pytest.mark.parametrize("size", [(512, 640), (515, 641), (1100, 1400)])
@pytest.mark.parametrize("top", [255, 1023])
def test_large_frames_that_are_halved_first_come_out_as_if_reduced_at_once(
    size: tuple[int, int], top: int
) -> None:
    random = np.random.default_rng(4)
    coarse = random.uniform(0, top, (20, 25)).astype(np.float32)
    picture = np.asarray(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)).clip(0, top)
    frame = frame_of(picture.astype(np.uint8 if top == 255 else np.uint16))
    height, width = render_shape(frame, 64)
    at_once = cv2.resize(frame.luma.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) / top
    made = luminance(frame, frame.luma, 64).grey
    assert np.abs(made - at_once).mean() < 1.0 / 255.0
    assert np.abs(made - at_once).max() < 4.0 / 255.0
