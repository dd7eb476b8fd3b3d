"""Shots, motion and the filter together, as the pipeline uses them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from pictures import dissolve, flat, picture, texture

from vidcolor.frames import Floats, Picture
from vidcolor.sparse import smooth
from vidcolor.stages.propagate import LOOKAHEAD
from vidcolor.stages.shots import LOOKAHEAD as SHOT_LOOKAHEAD
from vidcolor.temporal import Linker


def shot(seed: int, count: int, speed: int = 2) -> list[Picture]:
    """A pan over a texture."""
    wide = texture(seed, 96, 128 + speed * count)
    return [picture(wide[:, speed * i : speed * i + 128].copy()) for i in range(count)]


def run(pictures: list[Picture], abs_: list[Floats], mode: str = "flow") -> list[Floats]:
    out = list(smooth(zip(pictures, abs_, strict=True), mode, 0.9))
    assert [ab.shape for ab in out] == [ab.shape for ab in abs_]
    return out


@pytest.mark.parametrize("mode", ["flow", "average"])
def test_promise_6_colours_stop_at_cuts(mode: str) -> None:
    pictures = shot(1, 20) + shot(2, 20) + shot(3, 20)
    abs_ = [flat(40, 0)] * 20 + [flat(-40, 0)] * 20 + [flat(0, 40)] * 20
    out = run(pictures, abs_, mode)
    assert max(np.abs(a - b).max() for a, b in zip(out, abs_, strict=True)) < 1e-2


def test_promise_6_colours_hold_still_and_follow_motion() -> None:
    rng = np.random.default_rng(1)
    abs_ = [flat(20 + 8 * rng.standard_normal(), 10) for _ in range(50)]
    out = run(shot(4, 50), abs_)
    assert np.std([ab.mean() for ab in out[12:]]) < 0.25 * np.std([ab.mean() for ab in abs_[12:]])


def dissolved(length: int) -> list[Picture]:
    """Two still shots of 60 pictures, the one dissolving into the other until the last takes over at 60."""
    greys = dissolve([texture(1)] * 60, [texture(2)] * (60 + length), length)
    return [picture(grey) for grey in greys]


@pytest.mark.parametrize("length", [16, 30])
def test_promise_6_colours_go_over_in_a_dissolve_and_do_not_jump_at_its_end(length: int) -> None:
    pictures = dissolved(length)
    # the generator sees the old shot till the middle of the dissolve, then the new one
    middle = 60 - length // 2
    abs_ = [flat(40, 0)] * middle + [flat(-40, 0)] * (len(pictures) - middle)
    level = [float(ab[..., 0].mean()) for ab in run(pictures, abs_)]
    assert all(value > 35 for value in level[: 60 - length])
    assert all(value < -30 for value in level[63:])
    assert max(abs(b - a) for a, b in pairwise(level)) < 25  # of 80 between the two


@pytest.mark.parametrize("mode", ["flow", "average"])
def test_a_dissolve_ends_no_shot_on_which_the_next_would_not_depend(mode: str) -> None:
    linker = Linker(mode)
    links = [*(x for p in dissolved(16) for x in linker.push(p.grey)), *linker.finish()]
    assert [n for n, link in enumerate(links) if link.begins] == [0]
    [at] = [n for n, link in enumerate(links) if link.dissolved]
    assert 57 <= at <= 61


def test_a_plain_average_begins_anew_after_a_dissolve() -> None:
    pictures = dissolved(16)
    abs_ = [flat(40, 0)] * 52 + [flat(-40, 0)] * (len(pictures) - 52)
    assert np.abs(run(pictures, abs_, "average")[62] - abs_[62]).max() < 1e-2


@pytest.mark.parametrize("mode", ["flow", "average", "off"])
def test_no_more_pictures_wait_than_the_look_ahead(mode: str) -> None:
    given = taken = 0

    def pairs() -> Iterator[tuple[Picture, Floats]]:
        nonlocal given
        for one in shot(1, 30):
            given += 1
            yield one, flat(1, 1)

    for _ in smooth(pairs(), mode, 0.9):
        taken += 1
        # with a picture that is predicted, one under way, and those between them
        assert given - taken <= LOOKAHEAD + SHOT_LOOKAHEAD + 4
    assert taken == 30


def test_threads_give_the_same_links() -> None:
    pictures = shot(1, 15) + shot(2, 15)
    with ThreadPoolExecutor(3) as executor:
        alone, together = Linker("flow"), Linker("flow", executor)
        links = [
            [*(x for p in pictures for x in one.push(p.grey)), *one.finish()] for one in (alone, together)
        ]
        assert [link.begins for link in links[0]] == [link.begins for link in links[1]]
        assert [n for n, link in enumerate(links[0]) if link.begins] == [0, 15]
        for one, other in zip(*links, strict=True):
            if one.motion is None:
                assert other.motion is None
                continue
            assert other.motion is not None
            first, second = one.motion.result(), other.motion.result()
            assert first is not None
            assert second is not None
            assert np.array_equal(first.trust_back, second.trust_back)


def odd_films() -> dict[str, list[Picture]]:
    rng = np.random.default_rng(3)
    noise = [picture(rng.random((64, 80)).astype(np.float32)) for _ in range(12)]
    black = [picture(np.zeros((64, 80), np.float32))] * 12
    return {
        "shots of one picture": [shot(seed, 1)[0] for seed in range(12)],
        "black": black,
        "noise": noise,
        "black, then noise": black[:6] + noise[:6],
        "every picture twice": [p for p in shot(5, 6) for _ in (0, 1)],
        "five a second": shot(6, 12, speed=24),
        "a hundred and twenty a second": shot(7, 60, speed=0),
        "one picture": shot(1, 1),
        "two pictures": shot(1, 2),
        "smaller than motion can be sought in": [picture(texture(i, 9, 20)) for i in range(12)],
        "a pixel": [picture(np.full((1, 1), i / 12, np.float32)) for i in range(12)],
    }


@pytest.mark.parametrize("name", odd_films())
def test_odd_films_come_out_whole_and_within_the_colours_that_went_in(name: str) -> None:
    pictures = odd_films()[name]
    rng = np.random.default_rng(2)
    abs_ = [flat(*rng.uniform(10, 30, 2), one.grey.shape) for one in pictures]
    for ab in run(pictures, abs_):
        assert np.isfinite(ab).all()
        assert ab.min() > 5
        assert ab.max() < 40


def test_no_pictures_are_no_film() -> None:
    assert list(smooth([], "flow", 0.9)) == []
