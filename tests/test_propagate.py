from __future__ import annotations

import copy
from itertools import pairwise

import numpy as np
import pytest
from pictures import flat, luma, texture

from vidcolor.frames import Floats
from vidcolor.motion import GRID, Motion, motion_between
from vidcolor.stages.propagate import LOOKAHEAD, Propagator

Shape = tuple[int, int]


def motions(greys: list[Floats]) -> list[Motion | None]:
    lumas = [luma(grey) for grey in greys]
    return [None, *(motion_between(a, b) for a, b in pairwise(lumas))]


def run(propagator: Propagator, greys: list[Floats], abs_: list[Floats]) -> list[Floats]:
    """A shot, from its first picture to its last."""
    out = []
    for ab, motion in zip(abs_, motions(greys), strict=True):
        out += propagator.push(ab, motion, begins=motion is None)
    return [*out, *propagator.finish()]


def test_flicker_on_a_still_picture_is_smoothed_away_and_the_mean_colour_stays() -> None:
    rng = np.random.default_rng(5)
    abs_ = [flat(20 + 6 * rng.standard_normal(), -10) for _ in range(40)]
    smooth = [ab[..., 0].mean() for ab in run(Propagator("flow", 0.9), [texture(0)] * 40, abs_)]
    raw = [ab[..., 0].mean() for ab in abs_]
    assert np.std(smooth[12:]) < 0.15 * np.std(raw[12:])
    assert np.mean(smooth[12:]) == pytest.approx(np.mean(raw[12:]), abs=2.0)


def test_more_smoothing_leaves_less_flicker() -> None:
    rng = np.random.default_rng(6)
    abs_ = [flat(20 + 6 * rng.standard_normal(), 0) for _ in range(40)]
    left = []
    for smoothing in (0.0, 0.1, 0.3, 0.6, 1.0):
        smooth = run(Propagator("flow", smoothing), [texture(0)] * 40, abs_)
        left.append(np.std([ab.mean() for ab in smooth[12:]]))
    assert left == sorted(left, reverse=True)
    assert left[-1] < left[0] / 4


def test_the_past_is_let_go_of_where_luma_changes_slowly() -> None:
    """Each step is too small to be no motion; all of them together are another picture."""
    steps = [np.float32(min(max(i - 20, 0) / 40, 1)) for i in range(70)]
    greys = [texture(1) * (1 - w) + texture(2) * w for w in steps]
    abs_ = [flat(40 - 80 * w, 0) for w in steps]
    out = run(Propagator("flow", 1.0), greys, abs_)
    late = [abs(float((a - b)[..., 0].mean())) for a, b in zip(out, abs_, strict=True)]
    assert max(late) < 16  # 30 when only the last step counts
    assert late[62] < 10


def test_the_past_counts_on_in_a_fade() -> None:
    greys = [texture(1) * np.float32(min(1, (50 - i) / 30)) for i in range(44)]
    abs_ = [flat(40, 0)] * 20 + [flat(0, 40)] * 24  # in the dark the generator errs
    out = run(Propagator("flow", 1.0), greys, abs_)
    assert out[40][..., 0].mean() > 8  # 2 if a change of contrast counted as one of the picture


@pytest.mark.parametrize("bars", [0, 21])
@pytest.mark.parametrize("steps", [1, 8, 24])
@pytest.mark.parametrize("level", [0.1, 0.5, 0.95])
def test_plain_pictures_that_a_scene_goes_over_to_do_not_keep_its_colours(
    level: float, steps: int, bars: int
) -> None:
    left = [np.float32(max(0.0, 1.0 - max(0, i - 19) / steps)) for i in range(20 + steps + 12)]
    greys = [np.asarray(level + w * (texture(1) - level), np.float32) for w in left]
    for grey in greys:
        grey[:, :bars] = grey[:, grey.shape[1] - bars :] = 0.0
    abs_ = [flat(40.0 * float(w), 0) for w in left]
    out = run(Propagator("flow", 0.9), greys, abs_)
    plain = [float(np.abs(ab[:, 32:-32]).max()) for ab in out[19 + steps + 2 :]]
    assert max(plain) < 2


def test_plain_pictures_are_smoothed_among_themselves() -> None:
    rng = np.random.default_rng(7)
    greys = [np.asarray(0.5 + 0.01 * rng.standard_normal((96, 128)), np.float32) for _ in range(40)]
    abs_ = [flat(10 + 6 * rng.standard_normal(), 0) for _ in range(40)]
    out = run(Propagator("flow", 0.9), greys, abs_)
    assert np.std([ab.mean() for ab in out[12:]]) < 0.3 * np.std([ab.mean() for ab in abs_[12:]])


def test_little_is_carried_over_a_dissolve() -> None:
    still = motions([texture(1)] * 2)[1]
    level = []
    for dissolved in (False, True):
        propagator, out = Propagator("flow", 1.0), []
        for i in range(60):
            motion = still if i else None
            ab = flat(40, 0) if i < 40 else flat(-40, 0)
            out += propagator.push(ab, motion, begins=not i, dissolved=dissolved and i == 40)
        level.append([float(ab[..., 0].mean()) for ab in [*out, *propagator.finish()]])
    assert level[0][46] > 0
    assert level[1][46] < -25
    assert level[1][39] > level[1][40] > level[1][41]


def window(wide: Floats, step: int) -> Floats:
    return wide[:, 4 * step : 4 * step + 128].copy()


@pytest.mark.parametrize(("mode", "follows"), [("flow", True), ("average", False)])
def test_colours_follow_motion(mode: str, follows: bool) -> None:
    wide, stripes = texture(1, 96, 300), np.zeros((96, 300, 2), np.float32)
    stripes[..., 0] = np.where(np.arange(300) % 64 < 32, 40.0, -40.0)
    greys = [window(wide, step) for step in range(6)]
    # the generator knows the colours of the first picture alone
    abs_ = [window(stripes, 0), *([np.zeros((96, 128, 2), np.float32)] * 5)]
    moved = run(Propagator(mode, 1.0), greys, abs_)
    inside = np.s_[8:-8, 24:-24, 0]
    along = [float((ab[inside] * window(stripes, step)[inside]).mean()) for step, ab in enumerate(moved)]
    still = [float((ab[inside] * window(stripes, 0)[inside]).mean()) for ab in moved]
    # at the last picture the stripes are 20 pixels away from where they were
    assert (along[5] > 2 * still[5]) if follows else (along[5] < still[5])


def test_fine_structure_comes_from_the_pictures_own_prediction() -> None:
    """Nothing is blurred by being carried on: true colours in, true colours out."""
    rng = np.random.default_rng(3)
    wide = texture(9, 96, 300)
    fine = (20 * rng.standard_normal((96, 300, 2))).astype(np.float32)
    greys, abs_ = [window(wide, s) for s in range(12)], [window(fine, s) for s in range(12)]
    out = run(Propagator("flow", 0.9), greys, abs_)
    assert np.abs(out[8] - abs_[8])[8:-8, 8:-8].mean() < 0.1 * np.abs(abs_[8]).mean()


@pytest.mark.parametrize("mode", ["flow", "average"])
def test_nothing_is_carried_into_another_shot(mode: str) -> None:
    propagator = Propagator(mode, 1.0)
    out = []
    for _ in range(7):
        out += propagator.push(flat(60, 60), motion_between(*[luma(texture(2))] * 2), begins=not out)
    after = flat(-30, -30)
    out += propagator.push(after, motion_between(*[luma(texture(2))] * 2), begins=True)
    out += propagator.finish()
    assert len(out) == 8
    assert np.array_equal(out[-1], after)
    assert np.allclose(out[-2], flat(60, 60), atol=1e-3)  # nor is the next shot looked at from this one


def test_what_motion_does_not_explain_keeps_its_own_prediction() -> None:
    greys = [texture(4) for _ in range(8)]
    greys[4:] = [grey.copy() for grey in greys[4:]]
    for grey in greys[4:]:
        grey[:, :64] = 1.0 - texture(5)[:, :64]  # something else has come in on the left
    abs_ = [flat(40, 0)] * 4 + [flat(-40, 0)] * 4
    out = run(Propagator("flow", 1.0), greys, abs_)
    assert np.abs(out[4][8:-8, 4:40, 0] + 40).mean() < 20  # of the 80 that lie between them
    assert np.abs(out[4][8:-8, 90:-4, 0] + 40).mean() > 30  # where nothing moved, past and present count


def test_a_change_of_exposure_hinders_nothing() -> None:
    grey = texture(4) * 0.6 + 0.1
    greys = [grey] * 4 + [grey + np.float32(0.08)] * 4
    abs_ = [flat(30, 30)] * 4 + [flat(10, 10)] * 4
    assert run(Propagator("flow", 1.0), greys, abs_)[4].mean() > 16


@pytest.mark.parametrize(("mode", "smoothing"), [("off", 1.0), ("flow", 0.0), ("average", 0.0)])
def test_off_leaves_ab_alone_and_holds_nothing_back(mode: str, smoothing: float) -> None:
    propagator = Propagator(mode, smoothing)
    for value in (10.0, 50.0):
        ab = flat(value, value)
        assert propagator.push(ab, None, begins=False) == [ab]


def test_no_more_than_the_look_ahead_is_held_back() -> None:
    propagator, waiting = Propagator("flow", 0.9), 0
    for motion in motions([texture(0)] * 20):
        waiting += 1 - len(propagator.push(flat(1, 1), motion, begins=motion is None))
        assert waiting <= LOOKAHEAD
    assert len(propagator.finish()) == waiting == LOOKAHEAD


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (12, 12), (31, 33), (2, 4000)])
def test_tiny_pictures_do_not_upset_the_flow(shape: Shape) -> None:
    greys = [np.full(shape, 0.5, np.float32)] * 7
    out = run(Propagator("flow", 0.8), greys, [flat(5, 5, shape)] * 7)
    assert all(np.allclose(ab, flat(5, 5, shape), atol=1e-3) for ab in out)


def test_pictures_of_another_size_begin_a_shot() -> None:
    greys = [texture(0)] * 3 + [texture(0, 64, 64)] * 3
    abs_ = [flat(50, 0)] * 3 + [flat(-50, 0, (64, 64))] * 3
    out = run(Propagator("flow", 1.0), greys, abs_)
    assert [ab.shape for ab in out] == [ab.shape for ab in abs_]
    assert np.allclose(out[3], abs_[3], atol=1e-3)


def test_black_and_noisy_pictures_give_finite_colours() -> None:
    rng = np.random.default_rng(1)
    greys = [
        np.zeros((64, 64), np.float32) if i % 2 else rng.random((64, 64)).astype(np.float32) for i in range(9)
    ]
    abs_ = [rng.normal(0, 30, (64, 64, 2)).astype(np.float32) for _ in range(9)]
    assert all(np.isfinite(ab).all() for ab in run(Propagator("flow", 1.0), greys, abs_))


def test_averaging_of_hues_does_not_drain_colour() -> None:
    turns = np.random.default_rng(4).uniform(-0.5, 0.5, 60)
    abs_ = [flat(30 * np.cos(t), 30 * np.sin(t)) for t in turns]
    out = run(Propagator("flow", 0.9), [texture(0)] * 60, abs_)
    chroma = np.mean([np.linalg.norm(ab, axis=-1).mean() for ab in out])
    assert 30 * 0.97 < chroma < 30 * 1.03


@pytest.mark.parametrize("mode", ["flow", "average"])
def test_a_restored_state_goes_on_identically(mode: str) -> None:
    rng = np.random.default_rng(7)
    greys = [texture(6) * np.float32(1 - 0.01 * i) for i in range(14)]
    abs_ = [rng.normal(0, 20, (96, 128, 2)).astype(np.float32) for _ in range(14)]
    links = motions(greys)
    expected = run(Propagator(mode, 0.8), greys, abs_)
    first, out = Propagator(mode, 0.8), []
    for ab, motion in zip(abs_[:9], links[:9], strict=True):
        out += first.push(ab, motion, begins=motion is None)
    state = first.state
    assert state is not None
    stored = copy.deepcopy(state)
    second, done = Propagator(mode, 0.8, stored), len(out)
    for ab, motion in zip(abs_[done:], links[done:], strict=True):
        out += second.push(ab, motion, begins=False)
    out += second.finish()
    assert len(out) == len(expected)
    assert all(np.array_equal(a, b) for a, b in zip(out, expected, strict=True))


def test_the_state_is_small() -> None:
    propagator = Propagator("flow", 0.9)
    for motion in motions([texture(0, 256, 448)] * 8):
        propagator.push(flat(1, 1, (256, 448)), motion, begins=motion is None)
    state = propagator.state
    assert state is not None
    assert state.luma is not None
    held = state.mean.nbytes + state.weight.nbytes + state.luma.nbytes
    assert held <= 4 * 4 * (256 // GRID) * (448 // GRID)
