"""Whether colours hold still in films: the measures, by values derived by hand, and the command."""

from __future__ import annotations

import json
import math
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from media import fill_plane
from numpy.typing import NDArray
from PIL import Image

from vidcolor.checkpoint import load_generator
from vidcolor.colorspace import ab_from_rgb, lightness_from_luma, rgb_from_ycbcr
from vidcolor.errors import UsageError, WeightsError
from vidcolor.evaluation.cli import main
from vidcolor.evaluation.clips import list_clips, read_clip
from vidcolor.evaluation.film import Film, links_of, load_film, shot_numbers, spans_of, steps_of
from vidcolor.evaluation.motion import Motion, between, farneback
from vidcolor.evaluation.options import VideoOptions
from vidcolor.evaluation.raft import Raft
from vidcolor.evaluation.strips import draw_strips, save_strips
from vidcolor.evaluation.temporal import (
    RegionVariance,
    cdc,
    drift,
    follow_corners,
    ghost_region,
    histogram_divergence,
    speed_regions,
    synthetic_flicker,
    warp_error,
)
from vidcolor.evaluation.video import ClipScores, flicker_removal, ghosting, measure_clip
from vidcolor.evaluation.video_report import Target, as_dict, targets
from vidcolor.evaluation.video_table import table
from vidcolor.frames import Picture
from vidcolor.matrices import BT709
from vidcolor.stages.predict import Predictor

HEIGHT, WIDTH = 96, 128
Floats = NDArray[np.float32]


def texture(seed: int, height: int, width: int, cell: int = 6) -> Floats:
    """Soft random blobs ``(h, w)``, 0 to 1, that motion and corners can be found in."""
    coarse = np.random.default_rng(seed).random((height // cell + 2, width // cell + 2)).astype(np.float32)
    large = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(large, 0.0, 1.0), np.float32)


def panning(count: int, speed: int, seed: int = 0) -> tuple[list[Floats], list[Floats]]:
    """Grey and ab of a picture that moves to the left by ``speed`` pixels a frame."""
    wide = WIDTH + speed * count
    grey = texture(seed, HEIGHT, wide)
    ab = np.stack([60.0 * texture(seed + s, HEIGHT, wide, 12) - 20.0 for s in (100, 200)], -1)
    starts = [speed * i for i in range(count)]
    return [grey[:, s : s + WIDTH].copy() for s in starts], [ab[:, s : s + WIDTH].copy() for s in starts]


def gently(count: int) -> tuple[list[Floats], list[Floats]]:
    """Grey of low contrast and ab, moving to the left by a pixel a frame: nothing that looks like a cut."""
    greys, colours = panning(count, 1)
    return [0.4 + np.float32(0.15) * grey for grey in greys], colours


def film_of(
    greys: list[Floats],
    truth: list[Floats],
    raw: list[Floats] | None = None,
    *,
    rate: float = 25.0,
    shots: list[int] | None = None,
) -> Film:
    pictures = [Picture(grey=g, luminance=lightness_from_luma(torch.from_numpy(g)).numpy()) for g in greys]
    seconds = [i / rate for i in range(len(greys))]
    shots = shots or [0] * len(greys)
    return Film(
        name="dir/film.mkv", pictures=pictures, truth=truth, raw=raw or truth, seconds=seconds, shots=shots
    )


def still(flow: tuple[float, float] = (0.0, 0.0), unsure: NDArray[np.bool_] | None = None) -> Motion:
    field = np.broadcast_to(np.array(flow, np.float32), (HEIGHT, WIDTH, 2)).copy()
    none = np.zeros((HEIGHT, WIDTH), bool)
    return Motion(flow=field, hidden=none, unsure=none if unsure is None else unsure)


# warp error


def test_warp_error_of_a_shifted_picture_is_zero() -> None:
    _, (first, second) = panning(2, 3)
    out_of_sight = np.zeros((HEIGHT, WIDTH), bool)
    out_of_sight[:, :3] = True
    assert warp_error(first, second, still((-3.0, 0.0), out_of_sight)) < 1e-8
    assert warp_error(first, second, still((0.0, 0.0))) > 1.0


def test_warp_error_of_a_known_change_is_its_square_where_motion_is_sure() -> None:
    ab = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    changed = ab + np.array([3.0, -4.0], np.float32)
    changed[:, :40] = 1000.0
    unsure = np.zeros((HEIGHT, WIDTH), bool)
    unsure[:, :40] = True
    assert warp_error(ab, changed, still(unsure=unsure)) == pytest.approx(25.0)
    assert math.isnan(warp_error(ab, changed, still(unsure=np.ones_like(unsure))))


def test_pixels_that_leave_the_picture_or_do_not_come_home_are_hidden() -> None:
    right, left = still((5.0, 0.0)).flow, still((-5.0, 0.0)).flow
    found = between(right, left)
    assert found.hidden[:, -5:].all() and not found.hidden[:, :-5].any()
    assert between(right, right).hidden.all()


def test_the_edge_of_a_moving_object_is_unsure_but_its_inside_is_not() -> None:
    flow = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    flow[30:60, 40:80, 0] = 0.5
    found = between(flow, -flow)
    assert found.unsure[45, 40] and found.unsure[30, 60]
    assert not found.hidden.any()
    assert not found.unsure[45, 60] and not found.unsure[10, 10]


def test_the_judge_sees_known_motion() -> None:
    (first, second), _ = panning(2, 3)
    found = between(farneback(first, second), farneback(second, first))
    inside = found.flow[16:-16, 16:-16]
    assert np.linalg.norm(inside - np.array([-3.0, 0.0]), axis=-1).mean() < 0.1
    assert found.hidden[:, 0].mean() > 0.9 and found.hidden[:, 20:-20].mean() < 0.02


# CDC


def flat(value: int) -> NDArray[np.uint8]:
    return np.full((8, 8, 3), value, np.uint8)


def test_divergence_of_equal_histograms_is_zero_and_of_disjoint_ones_ln_2() -> None:
    mixed = np.random.default_rng(0).permutation(np.arange(192, dtype=np.uint8)).reshape(8, 8, 3)
    assert histogram_divergence(mixed, mixed[::-1, ::-1]) == 0.0
    assert histogram_divergence(flat(10), flat(20)) == pytest.approx(math.log(2.0))


def test_divergence_of_half_overlapping_histograms() -> None:
    half = flat(10)
    half[:4] = 20
    # p = (1, 0), q = (1/2, 1/2), middle (3/4, 1/4): half of ln(4/3) and of ln(4/3)/2
    assert histogram_divergence(flat(10), half) == pytest.approx(0.75 * math.log(4.0 / 3.0))


def test_cdc_is_the_mean_over_distances_1_2_and_4() -> None:
    assert cdc([flat(7)] * 5) == 0.0
    # neighbours are disjoint, frames 2 and 4 apart are equal
    assert cdc([flat(10), flat(20)] * 3) == pytest.approx(math.log(2.0) / 3.0)
    assert math.isnan(cdc([flat(10)] * 4))


# drift


def test_drift_is_the_distance_between_the_ends_of_tracks() -> None:
    greys, colours = panning(6, 2)
    start, end = follow_corners(greys)
    assert len(start) > 50
    assert np.abs(end - start - np.array([-10.0, 0.0])).max(1).mean() < 0.2
    inside = (end[:, 0] > 4) & (end[:, 1] > 4) & (end[:, 1] < HEIGHT - 5) & (start[:, 0] < WIDTH - 5)
    places = (start[inside], end[inside])
    assert drift(colours[0], colours[-1], places).mean() < 0.5
    assert drift(colours[0], colours[-1] + np.float32(5.0), places) == pytest.approx(math.sqrt(50.0), abs=1.5)


def test_colours_nailed_to_the_frame_drift_by_how_far_the_picture_moves() -> None:
    greys, _ = panning(6, 2)
    columns = np.broadcast_to(np.arange(WIDTH, dtype=np.float32), (HEIGHT, WIDTH))
    nailed = np.stack((columns, np.zeros_like(columns)), -1)
    assert np.median(drift(nailed, nailed, follow_corners(greys))) == pytest.approx(10.0, abs=0.1)


def test_a_picture_without_corners_has_no_drift() -> None:
    blank = np.full((HEIGHT, WIDTH), 0.5, np.float32)
    ab = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    assert drift(ab, ab + 5.0, follow_corners([blank] * 3)).size == 0


def test_spans_of_drift_stay_within_a_shot_and_near_their_length() -> None:
    greys = [np.zeros((2, 2), np.float32)] * 61
    ab = [np.zeros((2, 2, 2), np.float32)] * 61
    whole = film_of(greys, ab, rate=25.0)
    assert spans_of(whole, 1.0) == [(0, 25), (25, 50)]
    assert spans_of(whole, 5.0) == []
    assert spans_of(film_of(greys, ab, rate=29.97), 1.0) == [(0, 30), (30, 60)]
    cut = film_of(greys, ab, shots=[0] * 20 + [1] * 41)
    assert spans_of(cut, 1.0) == [(20, 45)]


# ghosting and flicker


def test_ghosts_are_looked_for_within_8_pixels_of_the_boundary() -> None:
    hidden = np.zeros((HEIGHT, WIDTH), bool)
    hidden[30:70, 40:90] = True
    near = ghost_region(hidden)
    assert near[50, 40 - 8] and near[50, 39 + 8] and near[30 - 8, 60] and near[69 + 8, 60]
    assert not near[50, 40 - 11] and not near[50, 40 + 11] and not near[50, 65]
    assert not ghost_region(np.zeros_like(hidden)).any()


def test_speeds_are_told_apart() -> None:
    flow = np.zeros((2, 3, 2), np.float32)
    flow[:, 1, 0], flow[:, 2, 1] = 0.5, -1.5
    slow, fast = speed_regions(flow)
    assert slow[0].tolist() == [True, False, False]
    assert fast[0].tolist() == [False, False, True]


def test_variance_over_time_is_that_of_numpy() -> None:
    values = np.random.default_rng(1).normal(5.0, 2.0, (20, 6, 7, 2)).astype(np.float32)
    every = RegionVariance()
    for frame in values:
        every.add(frame, np.ones((6, 7), bool))
    assert every.value() == pytest.approx(values.var(0, ddof=1).mean(), rel=1e-5)


def test_variance_counts_a_pixel_only_while_it_is_in_the_region_and_often_enough() -> None:
    values = np.random.default_rng(2).normal(0.0, 3.0, (20, 1, 3, 2)).astype(np.float32)
    some = RegionVariance()
    for index, frame in enumerate(values):
        some.add(frame, np.array([[index % 2 == 0, False, index < 7]]))
    assert some.value() == pytest.approx(values[::2, 0, 0].var(0, ddof=1).mean(), rel=1e-5)
    assert math.isnan(some.value(least=11))
    assert math.isnan(RegionVariance().value())


def test_flicker_has_its_sigma_half_of_it_in_the_shift_of_the_frame() -> None:
    flicker = np.stack(synthetic_flicker(400, (64, 96), 8.0, 3))
    assert flicker.std() == pytest.approx(8.0, rel=0.1)
    assert flicker.mean((1, 2)).std() > 4.0
    within = flicker - flicker.mean((1, 2), keepdims=True)
    assert within.std() == pytest.approx(8.0 / math.sqrt(2.0), rel=0.15)
    assert np.abs(np.diff(within, axis=2)).mean() < 0.1 * within.std()
    assert np.array_equal(flicker[:2], synthetic_flicker(2, (64, 96), 8.0, 3))
    assert not np.array_equal(flicker[:2], synthetic_flicker(2, (64, 96), 8.0, 4))


def test_the_plain_average_ghosts_where_the_picture_moves_and_calms_it_where_it_is_still() -> None:
    moving = film_of(*gently(10))
    near, elsewhere = ghosting(moving, steps_of(moving, farneback), ("average", 0.9, True))
    assert near > 0.5 and elsewhere > 0.1
    assert ghosting(moving, steps_of(moving, farneback), ("off", 0.9, True)) == (0.0, 0.0)
    greys, colours = panning(1, 0)
    standing = film_of(greys * 30, colours * 30)
    steps = steps_of(standing, farneback)
    assert ghosting(standing, steps, ("average", 0.9, True))[1] == pytest.approx(0.0, abs=1e-3)
    flicker = synthetic_flicker(30, (HEIGHT, WIDTH), 8.0, 0)
    calmed, nothing_moves = flicker_removal(standing, steps, flicker, ("average", 0.9, True))
    assert calmed > 6.0 and math.isnan(nothing_moves)
    assert flicker_removal(standing, steps, flicker, ("off", 0.9, True))[0] == pytest.approx(0.0, abs=1e-6)


def test_the_first_12_pictures_of_a_shot_do_not_count_for_flicker() -> None:
    greys, colours = panning(1, 0)
    film = film_of(greys * 44, colours * 44, shots=[0] * 22 + [1] * 22)
    flicker = synthetic_flicker(44, (HEIGHT, WIDTH), 8.0, 0)
    early = [f if film.age(i) < 12 else np.zeros_like(f) for i, f in enumerate(flicker)]
    steps = steps_of(film, farneback)
    assert math.isnan(flicker_removal(film, steps, early, ("off", 0.9, True))[0])
    assert flicker_removal(film, steps, flicker, ("off", 0.9, True))[0] == pytest.approx(0.0, abs=1e-6)


def test_ghosts_are_looked_for_where_the_second_picture_shows_what_the_first_did_not() -> None:
    film = film_of(*panning(2, 5))
    (step,) = steps_of(film, farneback)
    assert step is not None and step.moving.mean() > 0.9 and not step.still.any()
    assert step.ahead.hidden[:, :3].mean() > 0.8 and step.ahead.hidden[:, -3:].mean() < 0.2
    assert step.near[:, -3:].all() and step.near[:, :16].mean() < 0.2


# a whole film


def measured(film: Film, **options: Any) -> ClipScores:
    given = {"clips": (Path(film.name),), "temporal": "off"} | options
    return measure_clip(film, steps_of(film, farneback), VideoOptions(**given))


def flickering(colours: list[Floats], sigma: float = 8.0) -> list[Floats]:
    return [
        c + f
        for c, f in zip(colours, synthetic_flicker(len(colours), (HEIGHT, WIDTH), sigma, 9), strict=True)
    ]


def test_a_film_that_is_not_smoothed_keeps_all_of_the_excess() -> None:
    greys, colours = gently(30)
    found = measured(film_of(greys, colours, flickering(colours)))
    scores = found.scores
    assert found.excess == pytest.approx(1.0) and found.plain_ratio == pytest.approx(1.0)
    # two independent shifts of sigma² = 64 in each of two channels
    excess = scores["raw"]["chroma_warp"] - scores["truth"]["chroma_warp"]
    assert excess == pytest.approx(4 * 64.0, rel=0.35)
    assert scores["average"]["chroma_warp"] < 0.3 * scores["raw"]["chroma_warp"]
    assert scores["grey"]["colourfulness"] < 0.1 and scores["truth"]["colourfulness"] > 10.0
    assert scores["grey"]["chroma_warp"] == 0.0 and scores["grey"]["rgb_warp"] > 0.0
    assert scores["truth"]["drift_1s"] < 3.0 and scores["raw"]["drift_1s"] > 10.0
    assert math.isnan(scores["truth"]["drift_5s"])
    assert scores["raw"]["cdc"] > scores["truth"]["cdc"] > 0.0
    assert scores["matched"]["smoothing"] == 0.0
    assert scores["matched"]["chroma_warp"] == pytest.approx(scores["raw"]["chroma_warp"])


def test_the_average_that_is_compared_with_ghosts_as_much_but_not_more() -> None:
    greys, colours = gently(16)
    scores = measured(film_of(greys, colours, flickering(colours)), temporal="average", smoothing=0.5).scores
    assert scores["ours"] == scores["average"]
    assert scores["matched"]["smoothing"] == pytest.approx(0.5, abs=1 / 32)
    assert (
        scores["ours"]["ghost_near"] * 0.9 < scores["matched"]["ghost_near"] <= scores["ours"]["ghost_near"]
    )


def test_pairs_over_a_cut_are_left_out() -> None:
    greys, colours = panning(8, 1)
    others, other_colours = panning(8, 1, seed=50)
    shots = [0] * 8 + [1] * 8
    film = film_of(greys + others, colours + other_colours, shots=shots)
    steps = steps_of(film, farneback)
    assert [i for i, step in enumerate(steps) if step is None] == [7]
    assert film.age(7) == 7 and film.age(8) == 0
    cut = measured(film)
    uncut = [measured(film_of(*part)) for part in ((greys, colours), (others, other_colours))]
    for measure in ("chroma_warp", "rgb_warp"):
        mean = sum(u.scores["truth"][measure] for u in uncut) / 2
        assert cut.scores["truth"][measure] == pytest.approx(mean, rel=1e-4)
    assert cut.shots == 2


def test_shots_are_numbered_as_the_filter_counts_them() -> None:
    greys, _ = panning(12, 1)
    others, _ = panning(12, 1, seed=50)
    assert shot_numbers(links_of(greys)) == [0] * 12
    assert shot_numbers(links_of(greys + others)) == [0] * 12 + [1] * 12


# the report


def scored(truth: float, raw: float, ours: float, *, near: float = 1.0, still_db: float = 13.0) -> ClipScores:
    def column(warp: float, cdc_value: float = 1.0, colour: float = 20.0) -> dict[str, float]:
        return {
            "chroma_warp": warp,
            "rgb_warp": 0.001,
            "cdc": cdc_value,
            "colourfulness": colour,
            "drift_1s": 2.0,
            "drift_5s": math.nan,
        }

    filtered = {
        "ghost_near": near,
        "ghost_elsewhere": 0.5,
        "flicker_still_db": still_db,
        "flicker_moving_db": 7.0,
    }
    return ClipScores(
        name="dir/some.mkv",
        frames=40,
        shots=1,
        scores={
            "truth": column(truth),
            "raw": column(raw),
            "average": column(ours) | filtered,
            "ours": column(ours, 0.8, 19.8) | filtered,
            "grey": column(0.0, 0.5, 0.0),
            "matched": {"smoothing": 0.4, "ghost_near": near, "chroma_warp": ours * 2.0},
        },
        slices={
            name: np.full((10, 40, 3), 99, np.uint8) for name in ("truth", "raw", "average", "ours", "grey")
        },
    )


def test_the_excess_is_that_of_the_clips_where_there_is_one() -> None:
    clips = [scored(1.0, 3.0, 1.5), scored(1.0, 7.0, 2.5), scored(4.0, 2.0, 1.0)]
    assert clips[0].excess == pytest.approx(0.25) and math.isnan(clips[2].excess)
    assert clips[2].plain_ratio == pytest.approx(0.5)
    excess = next(t for t in targets(clips) if t.name == "chroma_warp_excess")
    assert excess.value == pytest.approx((0.5 + 1.5) / (2.0 + 6.0)) and excess.met
    assert excess.note == "2 of 3 clips"
    shown = table(clips, VideoOptions(clips=()), "farneback")
    assert shown.count("below truth") == 2 and "1 of 3 clips" in shown
    cells = {line[:32].strip(): line[32:].split() for line in shown.splitlines()}
    assert cells["chroma warp error, ab²"][:2] == ["2.000", "4.000"]
    true = clips[0].scores["truth"]
    assert cells["CDC × 1000"][0] == f"{1000 * true['cdc']:.3f}"
    line = next(line for line in shown.splitlines() if line.startswith("some.mkv"))
    assert line.split()[1:8] == ["40", "1", "1.000", "3.000", "1.500", "1.500", "0.250"]
    unknown = next(t for t in targets(clips[2:]) if t.name == "chroma_warp_excess")
    assert unknown.met is None and "not known" in table(clips[2:], VideoOptions(clips=()), "farneback")


def test_each_aim_is_met_or_not() -> None:
    assert all(t.met for t in targets([scored(1.0, 3.0, 1.5)]))
    missed = {t.name for t in targets([scored(1.0, 3.0, 2.5, near=1.6, still_db=11.9)]) if not t.met}
    assert missed == {"chroma_warp_excess", "ghost_near", "flicker_still_db"}
    worse = scored(1.0, 3.0, 1.5)
    worse.scores["ours"].update(flicker_moving_db=5.9, ghost_elsewhere=0.8, colourfulness=21.0)
    missed = {t.name for t in targets([worse]) if not t.met}
    assert missed == {"flicker_moving_db", "ghost_elsewhere", "colourfulness_kept"}
    aims = {t.name: t.aim for t in targets([scored(1.0, 3.0, 1.5)])}
    assert aims["chroma_warp_of_equal_average"] == "below 1" and aims["cdc_of_truth"] == "0.67 to 1.5"


@pytest.mark.parametrize(("strict", "met"), [(False, True), (True, False)])
def test_an_aim_that_is_its_own_bound_is_met_unless_it_is_strict(strict: bool, met: bool) -> None:
    assert Target(name="a", title="A", value=1.0, most=1.0, strict=strict).met is met
    assert Target(name="a", title="A", value=1.0, least=1.0).met
    assert Target(name="a", title="A", value=1.0, least=1.0).aim == "at least 1"


def test_clips_that_tell_nothing_of_an_aim_are_left_out_of_it() -> None:
    clips = [scored(1.0, 3.0, 1.5), scored(1.0, 3.0, 30.0)]
    clips[1].scores["matched"]["chroma_warp"] = clips[1].scores["truth"]["cdc"] = math.nan
    found = {t.name: t for t in targets(clips)}
    assert found["chroma_warp_excess"].note == "", "both clips tell"
    assert found["chroma_warp_of_equal_average"].value == pytest.approx(0.5)
    assert found["cdc_of_truth"].value == pytest.approx(0.8) and found["cdc_of_truth"].note == ""
    assert found["colourfulness_kept"].note == "clips: 0.99 to 0.99"
    alone = {t.name: t for t in targets(clips[1:])}["chroma_warp_of_equal_average"]
    assert alone.met is None and alone.note == ""
    clips[0].scores["ours"]["chroma_warp"] = 6e-4  # hardly any, where the average has some
    assert {t.name: t for t in targets(clips)}["chroma_warp_of_equal_average"].met


def test_of_a_film_that_stands_still_no_ratio_is_known() -> None:
    film = film_of([gently(1)[0][0]] * 8, [gently(1)[1][0]] * 8, [0.7 * gently(1)[1][0]] * 8)
    clip = measure_clip(film, steps_of(film, farneback), VideoOptions(clips=()))
    assert 0 < clip.scores["ours"]["chroma_warp"] < 1e-3, "rounding of motion"
    met = {t.name: t.met for t in targets([clip])}
    assert met["chroma_warp_of_equal_average"] is None and met["chroma_warp_excess"] is None
    assert {t.name: t.met for t in targets([scored(1e-5, 3e-5, 2e-5)])}["chroma_warp_excess"] is None
    assert {t.name: t.met for t in targets([clip, scored(1.0, 3.0, 1.5)])}["chroma_warp_of_equal_average"]


def test_what_is_undefined_is_null_in_json() -> None:
    found = json.loads(json.dumps(as_dict([scored(4.0, 2.0, 1.0)]), allow_nan=False))
    assert found["chroma_warp_of_raw"] == found["clips"][0]["chroma_warp_of_raw"] == 0.5
    assert found["clips"][0]["chroma_warp_excess"] is None
    assert found["means"]["truth"]["drift_5s"] is None
    assert found["targets"]["chroma_warp_excess"]["met"] is None
    assert found["targets"]["ghost_near"] == {"value": 1.0, "aim": "at most 1.5", "met": True}


def test_strips_show_one_column_of_pixels_over_time(tmp_path: Path) -> None:
    greys, colours = panning(70, 1)
    found = measured(film_of(greys, colours))
    drawn = draw_strips(found)
    rows = [drawn[start + 14 : start + 14 + HEIGHT] for start in range(0, drawn.shape[0], HEIGHT + 14)]
    assert len(rows) == 4 and drawn.shape == (4 * (HEIGHT + 14), 70, 3)
    assert np.array_equal(rows[0], rows[1]) and rows[0].std() > 10
    # the picture moves a pixel a frame, so its column over time is the picture itself
    luma = rows[0].astype(np.float32) @ np.array([BT709.kr, BT709.kg, BT709.kb], np.float32)
    wide = np.concatenate([g[:, WIDTH // 2 : WIDTH // 2 + 1] for g in greys], 1)
    assert np.abs(luma - wide * 255.0).max() < 1.0
    paths = save_strips(tmp_path, [found, found])
    assert [p.name for p in paths] == ["film.mkv.png", "film.mkv-2.png"]
    assert np.array_equal(np.asarray(Image.open(paths[1])), drawn)


# clips


def save_film(path: Path, greys: list[Floats], chroma: tuple[int, int] | None = None) -> Path:
    """A lossless film, BT.709 and limited range, of Y' and of one colour or of moving ones."""
    height, width = greys[0].shape
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv444p"
        stream.codec_context.colorspace = 1
        for index, grey in enumerate(greys):
            frame = av.VideoFrame(width, height, "yuv444p")
            fill_plane(frame.planes[0], np.rint(16 + 219 * grey).astype(np.uint8))
            for plane, turn in ((1, 0), (2, 1)):
                moving = np.rint(90 + 70 * (grey if turn else grey[::-1])).astype(np.uint8)
                fill_plane(
                    frame.planes[plane], moving if chroma is None else np.full_like(moving, chroma[turn])
                )
            frame.pts, frame.time_base = index, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def test_the_true_ab_of_a_clip_is_that_of_its_codes(tmp_path: Path) -> None:
    greys, _ = panning(4, 1)
    path = save_film(tmp_path / "film.mkv", greys, (100, 160))
    found = list(read_clip(path, HEIGHT, 3))
    assert [f.seconds for f in found] == pytest.approx([0.0, 0.04, 0.08])
    y = torch.from_numpy(np.rint(219 * greys[2]) / 219)[None, None]
    assert np.abs(found[2].picture.grey - y.numpy()[0, 0]).max() < 1e-5
    cbcr = torch.tensor([-28 / 224, 32 / 224]).view(1, 2, 1, 1).expand(1, 2, HEIGHT, WIDTH)
    exact = ab_from_rgb(rgb_from_ycbcr(y, cbcr, BT709).clamp(0.0, 1.0))[0].permute(1, 2, 0)
    assert np.abs(found[2].ab - exact.numpy()).max() < 0.01


def test_clips_are_found_in_folders_and_taken_as_named(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("b.MKV", "a.mp4", "notes.txt"):
        (folder / name).touch()
    named = tmp_path / "odd.name"
    (folder / "c.mpeg").touch()
    (folder / "._b.mkv").touch()
    assert list_clips([named, folder]) == [named, *(folder / name for name in ("a.mp4", "b.MKV", "c.mpeg"))]


@pytest.mark.parametrize(("codec", "pix_fmt"), [("png", "rgb24"), ("ffv1", "bgr0")])
def test_the_true_ab_of_an_rgb_clip_is_that_of_its_pixels(codec: str, pix_fmt: str, tmp_path: Path) -> None:
    rgb = np.full((720, 96, 3), (200, 90, 60), np.uint8)
    path = tmp_path / "rgb.mov" if codec == "png" else tmp_path / "rgb.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, 25)
        stream.width, stream.height, stream.pix_fmt = 96, 720, pix_fmt
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pix_fmt)
        frame.pts = 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    [picture] = read_clip(path, 96)
    planes = torch.tensor(rgb).permute(2, 0, 1)[None].float() / 255.0
    truth = ab_from_rgb(planes)[0, :, 0, 0].numpy()
    assert np.abs(picture.ab - truth).max() < 0.6


# the command


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    greys, _ = panning(18, 2)
    save_film(folder / "one.mkv", greys)
    save_film(folder / "two.mkv", greys[:14] + panning(4, 2, seed=50)[0])
    return folder


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["video", "--render-size", "96", *map(str, arguments)])


def test_the_command_measures_and_writes(tmp_path: Path, clips: Path, weights: str) -> None:
    (clips / "broken.mkv").write_bytes(b"no film")
    files: list[str | Path] = [
        "--results",
        tmp_path / "results.json",
        "--strips",
        tmp_path / "new" / "strips",
    ]
    result = command(clips, "--weights", weights, "--json", "--limit", "16", *files)
    (clips / "broken.mkv").unlink()
    assert result.exit_code == 7, result.output
    assert "broken.mkv" in result.stderr and "left out" in result.stderr
    found = json.loads(result.stdout)
    assert [Path(c["name"]).name for c in found["clips"]] == ["one.mkv", "two.mkv"]
    assert [c["frames"] for c in found["clips"]] == [16, 16]
    assert [c["shots"] for c in found["clips"]] == [1, 2]
    assert found["flow"] == "farneback" and len(found["targets"]) == 8
    assert all(found["clips"][0]["scores"]["ours"][m] > 0 for m in ("chroma_warp", "ghost_near", "cdc"))
    assert sorted(p.name for p in (tmp_path / "new" / "strips").iterdir()) == ["one.mkv.png", "two.mkv.png"]
    stored = json.loads((tmp_path / "results.json").read_text())
    assert next(iter(stored)) == "versions", "by which the file is known, however many clips it names"
    assert stored["scores"]["means"] == found["means"]
    assert stored["data"]["damaged"] == [str(clips / "broken.mkv")]
    assert stored["options"]["limit"] == 16 and len(stored["weights"]["sha256"]) == 64


def test_strips_that_cannot_be_written_lose_no_scores(tmp_path: Path, clips: Path, weights: str) -> None:
    film = tmp_path / f"{'n' * 246}.mkv"  # the name of its strips would be longer than a folder takes
    film.write_bytes((clips / "one.mkv").read_bytes())
    results = tmp_path / "results.json"
    given = ("--strips", tmp_path / "strips", "--results", results, "--limit", "4", "--json")
    result = command(film, "--weights", weights, *given)
    assert result.exit_code == 5 and "cannot be written" in result.stderr
    found = json.loads(result.stdout)
    assert json.loads(results.read_text())["scores"]["means"] == found["means"]


def test_the_command_shows_a_line_for_each_clip_and_the_aims(clips: Path, weights: str) -> None:
    result = command(
        clips, "--weights", weights, "--temporal", "average", "--smoothing", "0.5", "--limit", "8"
    )
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split()[:2] for line in lines if ".mkv" in line] == [["one.mkv", "8"], ["two.mkv", "8"]]
    assert "average, smoothing 0.5" in lines[0]
    assert sum(line.endswith((" met", "not met", ")", "not known")) for line in lines[-8:]) == 8


def test_bad_input_is_one_clear_line(tmp_path: Path, clips: Path, weights: str) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(b"no film")
    single = save_film(tmp_path / "single.mkv", panning(1, 1)[0])
    film = clips / "one.mkv"
    cases = (
        ((empty,), 3, "no film is there"),
        ((broken,), 3, "no clip could be measured"),
        ((single,), 3, "at least two"),
        ((film, "--flow", "raft"), 2, "--metric-weights"),
        ((film, "--flow", "raft", "--metric-weights", empty), 4, "raft-things.pth"),
        ((film, "--results", empty / "no" / "file.json"), 5, "no folder"),
        ((film, "--strips", broken / "strips"), 5, "cannot be made"),
    )
    for arguments, code, words in cases:
        result = command(*arguments, "--weights", weights)
        assert result.exit_code == code, (arguments, result.output)
        assert words in result.stderr and "Traceback" not in result.output
    missing = command(film, "--weights", tmp_path / "none.safetensors")
    assert missing.exit_code == 4 and "none.safetensors" in missing.stderr
    assert command().exit_code == 2


def test_options_refuse_what_makes_no_sense() -> None:
    for wrong in ({"limit": 1}, {"flow": "dis"}, {"temporal": "sometimes"}, {"smoothing": 1.5}):
        with pytest.raises(UsageError):
            VideoOptions(clips=(), **wrong)


# RAFT


def authors_name(key: str) -> str:
    """What the authors' checkpoint calls a tensor of torchvision's."""
    name = key.replace("feature_encoder.", "fnet.").replace("context_encoder.", "cnet.")
    name = re.sub(r"net\.convnormrelu\.0", "net.conv1", name)
    name = re.sub(r"net\.convnormrelu\.1", "net.norm1", name)
    name = re.sub(r"net\.conv\.", "net.conv2.", name)
    name = re.sub(r"convnormrelu(\d)\.0", r"conv\1", name)
    name = re.sub(r"convnormrelu(\d)\.1", r"norm\1", name)
    name = re.sub(r"motion_encoder\.conv(c|f)\w+(\d)\.0", r"encoder.conv\1\2", name)
    name = name.replace("motion_encoder.conv.0", "encoder.conv")
    name = re.sub(r"recurrent_block\.convgru(\d)\.conv(\w)", r"gru.conv\2\1", name)
    name = name.replace("mask_predictor.convrelu.0", "update_block.mask.0")
    return "module." + name.replace("mask_predictor.conv", "update_block.mask.2")


@pytest.fixture(scope="module")
def raft_state() -> dict[str, torch.Tensor]:
    from torchvision.models.optical_flow import raft_large

    torch.manual_seed(3)
    state: dict[str, torch.Tensor] = raft_large(weights=None).state_dict()
    return state


def test_raft_is_read_under_the_authors_names_and_under_torchvisions(
    tmp_path: Path, raft_state: dict[str, torch.Tensor]
) -> None:
    theirs = {authors_name(key): value for key, value in raft_state.items()}
    twice = {k.replace("downsample.1", "norm3"): v for k, v in theirs.items() if "downsample.1" in k}
    assert len(theirs) == len(raft_state) and len(twice) == 10
    assert (
        "module.update_block.gru.convq2.bias" in theirs and "module.cnet.layer2.0.norm2.running_var" in theirs
    )
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    torch.save(theirs | twice, tmp_path / "a" / "raft-things.pth")
    torch.save(raft_state, tmp_path / "b" / "raft_large_some.pth")
    one, other = (g[:90] for g in panning(2, 3)[0])
    flows = [Raft(tmp_path / name, torch.device("cpu"))(one, other) for name in ("a", "b")]
    assert flows[0].shape == (90, WIDTH, 2) and flows[0].dtype == np.float32
    assert np.ptp(flows[0]) > 0 and np.array_equal(flows[0], flows[1])


def test_raft_refuses_other_files(tmp_path: Path, raft_state: dict[str, torch.Tensor]) -> None:
    path, some = tmp_path / "raft-things.pth", "mask_predictor.conv.bias"
    cases: tuple[tuple[Any, str], ...] = (
        ({k: v for k, v in raft_state.items() if k != some}, "1 tensors missing, such as " + some),
        (raft_state | {"head.weight": torch.zeros(1)}, "1 tensors unknown, such as head.weight"),
        (raft_state | {some: torch.zeros(2)}, "1 tensors of another shape, such as " + some),
        ([1, 2], "no state dict"),
        ({"code": Path}, "not readable"),
    )
    for content, words in cases:
        torch.save(content, path)
        with pytest.raises(WeightsError, match=re.escape(words)):
            Raft(tmp_path, torch.device("cpu"))
    path.write_bytes(b"garbage")
    with pytest.raises(WeightsError, match="not readable"):
        Raft(tmp_path, torch.device("cpu"))


def test_a_film_without_colours_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    greys, _ = panning(4, 1)
    for name, chroma, said in (("grey.mkv", (128, 128), 1), ("colour.mkv", (100, 160), 0)):
        path = save_film(tmp_path / name, greys, chroma)
        caplog.clear()
        load_film(path, Predictor(load_generator("default"), torch.device("cpu"), "float32"), 64, 4)
        assert caplog.text.count("has no colours") == said
