"""Small moves of the camera: what they show, and where it can be compared."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from vidcolor.training.moves import in_sight, moved, moves

CPU = torch.device("cpu")


def test_moves_are_drawn_for_each_picture_and_stay_small() -> None:
    found = moves(200, CPU, seed=1, step=5)
    assert torch.equal(found[50:], moves(150, CPU, seed=1, step=5, first=50))
    assert not torch.equal(found, moves(200, CPU, seed=1, step=6))
    assert torch.equal(found[:, 0, 1], torch.zeros(200)) and torch.equal(found[:, 1, 0], torch.zeros(200))
    assert torch.equal(found[:, 0, 0], found[:, 1, 1]), "a zoom does not stretch"
    assert 0.81 < found[:, 0, 0].min() < 0.85 and 1.18 < found[:, 0, 0].max() < 1.23
    assert 0.07 < found[:, :, 2].abs().max() <= 0.09


@pytest.mark.parametrize(("zoom", "right", "down"), [(1.0, 4, -2), (1.1, 0, 0), (0.9, 3, 5)])
def test_a_move_is_that_of_a_camera(zoom: float, right: int, down: int) -> None:
    size = 64
    picture = cv2.GaussianBlur(np.random.default_rng(2).random((size, size), np.float32), (0, 0), 3.0)
    middle = (size - 1) / 2.0
    pixels = np.array(
        [[zoom, 0.0, middle - zoom * middle + right], [0.0, zoom, middle - zoom * middle + down]]
    )
    wanted = cv2.warpAffine(picture, pixels, (size, size), borderMode=cv2.BORDER_REFLECT_101)
    half = size / 2.0
    back = torch.tensor([[[1.0 / zoom, 0.0, -right / half / zoom], [0.0, 1.0 / zoom, -down / half / zoom]]])
    found = moved(torch.from_numpy(picture)[None, None], back)
    inside = in_sight(back, size, size)[0]
    assert np.abs(found[0, 0].numpy() - np.asarray(wanted))[inside.numpy()].max() < 2e-3


def test_places_are_exact_in_mixed_precision() -> None:
    picture, found = torch.rand(2, 2, 112, 112), moves(2, CPU, seed=1, step=0)
    exact, inside = moved(picture, found), in_sight(found, 112, 112)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(moved(picture, found), exact)
        assert torch.equal(in_sight(found, 112, 112), inside)


def test_what_comes_from_beyond_the_edges_is_not_compared() -> None:
    left = torch.tensor([[[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]]])  # a quarter of the picture leaves on the left
    inside = in_sight(left, 40, 40)[0]
    assert inside[20].nonzero().flatten().tolist() == list(range(2, 28)), "up to 0.38, which shows 0.88"
    assert inside[:, 20].nonzero().flatten().tolist() == list(range(2, 38))
    near = in_sight(torch.tensor([[[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]]]), 40, 40)[0]
    assert near[20].nonzero().flatten().tolist() == list(range(2, 38))
