"""Which pictures are left to their neighbours, and which the generator gets to see."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from pictures import flat, luma, picture, texture

from vidcolor.frames import Floats
from vidcolor.motion import Motion, motion_between
from vidcolor.sharing import PredictThread
from vidcolor.sparse import BEYOND, Sparse, smooth
from vidcolor.temporal import Link

AREA = (0, 96, 0, 128)


def shot(count: int, seed: int = 1) -> list[Floats]:
    wide = texture(seed, 96, 128 + 2 * count)
    return [np.ascontiguousarray(wide[:, 2 * n : 2 * n + 128]) for n in range(count)]


def links_of(greys: Sequence[Floats], begins: Sequence[int] = (0,)) -> list[Link]:
    links = [Link(begins=True, area=AREA)]
    for number, (one, other) in enumerate(pairwise(map(luma, greys)), start=1):
        motion: Future[Motion | None] = Future()
        motion.set_result(motion_between(one, other))
        first = number in begins
        links.append(Link(begins=first, area=AREA, motion=None if first else motion))
    return links


class Asked:
    """A generator that gives each picture the ab of its number, and remembers what it was asked for."""

    def __init__(self, abs_: Sequence[Floats]) -> None:
        self.batches: list[list[int]] = []
        self._abs = abs_

    def __call__(self, asked: Sequence[tuple[int, Link]]) -> Future[list[Floats]]:
        numbers = [number for number, _ in asked]
        self.batches.append(numbers)
        found: Future[list[Floats]] = Future()
        found.set_result([self._abs[number] for number in numbers])
        return found

    @property
    def pictures(self) -> list[int]:
        return sorted(number for batch in self.batches for number in batch)


def colour(
    links: Sequence[Link],
    abs_: Sequence[Floats] | None = None,
    size: int = 2,
    opens: Sequence[int] = (),
    *,
    every: bool = False,
) -> tuple[Asked, list[Floats]]:
    asked = Asked(abs_ or [flat(10, 5)] * len(links))
    sparse: Sparse[int] = Sparse(asked, size, every=every)
    out = []
    for number, link in enumerate(links):
        out += sparse.push(number, link, opens=number in opens)
    out += sparse.finish()
    assert [link for link, _ in out] == list(links), "all come, in order, with their own links"
    return asked, [ab for _, ab in out]


def drifting(count: int, step: float = 0.5) -> list[Floats]:
    return [flat(step * n, -step * n) for n in range(count)]


@pytest.mark.parametrize(("count", "expected"), [(9, [0, 2, 4, 6, 8]), (8, [0, 2, 4, 6, 7]), (1, [0])])
def test_every_second_picture_of_a_shot_is_predicted_and_its_last(count: int, expected: list[int]) -> None:
    abs_ = drifting(count)
    asked, out = colour(links_of(shot(count)), abs_)
    assert asked.pictures == expected
    for number, ab in enumerate(out):
        assert np.abs(ab - abs_[number]).mean() < 0.1, "colours that change evenly do so between, too"


def test_colours_between_go_along_with_what_moves_however_it_moves() -> None:
    offsets = [0, 2, 8, 10, 16, 18, 24]
    wide = texture(1, 96, 160)
    colours = np.stack((texture(2, 96, 160), texture(3, 96, 160)), -1) * np.float32(60.0)
    greys, abs_ = (
        [np.ascontiguousarray(whole[:, at : at + 128]) for at in offsets] for whole in (wide, colours)
    )
    asked, out = colour(links_of(greys), abs_)
    assert asked.pictures == [0, 2, 4, 6]
    for ab, one in zip(out, abs_, strict=True):
        assert np.abs(ab - one)[8:-8, 12:-12].mean() < 0.7


def test_all_are_predicted_where_that_is_asked_for() -> None:
    asked, out = colour(links_of(shot(9)), drifting(9), every=True)
    assert asked.pictures == list(range(9))
    assert all(np.array_equal(ab, one) for ab, one in zip(out, drifting(9), strict=True))


@pytest.mark.parametrize(
    ("smoothing", "every", "seen"), [(0.9, False, False), (0.9, True, True), (0.0, False, True)]
)
def test_a_film_that_is_smoothed_as_a_whole_has_the_same_pictures_left_out(
    smoothing: float, every: bool, seen: bool
) -> None:
    abs_ = [flat(10, 5 + 20 * (number % 2)) for number in range(9)]
    pairs = zip(map(picture, shot(9)), abs_, strict=True)
    out = list(smooth(pairs, "flow", smoothing, every=every))
    assert (max(float(np.abs(ab - flat(10, 5)).max()) for ab in out) > 1.0) == seen


@pytest.mark.parametrize("at", [4, 5])
def test_nothing_comes_from_beyond_a_cut(at: int) -> None:
    greys = [*shot(at), *shot(9 - at, seed=7)]
    abs_ = [flat(30, 30)] * at + [flat(-30, -30)] * (9 - at)
    asked, out = colour(links_of(greys, begins=(0, at)), abs_)
    assert {at - 1, at} <= set(asked.pictures)
    assert all(np.abs(ab - one).max() < 1e-3 for ab, one in zip(out, abs_, strict=True))


@pytest.mark.parametrize("change", ["begins", "dissolved", "bars", "no motion"])
def test_nor_over_the_end_of_a_dissolve_other_bars_or_where_there_is_no_motion(change: str) -> None:
    links = links_of(shot(9))
    nothing: Future[Motion | None] = Future()
    nothing.set_result(None)
    if change == "begins":
        links[5] = replace(links[5], begins=True)  # its motion is that from the end of an earlier shot
    elif change == "dissolved":
        links[5] = replace(links[5], dissolved=True)
    elif change == "bars":
        links[5:] = [replace(link, area=(8, 88, 0, 128)) for link in links[5:]]
    else:
        links[5] = replace(links[5], motion=nothing)
    asked, _ = colour(links)
    assert asked.pictures == [0, 2, 4, 5, 7, 8]


def test_pictures_that_no_neighbour_explains_are_predicted() -> None:
    greys = shot(9)
    greys[3] = greys[3].copy()
    greys[3][24:72, 32:96] = texture(9, 48, 64)
    asked, _ = colour(links_of(greys))
    assert asked.pictures == [0, 2, 3, 5, 7, 8], "that one alone, and then every second one again"


def test_where_the_generator_flickers_all_are_predicted() -> None:
    abs_ = [flat(20.0 if number % 4 < 2 else 0.0, 0) for number in range(9)]
    asked, out = colour(links_of(shot(9)), abs_)
    assert asked.pictures == list(range(9))
    assert all(np.array_equal(ab, one) for ab, one in zip(out, abs_, strict=True))


@pytest.mark.parametrize("size", [1, 2, 3, 16])
def test_batches_are_as_large_as_asked_for_and_nothing_depends_on_that(size: int) -> None:
    greys = [*shot(7), *shot(8, seed=7)]
    greys[10] = texture(11)
    abs_ = [*drifting(7, 1.0), *(flat(9.0 * (number % 3), 0) for number in range(8))]
    links = links_of(greys, begins=(0, 7))
    asked, out = colour(links, abs_, size)
    _, expected = colour(links, abs_, 4)
    assert max(map(len, asked.batches)) == min(size, 10)  # two more are in doubt, and come later
    assert all(np.array_equal(ab, one) for ab, one in zip(out, expected, strict=True))


@pytest.mark.parametrize("at", [3, 4])
def test_what_a_segment_s_pictures_are_coloured_by_depends_on_none_before_it(at: int) -> None:
    links, abs_ = links_of(shot(14)), drifting(14, 0.9)
    asked, whole = colour(links, abs_, opens=(at,))
    assert at in asked.pictures
    alone, later = colour(links[at:], abs_[at:])
    assert [number + at for number in alone.pictures] == [n for n in asked.pictures if n >= at]
    assert all(np.array_equal(one, other) for one, other in zip(whole[at:], later, strict=True))
    upto, earlier = colour(links[: at + BEYOND], abs_)
    assert [n for n in upto.pictures if n <= at] == [n for n in asked.pictures if n <= at]
    assert all(np.array_equal(one, other) for one, other in zip(whole[:at], earlier[:at], strict=True))


@pytest.mark.parametrize("last", [8, 9, 10])
def test_pictures_beyond_those_that_bear_on_one_make_no_difference(last: int) -> None:
    links, abs_ = links_of(shot(14)), drifting(14, 0.9)
    _, whole = colour(links, abs_)
    _, part = colour(links[: last + 1], abs_)
    assert all(np.array_equal(one, other) for one, other in zip(whole, part[:-BEYOND], strict=False))


def test_few_pictures_wait() -> None:
    sparse: Sparse[int] = Sparse(Asked([flat(0, 0)] * 40), 2)
    links, out = links_of(shot(40)), 0
    for number, link in enumerate(links):
        out += len(sparse.push(number, link))
        assert number + 1 - out <= 2 * 2 * 2 + 1  # a batch that is gathered, one under way, those between
    assert out + len(sparse.finish()) == 40


def test_pictures_in_doubt_are_predicted_with_those_to_come() -> None:
    abs_ = [flat(20.0 if number in (2, 3, 10, 11) else 0.0, 0) for number in range(40)]
    asked, _ = colour(links_of(shot(40)), abs_, size=4)
    assert {1, 3, 9, 11} <= set(asked.pictures)
    assert [len(batch) for batch in asked.batches[:-1]] == [4] * (len(asked.batches) - 1)


def test_what_failed_keeps_no_memory() -> None:
    kept: list[weakref.ref[Large]] = []

    class Large:
        pass

    def fail(_: Sequence[tuple[int, Link]]) -> list[Floats]:
        large = Large()
        kept.append(weakref.ref(large))
        raise MemoryError

    def colour_it() -> None:
        with PredictThread().lent() as submit:
            sparse: Sparse[int] = Sparse(lambda asked: submit(fail, asked), 1)
            sparse.push(0, Link(begins=True, area=AREA))
            sparse.finish()

    gc.disable()
    try:
        with suppress(MemoryError):
            colour_it()
        assert [ref() for ref in kept] == [None]
    finally:
        gc.enable()


def test_what_goes_wrong_in_the_generator_is_raised() -> None:
    def fail(_: Sequence[tuple[int, Link]]) -> Future[list[Floats]]:
        found: Future[list[Floats]] = Future()
        found.set_exception(MemoryError("none left"))
        return found

    sparse: Sparse[int] = Sparse(fail, 1)
    sparse.push(0, Link(begins=True, area=AREA))
    with pytest.raises(MemoryError, match="none left"):
        sparse.finish()
