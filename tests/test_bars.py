"""Black bars: found, followed through shots, kept from the generator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest import mock

import av
import numpy as np
import pytest
import torch
from media import fill_plane, make_film, planes_of, read_film
from quick import Corners, colour

from vidcolor.bars import BarFollower, area_of, lit_of, predict_within
from vidcolor.checkpoint import Generator
from vidcolor.frames import Floats
from vidcolor.stages.predict import Predictor
from vidcolor.statearrays import arrays_of, state_of
from vidcolor.temporal import Linker, TemporalState
from vidcolor.thumbnails import Area

HEIGHT, WIDTH = 96, 128


def picture(top: int, bottom: int, left: int, right: int, *, seed: int = 1, black: float = 0.0) -> Floats:
    """A lively Y' with black before and from those rows and columns on."""
    random = np.random.default_rng(seed)
    found = np.full((HEIGHT, WIDTH), black, np.float32)
    blocks = np.kron(random.uniform(0.2, 0.9, (HEIGHT // 8, WIDTH // 8)), np.ones((8, 8)))
    found[top:bottom, left:right] = blocks[top:bottom, left:right]
    return found


def areas_of(pictures: list[Floats], cuts: tuple[int, ...] = ()) -> list[Area]:
    follower = BarFollower()
    found = []
    for index, one in enumerate(pictures):
        follower.push(one)
        found.append(follower.decide(begins=index in cuts))
    return found


def test_pictures_that_wait_are_decided_in_their_order() -> None:
    kinds = [(0, 96, 16, 112)] * 5 + [(12, 84, 0, 128)] * 5 + [(0, 96, 0, 128)] * 5
    pictures = [picture(*inside, seed=1 + number) for number, inside in enumerate(kinds)]
    follower, found = BarFollower(), []
    for index, one in enumerate([*pictures, *[None] * 4]):
        if one is not None:
            follower.push(one)
        if index >= 4:
            found.append(follower.decide(begins=index - 4 in (5, 10)))
            follower = BarFollower(follower.state)  # those that wait are remembered, too
    assert found == areas_of(pictures, cuts=(5, 10))
    assert len(set(found)) > 1


def with_pillars(source: Path, target: Path, wide: int) -> Path:
    """The film (4:4:4) with so many black columns on both sides."""
    with av.open(str(target), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        frames = read_film(source)
        stream.width, stream.height = frames[0].width + 2 * wide, frames[0].height
        stream.pix_fmt = "yuv444p"
        for before in frames:
            frame = av.VideoFrame(stream.width, stream.height, "yuv444p")
            for plane, codes, black in zip(frame.planes, planes_of(before), (16, 128, 128), strict=True):
                sides = ((0, 0), (wide, wide))
                fill_plane(plane, np.pad(codes, sides, constant_values=black))
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return target


WHOLE = (0, HEIGHT, 0, WIDTH)


@pytest.mark.parametrize(
    ("inside", "area"),
    [
        (WHOLE, WHOLE),
        ((0, 96, 16, 112), (0, 96, 20, 108)),  # inwards to the next multiple of four from its edge
        ((14, 82, 0, 128), (16, 80, 0, 128)),
        ((15, 96, 0, 128), (16, 96, 0, 128)),
        ((8, 88, 8, 120), (12, 84, 12, 116)),
        ((0, 96, 43, 84), (0, 96, 44, 80)),  # an upright picture in a wide one: 0.32 of it
        ((1, 95, 2, 126), WHOLE),  # blanking at the edges of video
        ((36, 60, 30, 98), WHOLE),  # too small: a caption
    ],
)
@pytest.mark.parametrize("black", [0.0, 0.075])
def test_what_lies_within_bars_is_found(inside: Area, area: Area, black: float) -> None:
    assert area_of(lit_of(picture(*inside, black=black)), HEIGHT) == area


def test_dark_grey_is_no_bar() -> None:
    assert area_of(lit_of(picture(0, 96, 16, 112, black=0.1)), HEIGHT) == WHOLE


def test_a_black_picture_has_no_bars() -> None:
    assert area_of(lit_of(np.zeros((HEIGHT, WIDTH), np.float32)), HEIGHT) == WHOLE


def test_lines_of_a_title_are_not_taken_for_a_picture() -> None:
    title = np.zeros((HEIGHT, WIDTH), np.float32)
    for top in range(12, 84, 12):
        title[top : top + 8, 10:118] = picture(top, top + 8, 10, 118)[top : top + 8, 10:118]
    assert area_of(lit_of(title), HEIGHT) == WHOLE


def test_within_a_shot_bars_only_shrink() -> None:
    shown = [picture(0, 96, 16, 112)] * 3
    shown += [picture(0, 96, 16, 112) + picture(40, 50, 8, 16), np.zeros_like(shown[0]), *shown]
    assert areas_of(shown) == [(0, 96, 20, 108)] * 3 + [(0, 96, 12, 108)] * 5


def test_bars_that_are_known_stay_so_until_the_next_shot() -> None:
    letterbox = picture(30, 66, 0, 128)
    scratched = letterbox + picture(2, 4, 0, 128)
    shown = [letterbox, scratched, letterbox, letterbox]
    assert areas_of(shown, cuts=(3,)) == [(32, 64, 0, 128)] + [(4, 64, 0, 128)] * 2 + [WHOLE]


def test_what_was_bright_within_a_minute_is_no_bar_of_the_next_shot() -> None:
    wide, narrow = picture(*WHOLE), picture(0, 96, 16, 112)
    shown = areas_of([wide] + [narrow] * 1501, cuts=(1, 1400, 1501))
    assert shown[1:1501] == [WHOLE] * 1500
    assert shown[1501] == (0, 96, 20, 108)


def test_bars_end_where_the_size_changes() -> None:
    follower = BarFollower()
    for one in (picture(0, 96, 16, 112), picture(*WHOLE)[:48]):
        follower.push(one)
        last = follower.decide(begins=False)
    assert last == (0, 48, 0, WIDTH)


@pytest.mark.parametrize("mode", ["average", "flow"])
def test_bars_go_on_from_a_kept_state(mode: str) -> None:
    shown = [picture(0, 96, 16, 112, seed=1)] * 4 + [picture(0, 96, 24, 112, seed=1)] * 6
    shown += [picture(20, 76, 0, 128, seed=2)] * 9 + [picture(20, 76, 0, 128, seed=3)] * 12
    whole = Linker(mode)
    wanted = [link.area for one in shown for link in whole.push(one)] + [link.area for link in whole.finish()]
    assert {(0, 96, 20, 108), (0, 96, 20, 128)} & set(wanted) == {(0, 96, 20, 108)}
    assert len(set(wanted)) > 1
    for stop in range(1, len(shown) - 1):
        first = Linker(mode)
        found = [link.area for one in shown[:stop] for link in first.push(one)]
        state = first.state
        kept = arrays_of(TemporalState(linker=state, filter=None))
        seen_on = [link for one in shown[stop:] for link in first.push(one)] + first.finish()
        found += [link.area for link in seen_on][: stop - len(found)]
        read = state_of({name: array for name, array in kept.items() if array.size})
        assert read is not None
        second = Linker(mode, state=replace(read.linker))
        found += [link.area for one in shown[stop:] for link in second.push(one)]
        found += [link.area for link in second.finish()]
        assert found == wanted, stop


def test_the_generator_sees_what_lies_within_the_bars() -> None:
    generator = Generator(network=Corners(), multiple=32, path=Path(__file__), metadata={})
    predictor = Predictor(generator, torch.device("cpu"), "float32")
    planes = [np.full((HEIGHT, WIDTH), 50.0, np.float32)] * 3
    (plain,) = predict_within(predictor, [planes[0][:64, :96]], [(0, 64, 0, 96)])
    areas = [(16, 80, 16, 112), WHOLE, (16, 80, 16, 112)]
    first, whole, last = predict_within(predictor, planes, areas)
    np.testing.assert_array_equal(first[16:80, 16:112], plain)
    np.testing.assert_array_equal(first, last)
    assert whole.shape == first.shape == (HEIGHT, WIDTH, 2)
    np.testing.assert_array_equal(first[11:16, 16:112], np.repeat(plain[:1], 5, 0))
    assert not first[:11].any()
    assert not first[:, :11].any()
    assert not first[:, -11:].any()
    assert whole[0, 0].all()


def test_parts_of_a_batch_are_filled_up_on_a_gpu_whatever_came_before() -> None:
    generator = Generator(network=Corners(), multiple=32, path=Path(__file__), metadata={})
    predictor = Predictor(generator, torch.device("cuda"), "float32")
    given: list[int] = []

    def computed(_: object, luminance: torch.Tensor, shape: tuple[int, int], count: int) -> list[Floats]:
        given.append(len(luminance))
        return [np.zeros((*shape, 2), np.float32)] * count

    predictor.expect(5)
    with mock.patch.multiple(predictor, _ready=lambda: None, _colour=computed):
        predict_within(
            predictor, [np.zeros((96, 96), np.float32)] * 5, [(16, 80, 0, 96)] * 2 + [(0, 96, 0, 96)] * 3
        )
    assert given == [5, 5]


@pytest.mark.parametrize("temporal", ["off", "average", "flow"])
def test_a_film_in_bars_is_coloured_like_the_film_without(tmp_path: Path, temporal: str) -> None:
    plain = make_film(tmp_path / "plain.mkv", frames=9, size=(96, 96), codec="ffv1", pix_fmt="yuv444p")
    colour(plain, tmp_path / "a.mkv", codec="ffv1", temporal=temporal, render_size=96)
    barred = with_pillars(plain, tmp_path / "barred.mkv", 32)
    colour(barred, tmp_path / "b.mkv", codec="ffv1", temporal=temporal, render_size=96)
    for one, other in zip(read_film(tmp_path / "a.mkv"), read_film(tmp_path / "b.mkv"), strict=True):
        for index in (1, 2):
            wanted, found = planes_of(one)[index].astype(int), planes_of(other)[index].astype(int)
            assert np.abs(found[:, 40:120] - wanted[:, 8:88]).mean() < 5.0
            assert np.abs(wanted[:, 8:88] - 128).mean() > 8
            assert np.abs(found[:, :24] - 128).max() <= 1
            assert np.abs(found[:, -24:] - 128).max() <= 1
