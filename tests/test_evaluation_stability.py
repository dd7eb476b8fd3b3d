"""How far colours move under small changes of the grey picture."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from judges import photo, save_photos
from numpy.typing import NDArray

from vidcolor.errors import InputError
from vidcolor.evaluation.cli import main
from vidcolor.evaluation.stability import CHANGES, Change, Stability, measure_stability

SIDE = 128


class Fake:
    """Stands in for a predictor: ab by a function of L* ``(h, w)``."""

    multiple = 32

    def __init__(self, function: object) -> None:
        self._function = function

    def __call__(self, luminance: NDArray[np.float32], shape: tuple[int, int]) -> list[NDArray[np.float32]]:
        planes = luminance[:, 0, : shape[0], : shape[1]]
        return [np.asarray(self._function(p), np.float32) for p in planes]  # type: ignore[operator]


def measured(function: object, *changes: Change) -> Stability:
    pictures = [(str(seed), photo(seed, SIDE, SIDE + 32)) for seed in range(3)]
    return measure_stability(pictures, Fake(function), SIDE, changes=changes or CHANGES)  # type: ignore[arg-type]


def constant(lightness: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.full((*lightness.shape, 2), 20.0, np.float32)


def by_lightness(lightness: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.stack((lightness, -lightness), -1)


def by_place(lightness: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = np.indices(lightness.shape)
    return np.stack((columns, rows), -1).astype(np.float32)


def test_a_constant_colour_never_moves() -> None:
    found = measured(constant)
    assert found.pictures == 3
    assert found.chroma == pytest.approx(np.hypot(20, 20))
    assert list(found.moved) == [change.name for change in CHANGES]
    assert max(found.moved.values()) < 1e-6


def test_colours_that_travel_with_the_picture_hold_still_under_shift_and_scale() -> None:
    found = measured(by_lightness)
    for name, moved in found.moved.items():
        if name.startswith(("shift", "scale")):
            assert moved < 0.02, name
        else:
            assert moved > 0.02, name


def test_colours_nailed_to_the_frame_move_by_what_the_picture_moves() -> None:
    change = Change(name="shift", shift=(8, 0))
    found = measured(by_place, change)
    assert found.moved["shift"] * found.chroma == pytest.approx(8.0, abs=0.01)


@pytest.mark.parametrize("scale", [0.9, 1.1])
def test_scaling_is_brought_back_about_the_middle(scale: float) -> None:
    change = Change(name="scale", scale=scale)
    marked = np.zeros((101, 121), np.uint8)
    marked[40:61, 50:71] = 200
    moved = change.apply(marked, np.random.default_rng(0))
    assert np.abs(moved - moved[::-1, ::-1].astype(float)).max() <= 1, "its middle stays where it is"
    assert np.count_nonzero(moved > 100) == pytest.approx(441 * scale**2, rel=0.1)
    back, inside = change.align(np.repeat(moved[..., None].astype(np.float32), 2, -1))
    assert np.abs(back[..., 0] - marked)[45:56, 55:66].max() < 1.0
    assert np.abs(back[..., 0] - marked).mean() < 1.5
    assert inside[50, 60] and not inside[:16].any() and not inside[:, -16:].any()


def test_a_shift_goes_right_and_down_over_mirrored_edges_and_what_leaves_is_not_compared() -> None:
    luma = photo(1, 80, 96)[..., 0]
    change = Change(name="shift", shift=(8, 3))
    moved = change.apply(luma, np.random.default_rng(0))
    assert np.array_equal(moved[3:, 8:], luma[:-3, :-8])
    assert np.array_equal(moved[3:, :8], luma[:-3, 8:0:-1]), "a mirror stands at the edge"
    _, inside = change.align(np.zeros((80, 96, 2), np.float32))
    rows, columns = inside.nonzero()
    assert (rows.min(), rows.max() + 1) == (16, 80 - 16 - 3)
    assert (columns.min(), columns.max() + 1) == (16, 96 - 16 - 8)


def test_changes_are_called_what_they_do() -> None:
    for change in CHANGES:
        _, number = re.split(r"[a-z ]+", change.name)[:2]
        kind = change.name.split()[0]
        done = change.shift["right" not in change.name] if kind == "shift" else getattr(change, kind)
        assert done == float(number), change


def test_each_picture_has_grain_of_its_own_by_the_seed() -> None:
    change = Change(name="grain", grain=4.0)
    found = [
        measure_stability(
            [("a", photo(0, SIDE, SIDE))] * 2,
            Fake(by_lightness),  # type: ignore[arg-type]
            SIDE,
            seed=seed,
            changes=(change,),
        )
        for seed in (0, 1)
    ]
    assert found[0].moved != found[1].moved
    assert found[0].spread["grain"]


def test_grain_and_gamma_are_what_they_say() -> None:
    flat = np.full((200, 200), 128, np.uint8)
    rng = np.random.default_rng(0)
    grain = Change(name="grain", grain=4.0).apply(flat, rng).astype(float)
    assert grain.std() == pytest.approx(4.0, rel=0.05) and grain.mean() == pytest.approx(128, abs=0.1)
    white = Change(name="grain", grain=4.0).apply(np.full_like(flat, 255), rng)
    assert white.min() > 200 and white.max() == 255
    gamma = Change(name="gamma", gamma=0.8).apply(flat, rng)
    assert gamma[0, 0] == round(255 * (128 / 255) ** 0.8)


def test_the_seed_makes_the_grain_repeat() -> None:
    change = Change(name="grain", grain=4.0)
    assert measured(by_lightness, change) == measured(by_lightness, change)


def test_the_standard_error_is_that_of_the_pictures_and_unknown_of_one() -> None:
    change = Change(name="gamma", gamma=0.8)
    pictures = [(str(seed), photo(seed, SIDE, SIDE + 32)) for seed in range(2)]
    alone = [
        measure_stability([one], Fake(by_lightness), SIDE, changes=(change,))  # type: ignore[arg-type]
        for one in pictures
    ]
    assert [one.spread for one in alone] == [{"gamma": None}] * 2
    both = measure_stability(pictures, Fake(by_lightness), SIDE, changes=(change,))  # type: ignore[arg-type]
    moves = [one.moved["gamma"] * one.chroma for one in alone]
    assert both.spread["gamma"] == pytest.approx(abs(moves[1] - moves[0]) / 2.0 / both.chroma)


def test_a_generator_that_leaves_everything_grey_has_no_stability() -> None:
    with pytest.raises(InputError, match="grey"):
        measured(lambda lightness: np.zeros((*lightness.shape, 2)))


def test_the_command_reports_each_change(tmp_path: Path, weights: str) -> None:
    folder = save_photos(tmp_path / "photos", 3)
    arguments = ["stability", str(folder), "--weights", weights, "--render-size", "96", "--limit", "2"]
    result = CliRunner().invoke(main, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["pictures"] == 2
    assert set(found["moved"]) == {change.name for change in CHANGES}
    assert all(value > 0 for value in found["moved"].values())
    table = CliRunner().invoke(main, arguments).stdout
    assert all(change.name in table for change in CHANGES)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no sh")
def test_the_command_does_without_standard_error(tmp_path: Path, weights: str) -> None:
    folder = save_photos(tmp_path / "photos", 1)
    given = [str(folder), "--weights", weights, "--render-size", "96"]
    shell = '"$0" -c "from vidcolor.evaluation.cli import main; main()" stability "$@" 2>&-'
    done = subprocess.run(["sh", "-c", shell, sys.executable, *given], capture_output=True, check=False)
    assert done.returncode == 0
    assert b"1 picture" in done.stdout


def test_the_command_refuses_an_empty_folder(tmp_path: Path, weights: str) -> None:
    result = CliRunner().invoke(main, ["stability", str(tmp_path), "--weights", weights])
    assert result.exit_code == 3
    assert "no picture" in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="names there hold none")
def test_control_characters_of_names_do_not_reach_the_terminal(tmp_path: Path, weights: str) -> None:
    save_photos(tmp_path, 1)
    (tmp_path / "a\nb\x1b[31m.png").write_bytes(b"no picture")
    given = ["stability", str(tmp_path), "--weights", weights, "--render-size", str(SIDE)]
    result = CliRunner().invoke(main, given, color=True)
    assert result.exit_code == 7
    [line] = [line for line in result.stderr.splitlines() if "left out" in line]
    assert line == "vidcolor-eval: a b [31m.png: is damaged, or no picture; left out"
