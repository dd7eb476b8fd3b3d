from __future__ import annotations

import numpy as np
import pytest

from vidcolor.frames import Floats, Picture
from vidcolor.stages.propagate import Propagator


def texture(seed: int, height: int = 96, width: int = 128) -> Floats:
    """Soft random structure that optical flow can follow."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((height // 8 + 2, width // 8 + 2)).astype(np.float32)
    import cv2

    return np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1).astype(
        np.float32
    )


def picture(grey: Floats) -> Picture:
    return Picture(grey=grey, luminance=grey * 100)


def flat(a: float, b: float, shape: tuple[int, int] = (96, 128)) -> Floats:
    return np.broadcast_to(np.array([a, b], np.float32), (*shape, 2)).copy()


def test_flicker_on_a_still_picture_is_smoothed_away() -> None:
    grey, rng = texture(0), np.random.default_rng(5)
    propagator = Propagator("flow", 0.9)
    raw, smooth = [], []
    for _ in range(40):
        ab = flat(20 + 6 * rng.standard_normal(), -10)
        raw.append(ab[..., 0].mean())
        smooth.append(propagator.step(picture(grey), ab)[..., 0].mean())
    assert np.std(smooth[12:]) < 0.4 * np.std(raw[12:])
    assert np.mean(smooth[12:]) == pytest.approx(np.mean(raw[12:]), abs=2.0)


@pytest.mark.parametrize(("mode", "follows"), [("flow", True), ("average", False)])
def test_colours_follow_motion(mode: str, follows: bool) -> None:
    grey = texture(1, 96, 256)
    colour = np.zeros((96, 256, 2), np.float32)
    colour[..., 0] = np.where(np.arange(256) % 64 < 32, 40.0, -40.0)
    propagator = Propagator(mode, 1.0)
    for step in range(6):
        window = slice(4 * step, 4 * step + 128)
        # after the first picture the generator has nothing to say
        ab = colour[:, window].copy() if step == 0 else np.zeros((96, 128, 2), np.float32)
        moved = propagator.step(picture(grey[:, window].copy()), ab)
    inside = np.s_[8:-8, 24:-24, 0]
    truth = colour[:, window][inside]
    kept = (moved[inside] * truth).mean() / (truth**2).mean()
    assert kept > 0.7 if follows else kept < 0.3


@pytest.mark.parametrize("mode", ["flow", "average"])
def test_nothing_is_carried_over_a_cut(mode: str) -> None:
    propagator = Propagator(mode, 1.0)
    for _ in range(5):
        propagator.step(picture(texture(2)), flat(60, 60))
    after = flat(-30, -30)
    assert np.array_equal(propagator.step(picture(1.0 - texture(3)), after), after)


def test_a_change_of_exposure_is_no_cut() -> None:
    propagator = Propagator("flow", 1.0)
    grey = texture(4) * 0.6 + 0.1
    propagator.step(picture(grey), flat(30, 30))
    brighter = propagator.step(picture(grey + np.float32(0.08)), flat(10, 10))
    assert brighter.mean() > 20


@pytest.mark.parametrize(("mode", "smoothing"), [("off", 1.0), ("flow", 0.0)])
def test_off_leaves_ab_alone(mode: str, smoothing: float) -> None:
    propagator = Propagator(mode, smoothing)
    for value in (10.0, 50.0):
        ab = flat(value, value)
        assert propagator.step(picture(texture(0)), ab) is ab


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (12, 12)])
def test_tiny_pictures_do_not_upset_the_flow(shape: tuple[int, int]) -> None:
    propagator = Propagator("flow", 0.8)
    for _ in range(3):
        assert propagator.step(picture(np.full(shape, 0.5, np.float32)), flat(5, 5, shape)).shape == (
            *shape,
            2,
        )


def test_black_and_noisy_pictures_give_finite_colours() -> None:
    rng, propagator = np.random.default_rng(1), Propagator("flow", 1.0)
    for index in range(6):
        grey = np.zeros((64, 64), np.float32) if index % 2 else rng.random((64, 64)).astype(np.float32)
        ab = propagator.step(picture(grey), rng.normal(0, 30, (64, 64, 2)).astype(np.float32))
        assert np.isfinite(ab).all()


def test_a_restored_state_goes_on_identically() -> None:
    frames = [(texture(6) * (1 - 0.01 * i), flat(5.0 * i, -i)) for i in range(6)]
    whole, broken = Propagator("flow", 0.8), Propagator("flow", 0.8)
    expected = [whole.step(picture(grey), ab.copy()) for grey, ab in frames]
    for grey, ab in frames[:3]:
        broken.step(picture(grey), ab.copy())
    resumed = Propagator("flow", 0.8)
    resumed.state = broken.state
    for (grey, ab), want in zip(frames[3:], expected[3:], strict=True):
        assert np.array_equal(resumed.step(picture(grey), ab.copy()), want)
