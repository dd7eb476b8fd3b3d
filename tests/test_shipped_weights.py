"""What the weights that come with vidcolor must leave alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vidcolor.checkpoint import load_generator
from vidcolor.stages.luminance import lightness, padded
from vidcolor.stages.predict import Predictor

Grey = NDArray[np.float32]
SHAPE = (256, 352)


def title(ground: float, ink: float) -> Grey:
    picture = np.full(SHAPE, ground, np.uint8)
    for line, text in enumerate(("MEANWHILE,", "in the city", "of New York")):
        cv2.putText(picture, text, (40, 80 + 50 * line), cv2.FONT_HERSHEY_DUPLEX, 1.1, ink, 2, cv2.LINE_AA)
    return picture.astype(np.float32)


def grainy(level: float, sigma: float) -> Grey:
    noise = np.random.default_rng(1).normal(level, sigma, SHAPE)
    return np.asarray(np.clip(cv2.GaussianBlur(noise, (0, 0), 0.7), 0, 255), np.float32)


def wall(level: float, *, falls: float = 0.0, lamp: float = 0.0, shadow: float = 0.0) -> Grey:
    """Plain, code ``level`` in the middle, ``falls`` codes darker at the bottom than at the top.

    It has a lamp's glow at the upper right, and a soft shadow on the lower left, of so many codes.
    """
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]] / SHAPE[0]
    light = level + falls * (0.5 - y) + lamp * np.exp(-((x - 1.1) ** 2 + (y - 0.2) ** 2) / 0.1)
    light -= shadow / (1.0 + np.exp((x - y + 0.2) * 20.0))
    return np.asarray(np.clip(light + np.random.default_rng(2).normal(0, 1.5, SHAPE), 0, 255), np.float32)


WITHOUT_COLOUR = {
    "white on black": title(0, 255),
    "grey on film black": title(12, 200),
    "black on white": title(245, 10),
    "black": np.zeros(SHAPE, np.float32),
    "film black": grainy(8, 6),
    "dark": grainy(24, 4),
    "middle grey": grainy(120, 8),
    "white": np.full(SHAPE, 255, np.float32),
    "white wall, light from above": wall(190, falls=70),
    "white wall, light from below": wall(170, falls=-90),
    "white wall, a lamp": wall(150, falls=30, lamp=80),
    "grey wall, a lamp": wall(90, falls=20, lamp=120),
    "grey wall, a shadow": wall(120, falls=30, shadow=50),
}


@pytest.fixture(scope="module", params=["default", "steady"])
def predictor(request: pytest.FixtureRequest) -> Predictor:
    return Predictor(load_generator(request.param), torch.device("cpu"), "float32")


@pytest.mark.parametrize("name", ["default", "steady"])
def test_dark_things_are_not_left_violet_nor_rims_cyan(name: str) -> None:
    """Weights that replace these bring it along: films show what it is for, scores hardly do."""
    config = load_generator(name).network.config
    assert config["less_violet"] > 0.5 and config["less_cyan"] > 0.5


@pytest.mark.parametrize("what", WITHOUT_COLOUR)
def test_titles_and_blank_film_stay_grey(what: str, predictor: Predictor) -> None:
    picture = padded([lightness(WITHOUT_COLOUR[what] / 255.0)], predictor.multiple)
    chroma = np.linalg.norm(predictor(picture, SHAPE)[0], axis=-1)
    assert chroma.mean() < 4.0
