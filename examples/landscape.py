"""Draw a landscape, take its colour away, and colour it: the picture at the top of the README.

    python examples/landscape.py [FOLDER]

Needs no photograph: mountains and clouds are noise, the meadow is strokes. Writes FOLDER/truth.png,
FOLDER/grey.png, FOLDER/coloured.png and FOLDER/before-after.jpg, grey beside coloured.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import vidcolor

HEIGHT, WIDTH = 540, 960
SHOWN = (640, 360)
"""Width and height of either half of what is shown."""
Map = NDArray[np.float32]


def noise(seed: int, base: int, octaves: int, persistence: float, stretch: float = 1.0) -> Map:
    """Fractal noise ``(HEIGHT, WIDTH)`` around zero: cells of a ``base``-th of the width and finer ones."""
    rng, total = np.random.default_rng(seed), np.zeros((HEIGHT, WIDTH), np.float32)
    for octave in range(octaves):
        cells = base * 2**octave
        grid = rng.standard_normal((max(2, int(cells * stretch * HEIGHT / WIDTH)) + 3, cells + 3))
        total += persistence**octave * cv2.resize(
            grid.astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC
        )
    scaled: Map = total * np.float32((1.0 - persistence) / (1.0 - persistence**octaves))
    return scaled


def sky(rows: Map) -> Map:
    """Blue that pales towards the horizon, ``(HEIGHT, WIDTH, 3)`` R'G'B' in 0..1, with clouds."""
    way = 1.4 * rows[..., None] / HEIGHT
    blue = np.array([0.36, 0.55, 0.80]) + way * np.array([0.42, 0.30, 0.13])
    clouds = np.clip(3.2 * (noise(3, 3, 7, 0.55, 0.45) - 0.02), 0.0, 1.0)[..., None] ** 1.2
    shade = np.clip(1.4 * noise(11, 4, 6, 0.55) + 0.85, 0.6, 1.0)[..., None]
    mixed: Map = (blue * (1.0 - clouds) + 0.97 * shade * clouds).astype(np.float32)
    return mixed


def mountains(picture: Map, rows: Map) -> Map:
    """Three ranges, the nearer the darker."""
    ranges = (
        (250, 90, 3, (0.55, 0.62, 0.70)),
        (300, 70, 3, (0.36, 0.46, 0.47)),
        (335, 40, 4, (0.2, 0.31, 0.2)),
    )
    for number, (level, height, base, colour) in enumerate(ranges):
        ridge = level - height * noise(21 + number, base, 8, 0.5)[1]
        light = cv2.GaussianBlur(noise(101 + number, 8, 6, 0.6), (0, 0), 3)
        slope = cv2.Sobel(light, cv2.CV_32F, 1, 0, ksize=5)
        relief = (
            1.0 + 0.9 * slope / np.abs(slope).max() + (0.25 + 0.15 * number) * noise(71 + number, 16, 8, 0.75)
        )
        rock = np.clip(np.array(colour) * relief[..., None], 0.0, 1.0)
        picture = np.where((rows > ridge[None])[..., None], rock, picture).astype(np.float32)
    return picture


def meadow(picture: Map, rows: Map, rng: np.random.Generator) -> Map:
    """Grass, blade by blade, longer in front."""
    green, patches = np.array([0.36, 0.47, 0.16]), noise(42, 3, 4, 0.5)
    ground = np.clip(green * (0.75 + 0.35 * patches[..., None]), 0.0, 1.0)
    edge = 395 - 25 * noise(31, 2, 8, 0.45)[1]
    picture = np.ascontiguousarray(np.where((rows > edge[None])[..., None], ground, picture), np.float32)
    for y in np.sort(392 + (HEIGHT - 386) * rng.random(60_000) ** 1.3):
        x = rng.uniform(0, WIDTH)
        length = 2 + 26 * ((y - 385) / (HEIGHT - 385)) ** 1.4
        tone = rng.normal(1.0, 0.25) * (0.8 + 0.35 * patches[min(int(y), HEIGHT - 1), int(x)])
        end = (int(x + 0.4 * length * rng.normal()), int(y - length))
        blade = tuple(float(v) for v in np.clip(green * tone, 0.0, 1.0))
        cv2.line(picture, (int(x), int(y)), end, blade, 1, cv2.LINE_AA)
    return picture


def firs(picture: Map, rng: np.random.Generator) -> Map:
    """Firs along the meadow's far edge and in groups at both sides."""
    for number in range(34):
        foot = 392 + 90 * (number / 33) ** 3
        x, size = rng.uniform(0, WIDTH), foot - 358
        if foot > 410 and 200 < x < 760:
            x = rng.choice((rng.uniform(0, 180), rng.uniform(780, WIDTH)))
        for _ in range(int(22 * size)):
            down = rng.random()
            breadth = 0.21 * size * down**0.8 * (0.75 + 0.25 * np.sin(40 * down))
            at = x + breadth * rng.normal()
            light = rng.uniform(0.5, 1.2) * (1.15 if at < x else 0.75)
            needle = tuple(float(v) for v in np.array([0.16, 0.27, 0.12]) * light)
            place = (int(at), int(foot - 1.6 * size * (1.0 - down)))
            cv2.circle(picture, place, max(1, int(0.028 * size)), needle, -1, cv2.LINE_AA)
    return picture


def landscape() -> NDArray[np.uint8]:
    """The picture in its true colours, R'G'B'."""
    rng = np.random.default_rng(7)
    rows = np.mgrid[0:HEIGHT, 0:WIDTH][0].astype(np.float32)
    picture = firs(meadow(mountains(sky(rows), rows), rows, rng), rng)
    picture = cv2.GaussianBlur(picture, (0, 0), 0.7) + rng.normal(0.0, 0.008, (HEIGHT, WIDTH, 1))
    return np.asarray(np.rint(255.0 * np.clip(picture, 0.0, 1.0)), np.uint8)


def main() -> None:
    """Draw it and colour it."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "landscape")
    folder.mkdir(parents=True, exist_ok=True)
    truth = np.ascontiguousarray(landscape()[..., ::-1])  # OpenCV writes B'G'R'
    cv2.imwrite(str(folder / "truth.png"), truth)
    cv2.imwrite(str(folder / "grey.png"), cv2.cvtColor(truth, cv2.COLOR_BGR2GRAY))
    vidcolor.colorize(folder / "grey.png", folder / "coloured.png", vidcolor.Options(overwrite=True))
    both = [np.asarray(cv2.imread(str(folder / name))) for name in ("grey.png", "coloured.png")]
    small = [cv2.resize(one, SHOWN, interpolation=cv2.INTER_AREA) for one in both]
    cv2.imwrite(str(folder / "before-after.jpg"), np.hstack(small), [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(f"{folder / 'before-after.jpg'}: before and after")


if __name__ == "__main__":
    main()
