"""Before and after in one film."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from calling import call
from media import make_film, planes_of, read_film
from quick import colour
from test_recolor import frame_of
from test_resume import Stop, fingerprint, left_in, run

from vidcolor.errors import UsageError
from vidcolor.frames import Frame, Orientation
from vidcolor.options import Options
from vidcolor.stages.compare import Comparison

TURNS = [
    Orientation(),
    Orientation(mirror=True),
    Orientation(transpose=True, mirror=True),
    Orientation(flip=True),
]


def pictured(shape: tuple[int, int], subsampling: str, depth: int, turn: Orientation) -> tuple[Any, ...]:
    """A frame of plain luma, stored in this shape, with its red chroma planes."""
    unit = 1 << (depth - 8)
    frame = frame_of(
        np.full(shape, 100 * unit, np.uint8 if depth == 8 else np.uint16), depth, orientation=turn
    )
    height = (shape[0] + 1) // 2 if subsampling == "420" else shape[0]
    width = shape[1] if subsampling == "444" else (shape[1] + 1) // 2
    cb, cr = (np.full((height, width), code * unit, frame.luma.dtype) for code in (90, 200))
    return frame, cb, cr


def upright(frame: Frame, *planes: np.ndarray) -> list[np.ndarray]:
    return [frame.orientation.upright(plane) for plane in planes]


@pytest.mark.parametrize("turn", TURNS, ids=str)
@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("subsampling", ["420", "422", "444"])
@pytest.mark.parametrize("shape", [(240, 320), (241, 321)])
def test_side_by_side_both_are_whole(
    shape: tuple[int, int], subsampling: str, depth: int, turn: Orientation
) -> None:
    given = pictured(shape, subsampling, depth, turn)
    comparison = Comparison("side", subsampling)
    made, *planes = comparison(*given)
    assert made.luma.shape == comparison.outline(given[0]).luma.shape
    luma, cb, cr = upright(made, made.luma, *planes)
    assert luma.shape[1] in (2 * upright(given[0], given[0].luma)[0].shape[1] + extra for extra in (0, 2))
    assert luma.dtype == cb.dtype == given[0].luma.dtype
    unit, half = 1 << (depth - 8), cb.shape[1] // 2
    assert (cb[:, :half] == 128 * unit).all()
    assert (cr[:, :half] == 128 * unit).all()
    low = cb.shape[0] // 2  # below the labels
    assert (cb[low:, half:] == 90 * unit).all()
    assert (cr[low:, half:] == 200 * unit).all()
    assert (luma[luma.shape[0] // 2 :] == 100 * unit).all()
    for side in (luma[:, : luma.shape[1] // 2], luma[:, luma.shape[1] // 2 :]):
        assert side.max() > 180 * unit, "a label on each"
    assert (given[0].luma == 100 * unit).all(), "what was given is left alone"


@pytest.mark.parametrize("turn", TURNS, ids=str)
@pytest.mark.parametrize("subsampling", ["420", "422", "444"])
def test_split_is_grey_on_the_left_of_the_upright_picture(subsampling: str, turn: Orientation) -> None:
    given = pictured((240, 320), subsampling, 8, turn)
    made, *planes = Comparison("split", subsampling)(*given)
    assert made.luma.shape == given[0].luma.shape
    luma, cb = upright(made, made.luma, planes[0])
    rows, middle = slice(cb.shape[0] // 2, None), cb.shape[1] // 2
    assert (cb[rows, : middle - 2] == 128).all()
    assert (cb[rows, middle + 2 :] == 90).all()
    assert (luma[:, luma.shape[1] // 2] == 235).all()


def test_the_border_moves_to_and_fro() -> None:
    frame, cb, cr = pictured((240, 320), "420", 8, Orientation())
    grey = []
    for second in (0, 1, 3, 5, 6, 9):
        now = replace(frame, pts=second * 25, time_base=Fraction(1, 25))
        grey.append(float((Comparison("wipe", "420")(now, cb, cr)[1][-1] == 128).mean()))
    assert grey[0] < 0.1 < grey[1] < 0.9 < grey[2]
    assert grey[3] == grey[1]
    assert grey[4] == grey[0]
    assert grey[5] == grey[2]


@pytest.mark.parametrize("layout", ["side", "split", "wipe"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (5, 3), (16, 400), (400, 16)])
def test_tiny_and_long_frames(layout: str, shape: tuple[int, int]) -> None:
    frame, cb, cr = pictured(shape, "420", 8, Orientation())
    comparison = Comparison(layout, "420")
    made, blue, red = comparison(frame, cb, cr)
    assert made.luma.shape == comparison.outline(frame).luma.shape
    assert blue.shape == red.shape == tuple((side + 1) // 2 for side in made.luma.shape)


def test_the_left_half_of_the_film_is_the_source(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mp4", frames=8, audio="aac")
    call(source, tmp_path / "out.mkv", "--compare", "side", "--codec", "ffv1")
    for before, after in zip(read_film(source), read_film(tmp_path / "out.mkv"), strict=True):
        assert (after.width, after.height) == (2 * before.width, before.height)
        luma, was = planes_of(after)[0], planes_of(before)[0]
        low = was.shape[0] // 2
        assert np.array_equal(luma[low:, : before.width], was[low:])
        assert np.array_equal(luma[low:, before.width :], was[low:])
        assert after.pts * after.time_base == before.pts * before.time_base
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert len(container.streams.audio) == 1


def test_the_left_half_has_no_colours_where_chroma_is_not_subsampled_either(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mkv", frames=2, codec="ffv1", size=(96, 64), pix_fmt="yuv444p")
    colour(source, tmp_path / "out.mkv", compare="split", codec="ffv1")
    cb = planes_of(read_film(tmp_path / "out.mkv")[0])[1].astype(int)
    assert np.abs(cb[:, :44] - 128).max() == 0
    assert np.abs(cb[:, 52:] - 128).max() > 8


def test_two_pictures_of_an_odd_width_make_an_even_one_whose_chroma_stays_subsampled(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mkv", frames=3, codec="ffv1", size=(95, 64))
    assert call(source, tmp_path / "out.mkv", "--compare", "side") == 0
    frame = read_film(tmp_path / "out.mkv")[0]
    assert (frame.width, frame.format.name) == (192, "yuv420p")


def test_an_interrupted_comparison_goes_on_and_is_the_same(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mp4", frames=30)
    run(source, tmp_path / "whole.mp4", compare="wipe")
    with pytest.raises(Stop):
        run(source, tmp_path / "out.mp4", compare="wipe", stop_after=13)
    assert run(source, tmp_path / "out.mp4", compare="wipe").frames == 30
    assert fingerprint(tmp_path / "out.mp4") == fingerprint(tmp_path / "whole.mp4")
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.webm", "out.mov"])
def test_any_target_can_hold_it(name: str, tmp_path: Path) -> None:
    frames = 1 if name.endswith(("png", "jpg")) else 4
    source = make_film(tmp_path / "in.mkv", frames=frames)
    call(source, tmp_path / name, "--compare", "side")
    found = read_film(tmp_path / name)[0]
    assert found.width == 2 * read_film(source)[0].width


def test_no_other_layout() -> None:
    with pytest.raises(UsageError, match="side, split, wipe"):
        Options(compare="diagonal")
