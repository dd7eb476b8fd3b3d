from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import cv2
import numpy as np
import pytest
from pictures import dissolve, luma, texture

from vidcolor.frames import Floats
from vidcolor.motion import GRID, agreement, fetch, motion_between
from vidcolor.resizing import shrink


def test_a_shift_is_found_both_ways() -> None:
    wide = texture(1, 128, 320)
    motion = motion_between(luma(wide[:, :192].copy()), luma(wide[:, 8:200].copy()))
    assert motion is not None
    inside = np.s_[4:-4, 4:-4]
    # what lies at x in the later picture lay at x + 8 in the earlier one
    assert np.median(motion.back[inside][..., 0]) == pytest.approx(8 / GRID, abs=0.1)
    assert np.median(motion.there[inside][..., 0]) == pytest.approx(-8 / GRID, abs=0.1)
    assert abs(np.median(motion.back[inside][..., 1])) < 0.1
    assert motion.trust_back[inside].mean() > 0.95


def test_what_comes_into_the_picture_is_not_trusted() -> None:
    wide = texture(1, 128, 320)
    motion = motion_between(luma(wide[:, :192].copy()), luma(wide[:, 16:208].copy()))
    assert motion is not None
    assert motion.trust_back[:, -3:].mean() < 0.2


def test_another_picture_is_not_trusted() -> None:
    motion = motion_between(luma(texture(1)), luma(1.0 - texture(2)))
    assert motion is not None
    assert motion.trust_back.mean() < 0.5


def test_a_still_picture_is_trusted_everywhere() -> None:
    motion = motion_between(luma(texture(3)), luma(texture(3)))
    assert motion is not None
    assert motion.trust_back.min() > 0.99
    assert np.abs(motion.back).max() < 0.05


def lit_unevenly(grey: Floats, seed: int, amplitude: float) -> Floats:
    """As a print that was developed unevenly: its parts lighter or darker than they were."""
    parts = np.random.default_rng(seed).uniform(-amplitude, amplitude, (3, 4)).astype(np.float32)
    gains = cv2.resize(parts, grey.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(grey * (1.0 + gains), 0, 1).astype(np.float32)


def test_a_print_that_was_developed_unevenly_keeps_its_trust() -> None:
    grey, trust = texture(3, 192, 256) * np.float32(0.9), []
    for seed in range(8):
        motion = motion_between(
            luma(lit_unevenly(grey, seed, 0.25)), luma(lit_unevenly(grey, seed + 8, 0.25))
        )
        assert motion is not None
        trust.append(motion.trust_back.mean())
    assert np.mean(trust) > 0.8


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_an_exposure_that_shows_more_in_the_sky_keeps_its_trust(seed: int) -> None:
    sky = np.linspace(0.68, 0.08, 192, dtype=np.float32)[:, None]
    grey = sky + texture(seed, 192, 256) * np.float32(0.15)
    motion = motion_between(luma(grey * np.float32(0.7)), luma(np.minimum(grey * np.float32(1.3), 1.0)))
    assert motion is not None
    assert motion.trust_back.mean() > 0.7


def test_uneven_light_is_none_of_the_changes_that_add_up() -> None:
    grey = shrink(texture(3, 192, 256) * np.float32(0.9), GRID)
    uneven = lit_unevenly(grey, 1, 0.25)
    assert agreement(uneven, grey, 1.0).mean() > 0.95 > 0.9 > agreement(uneven, grey).mean()
    assert agreement(shrink(texture(4, 192, 256), GRID), grey, 1.0).mean() < 0.05


@pytest.mark.parametrize("plain", [0.02, 0.97])
@pytest.mark.parametrize("softness", [4, 24])
def test_black_and_white_explain_no_picture(plain: float, softness: int) -> None:
    """They are no light that has changed, however soft the picture before them is."""
    grey = cv2.GaussianBlur(texture(3, 192, 256), (0, 0), softness)
    grey = np.asarray(0.5 + (grey - grey.mean()) * np.float32(0.06 / grey.std()), np.float32)
    motion = motion_between(luma(grey), luma(np.full_like(grey, plain)))
    assert motion is not None
    assert motion.flicker == 0.0
    assert max(motion.trust_back.mean(), motion.trust_there.mean()) < 0.05


def test_a_short_dissolve_is_no_flicker() -> None:
    film = dissolve([texture(3)] * 10, [texture(4)] * 10, 6)
    for earlier, later in pairwise(film):
        motion = motion_between(luma(earlier), luma(later))
        assert motion is not None and motion.flicker < 0.2


@pytest.mark.parametrize("other", [(64, 64), (96, 94)])  # the latter has the same grid
def test_other_sizes_have_no_motion(other: tuple[int, int]) -> None:
    assert motion_between(luma(texture(1, 96, 96)), luma(texture(1, *other))) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (5, 7), (30, 30)])
def test_pictures_too_small_to_be_searched_stand_still(shape: tuple[int, int]) -> None:
    one, other = (np.random.default_rng(s).random(shape).astype(np.float32) for s in (1, 2))
    motion = motion_between(luma(one), luma(other))
    assert motion is not None
    assert not motion.back.any()
    assert motion.trust_back.shape == luma(one).grid.shape


def test_threads_and_their_order_do_not_tell_in_the_result() -> None:
    lumas = [luma(texture(1, 128, 320)[:, 3 * i : 3 * i + 160].copy()) for i in range(12)]
    pairs = list(pairwise(lumas))
    alone = [motion_between(a, b) for a, b in pairs]
    with ThreadPoolExecutor(4) as executor:
        together = [executor.submit(motion_between, a, b) for a, b in reversed(pairs)]
        for one, future in zip(alone, reversed(together), strict=True):
            other = future.result()
            assert one is not None
            assert other is not None
            assert np.array_equal(one.back, other.back)
            assert np.array_equal(one.trust_there, other.trust_there)


def test_fetch_samples_where_the_flow_leads_to() -> None:
    places = np.indices((8, 9), dtype=np.float32)
    flow = np.broadcast_to(np.array([1.5, 2.0], np.float32), (8, 9, 2)).copy()
    moved = fetch(10 * places[0] + places[1], flow)
    assert np.allclose(moved, 10 * np.minimum(places[0] + 2, 7) + np.minimum(places[1] + 1.5, 8))


def test_shrinking_averages() -> None:
    plane = np.arange(64, dtype=np.float32).reshape(8, 8)
    assert np.allclose(shrink(plane, 4), plane.reshape(2, 4, 2, 4).mean((1, 3)))
    assert shrink(plane[:1, :1], 4).shape == (1, 1)
