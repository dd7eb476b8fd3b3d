from __future__ import annotations

from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from vidcolor.colorspace import ab_from_rgb, ycbcr_from_rgb
from vidcolor.frames import Frame, Orientation, Picture, Signal
from vidcolor.matrices import BT709
from vidcolor.stages.luminance import luminance
from vidcolor.stages.recolor import GuidedUpsampling, Recolorer, chroma_site_luma


def photograph(name: str = "astronaut", depth: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Luma codes, true CbCr codes and true ab of a photograph, limited range, 4:4:4."""
    rgb = torch.from_numpy(getattr(data, name)()[:400, :400].copy()).permute(2, 0, 1)[None].float() / 255
    unit = 1 << (depth - 8)
    ycbcr = ycbcr_from_rgb(rgb, BT709)[0].permute(1, 2, 0).numpy()
    luma = np.rint((16 + 219 * ycbcr[..., 0]) * unit).astype(np.uint8 if depth == 8 else np.uint16)
    return luma, np.rint((128 + 224 * ycbcr[..., 1:]) * unit), ab_from_rgb(rgb)[0].permute(1, 2, 0).numpy()


def frame_of(luma: np.ndarray, depth: int = 8, **changes: Any) -> Frame:
    return Frame(
        video=None,  # type: ignore[arg-type]  # this stage does not look at it
        luma=luma,
        signal=Signal(depth=depth, full_range=False, matrix=BT709),
        pts=0,
        duration=1,
        time_base=Fraction(1, 25),
        **changes,
    )


@pytest.mark.parametrize("depth", [8, 10])
def test_true_ab_gives_the_true_chroma(depth: int) -> None:
    luma, cbcr, ab = photograph(depth=depth)
    frame = frame_of(luma, depth)
    grey = frame.signal.expand(luma)
    made = Recolorer("444")(frame, [Picture(grey=grey, luminance=grey)], [ab.copy()])
    for plane, true in zip(made, (cbcr[..., 0], cbcr[..., 1]), strict=True):
        assert np.sqrt(((plane.astype(float) - true) ** 2).mean()) / (1 << (depth - 8)) <= 0.4


@pytest.mark.parametrize(
    ("subsampling", "shape"), [("444", (101, 151)), ("422", (101, 76)), ("420", (51, 76))]
)
def test_chroma_planes_have_the_subsampled_size(subsampling: str, shape: tuple[int, int]) -> None:
    luma = np.full((101, 151), 120, np.uint8)
    frame = frame_of(luma)
    picture = luminance(frame, luma, 64)
    cb, cr = Recolorer(subsampling)(frame, [picture], [np.full((*picture.grey.shape, 2), 20, np.float32)])
    assert cb.shape == cr.shape == shape
    assert cr.min() > 128


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (3, 2)])
def test_tiny_frames(size: tuple[int, int]) -> None:
    luma = np.full(size, 120, np.uint8)
    frame = frame_of(luma)
    picture = luminance(frame, luma, 32)
    cb, _ = Recolorer("420")(frame, [picture], [np.zeros((*picture.grey.shape, 2), np.float32)])
    assert cb.shape == ((size[0] + 1) // 2, (size[1] + 1) // 2)


def test_chroma_sits_left_and_between_lines() -> None:
    ramp = np.tile(np.arange(0, 200, 2, dtype=np.uint8), (8, 1)) + np.arange(8, dtype=np.uint8)[:, None]
    sums, parts = chroma_site_luma(ramp, "420")
    # at x = 2i on a linear ramp the value is the luma there; vertically the mean of two lines
    assert np.allclose(sums[:, 1:-1] / parts, ramp[0::2, 2:-2:2] + 0.5)


def test_colour_edges_move_onto_luma_edges() -> None:
    y = np.where(np.arange(512) < 262, 0.3, 0.7).astype(np.float32) * np.ones((256, 1), np.float32)
    guide = cv2.resize(y, (128, 64), interpolation=cv2.INTER_AREA)
    truth = np.stack([np.where(y < 0.5, 40.0, -40.0)] * 2, -1).astype(np.float32)
    small = cv2.resize(truth, (128, 64), interpolation=cv2.INTER_AREA)
    guided = np.stack(GuidedUpsampling(cv2.split(small), guide, y.shape)(slice(None), y), -1)
    plain = cv2.resize(small, (512, 256), interpolation=cv2.INTER_LINEAR)
    assert np.abs(guided - truth).mean() < 0.5 * np.abs(plain - truth).mean()


def test_most_of_the_colour_that_luma_does_not_explain_stays() -> None:
    guide = np.full((64, 96), 0.5, np.float32)
    stripes = np.tile(np.where(np.arange(96) // 6 % 2, 0.1, -0.1).astype(np.float32), (64, 1))
    made, _ = GuidedUpsampling((stripes, stripes), guide, (128, 192))(
        slice(None), np.full((128, 192), 0.5, np.float32)
    )
    assert np.abs(made).max() <= 0.11
    assert np.corrcoef(made.ravel(), np.repeat(np.repeat(stripes, 2, 0), 2, 1).ravel())[0, 1] > 0.9
    assert np.abs(made).mean() > 0.05


@pytest.mark.parametrize("subsampling", ["420", "422", "444"])
def test_chroma_from_a_smaller_picture_is_near_the_truth(subsampling: str) -> None:
    luma, cbcr, ab = photograph()
    frame = frame_of(luma)
    picture = luminance(frame, luma, 128)
    small = cv2.resize(ab, picture.grey.shape[::-1], interpolation=cv2.INTER_AREA)
    made = Recolorer(subsampling)(frame, [picture], [small])
    step = 1 if subsampling == "444" else 2
    for plane, true in zip(made, cv2.split(cbcr), strict=True):
        # sites lie on even columns, in 4:2:0 between two lines
        true = cv2.GaussianBlur(true, (0, 0), 0.5 * step)
        lines = (true[0::2] + true[1::2]) / 2 if subsampling == "420" else true
        assert np.sqrt(((plane - lines[:, ::step]) ** 2).mean()) < 3.4


def test_rotated_frames_get_their_colours_in_the_right_corner() -> None:
    luma = np.full((64, 96), 120, np.uint8)
    frame = frame_of(luma, orientation=Orientation(transpose=True, mirror=True))
    picture = luminance(frame, luma, 64)
    ab = np.zeros((*picture.grey.shape, 2), np.float32)
    ab[:48, 32:, 0] = 40.0  # upper right to a viewer is upper left as stored
    _, cr = Recolorer("444")(frame, [picture], [ab])
    assert cr[10, 10] > 140
    assert abs(int(cr[10, 90]) - 128) < 3 and abs(int(cr[60, 10]) - 128) < 3


def test_fields_get_their_own_chroma() -> None:
    luma = np.full((64, 64), 120, np.uint8)
    frame = frame_of(luma, fields=2)
    pictures = [luminance(frame, field, 32) for field in frame.pictures()]
    shape = pictures[0].grey.shape
    red, blue = (np.full((*shape, 2), value, np.float32) for value in ([40, 0], [-40, 0]))
    _, cr = Recolorer("420")(frame, pictures, [red, blue])
    assert (cr[0::2] > 140).all() and (cr[1::2] < 118).all()


@pytest.mark.parametrize("height", [486, 6, 7, 481])
@pytest.mark.parametrize("subsampling", ["420", "422", "444"])
def test_fields_of_any_height_are_woven(height: int, subsampling: str) -> None:
    frame = frame_of(np.full((height, 16), 120, np.uint8), fields=2)
    pictures = [luminance(frame, field, 32) for field in frame.pictures()]
    ab = [np.zeros((*p.grey.shape, 2), np.float32) for p in pictures]
    cb, _ = Recolorer(subsampling)(frame, pictures, ab)
    assert cb.shape[0] == ((height + 1) // 2 if subsampling == "420" else height)


def test_saturation_scales_chroma() -> None:
    luma = np.full((32, 32), 120, np.uint8)
    frame, ab = frame_of(luma), np.full((32, 32, 2), 20, np.float32)
    picture = luminance(frame, luma, 32)
    strength = [
        abs(int(Recolorer("444", factor)(frame, [picture], [ab])[1][5, 5]) - 128) for factor in (0, 0.5, 1)
    ]
    assert strength[0] == 0 and 0 < strength[1] < strength[2]


@pytest.mark.parametrize("hue", range(0, 360, 45))
def test_colours_that_no_screen_has_are_brought_in_by_their_chroma_alone(hue: int) -> None:
    luma = np.tile(np.arange(16, 236, dtype=np.uint8), (64, 1))
    frame, angle = frame_of(luma), np.deg2rad(hue)
    ab = np.full((64, 220, 2), (100 * np.cos(angle), 100 * np.sin(angle)), np.float32)
    picture = Picture(grey=(luma.astype(np.float32) - 16) / 219, luminance=np.zeros((64, 220), np.float32))
    cb, cr = ((plane.astype(float) - 128) / 224 for plane in Recolorer("444")(frame, [picture], [ab]))
    red = picture.grey + 2 * (1 - BT709.kr) * cr
    blue = picture.grey + 2 * (1 - BT709.kb) * cb
    green = (picture.grey - BT709.kr * red - BT709.kb * blue) / (1 - BT709.kr - BT709.kb)
    for light in (red, green, blue):
        assert light.min() > -0.02 and light.max() < 1.02
    assert np.hypot(cb, cr).max() > 0.2


def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    luma, _, ab = photograph()
    frame = frame_of(luma)
    picture = luminance(frame, luma, 64)
    small = cv2.resize(ab, picture.grey.shape[::-1], interpolation=cv2.INTER_AREA)
    made = []
    for pixels in (1, 1000, 1 << 30):
        monkeypatch.setattr("vidcolor.stages.recolor._STRIP", pixels)
        made.append(Recolorer("420")(frame, [picture], [small]))
    for planes in made[1:]:
        assert all(np.array_equal(one, other) for one, other in zip(made[0], planes, strict=True))
