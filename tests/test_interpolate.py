"""Pictures that get their ab from those before and after them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from pictures import flat, luma, texture

from vidcolor.frames import Floats
from vidcolor.motion import Motion, motion_between
from vidcolor.stages.interpolate import apart, between, is_explained

WIDE = texture(1, 96, 192)
COLOURS = np.stack((texture(2, 96, 192), texture(3, 96, 192)), -1) * np.float32(60.0) - np.float32(30.0)
STEP = 4
"""Pixels by which the view moves from picture to picture."""


def view(whole: Floats, number: float) -> Floats:
    at = round(STEP * number)
    return np.ascontiguousarray(whole[:, at : at + 128])


def motions(*greys: Floats) -> tuple[Motion, Motion]:
    before, after = (motion_between(one, other) for one, other in pairwise(map(luma, greys)))
    assert before is not None
    assert after is not None
    return before, after


MOVING = motions(*(view(WIDE, n) for n in range(3)))


def test_colours_move_with_the_picture() -> None:
    found = between(view(COLOURS, 0), view(COLOURS, 2), *MOVING)
    error = np.abs(found - view(COLOURS, 1))[8:-8, 8:-8]
    plain_mean = np.abs((view(COLOURS, 0) + view(COLOURS, 2)) / 2 - view(COLOURS, 1))[8:-8, 8:-8]
    assert error.mean() < 0.5
    assert error.mean() < plain_mean.mean() / 2
    assert found.dtype == np.float32


def test_what_one_neighbour_does_not_show_has_the_colours_of_the_other() -> None:
    """A patch comes with the picture between, and stays."""
    first, middle, last = (view(WIDE, 0).copy() for _ in range(3))
    middle[32:64, 48:80] = last[32:64, 48:80] = 1.0 - middle[32:64, 48:80]
    earlier, later = flat(0, 0), flat(0, 0)
    later[32:64, 48:80] = (40.0, -20.0)
    found = between(earlier, later, *motions(first, middle, last))
    assert np.abs(found[40:56, 56:72] - (40.0, -20.0)).mean() < 4.0
    assert np.abs(found[:24]).max() < 0.5


def test_edges_that_come_and_go_have_the_colours_of_the_picture_that_shows_them() -> None:
    error = np.abs(between(view(COLOURS, 0), view(COLOURS, 2), *MOVING) - view(COLOURS, 1))[8:-8]
    assert error[:, :STEP].mean() < 1.0
    assert error[:, -STEP:].mean() < 1.0


def test_what_neither_neighbour_shows_has_colours_of_both() -> None:
    before, after = MOVING
    none = np.zeros_like(before.trust_back)
    found = between(
        flat(10, 0), flat(20, 0), replace(before, trust_back=none), replace(after, trust_there=none)
    )
    assert np.abs(found - (15.0, 0.0)).max() < 1e-3


def test_a_moving_picture_is_explained_and_another_one_is_not() -> None:
    assert is_explained(*MOVING)
    strange = view(WIDE, 1).copy()
    strange[24:72, 32:96] = texture(9, 48, 64)
    assert not is_explained(*motions(view(WIDE, 0), strange, view(WIDE, 2)))


@pytest.mark.parametrize(("side", "explained"), [(8, True), (32, False)])
def test_a_speck_is_passed_over_and_a_small_thing_is_not(side: int, explained: bool) -> None:
    scene = texture(1, 256, 448)
    middle = scene.copy()
    middle[100 : 100 + side, 200 : 200 + side] = 1.0 - middle[100 : 100 + side, 200 : 200 + side]
    assert is_explained(*motions(scene, middle, scene)) == explained


def test_one_neighbour_is_enough_to_explain_a_picture() -> None:
    one, other = texture(5), texture(6)
    for greys in ((one, one, other), (other, one, one)):
        assert is_explained(*motions(*greys))


def test_how_far_colours_lie_apart_is_measured_along_motion() -> None:
    at_rest = apart(view(COLOURS, 0), view(COLOURS, 2), *motions(*[view(WIDE, 0)] * 3))
    assert apart(view(COLOURS, 0), view(COLOURS, 2), *MOVING) < at_rest / 3
    assert apart(flat(3, 4), flat(0, 0), *MOVING) == pytest.approx(5.0, abs=1e-3)


def test_colours_that_no_motion_connects_do_not_count_as_apart() -> None:
    """The right half becomes another picture; the left half stays, in its colours."""
    one, other = texture(5), texture(5)
    other[:, 64:] = texture(6)[:, 64:]
    later = flat(0, 0)
    later[:, 64:] = 50.0
    for middle in (one, other):
        found = apart(flat(0, 0), later, *motions(one, middle, other))
        assert found < 0.5 * np.hypot(50.0, 50.0) / 2
    before, after = MOVING
    nowhere = replace(after, trust_back=np.zeros_like(after.trust_back))
    assert apart(flat(0, 0), later, before, nowhere) == 0.0
