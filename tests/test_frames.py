from __future__ import annotations

import itertools

import numpy as np
import pytest

from vidcolor.frames import Orientation, Signal
from vidcolor.matrices import BT709

ONE = 65536
# display matrices a b u c d v x y w by what they do to a picture
QUARTER_TURNS = {
    "none": (ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30),
    "clockwise": (0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30),
    "half": (-ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30),
    "counter-clockwise": (0, -ONE, 0, ONE, 0, 0, 0, 0, 1 << 30),
}
PICTURE = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize(
    ("name", "turns"), [("none", 0), ("clockwise", -1), ("half", 2), ("counter-clockwise", 1)]
)
def test_quarter_turns_of_the_display_matrix(name: str, turns: int) -> None:
    orientation = Orientation.from_matrix(QUARTER_TURNS[name])
    assert np.array_equal(orientation.upright(PICTURE), np.rot90(PICTURE, turns))
    assert orientation.matrix == (QUARTER_TURNS[name] if turns else None)


def test_mirrors_of_the_display_matrix() -> None:
    mirrored = Orientation.from_matrix((-ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30))
    assert np.array_equal(mirrored.upright(PICTURE), PICTURE[:, ::-1])
    flipped = Orientation.from_matrix((ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30))
    assert np.array_equal(flipped.upright(PICTURE), PICTURE[::-1])


def test_other_angles_count_as_upright() -> None:
    slanted = (46341, 46341, 0, -46341, 46341, 0, 0, 0, 1 << 30)
    assert Orientation.from_matrix(slanted) == Orientation()


@pytest.mark.parametrize("flags", list(itertools.product([False, True], repeat=3)))
def test_a_display_matrix_tells_what_it_was_made_of(flags: tuple[bool, bool, bool]) -> None:
    orientation = Orientation(transpose=flags[0], mirror=flags[1], flip=flags[2])
    matrix = orientation.matrix
    assert (matrix is None) == (not any(flags))
    assert matrix is None or Orientation.from_matrix(matrix) == orientation


@pytest.mark.parametrize("flags", list(itertools.product([False, True], repeat=3)))
def test_stored_undoes_upright(flags: tuple[bool, bool, bool]) -> None:
    orientation = Orientation(transpose=flags[0], mirror=flags[1], flip=flags[2])
    assert np.array_equal(orientation.stored(orientation.upright(PICTURE)), PICTURE)


@pytest.mark.parametrize("depth", [8, 10, 12, 16])
def test_codes_of_black_white_and_neutral(depth: int) -> None:
    unit = 1 << (depth - 8)
    limited = Signal(depth=depth, full_range=False, matrix=BT709)
    assert limited.expand(np.array([16 * unit, 235 * unit])).tolist() == pytest.approx([0.0, 1.0])
    assert limited.chroma_codes(np.array([0.0, -0.5, 0.5, 0.7], np.float32)).tolist() == [
        128 * unit, 16 * unit, 240 * unit, 240 * unit,
    ]  # fmt: skip
    assert limited.expand(np.array([8 * 235 * unit]), 8).tolist() == pytest.approx([1.0]), "a sum of eight"
    full = Signal(depth=depth, full_range=True, matrix=BT709)
    assert full.expand(np.array([0, 2**depth - 1])).tolist() == pytest.approx([0.0, 1.0])
    assert limited.chroma_codes(np.array([0.7, 0.3]) / (224 * unit)).tolist() == [128 * unit + 1, 128 * unit]
    assert full.chroma_codes(np.array([0.0, 0.9], np.float32)).tolist() == [128 * unit, 2**depth - 1]
    assert full.chroma_codes(np.array([-0.25], np.float32)).tolist() == [64 * unit], "a quarter of the codes"
    for signal in (limited, full):
        codes = np.arange(16 * unit, 241 * unit, unit)
        assert signal.chroma_codes(signal.chroma_of(codes)).tolist() == codes.tolist(), "there and back"
        assert signal.chroma_of(np.array([signal.neutral])).tolist() == [0.0]


def test_codes_have_the_depth_s_type() -> None:
    zero = np.zeros((1, 1), np.float32)
    assert Signal(depth=8, full_range=False, matrix=BT709).chroma_codes(zero).dtype == np.uint8
    assert Signal(depth=10, full_range=False, matrix=BT709).chroma_codes(zero).dtype == np.uint16
