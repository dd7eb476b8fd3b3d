"""What never had a colour: titles, countdown leaders, blank film, letters on a picture, and plain walls."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from vidcolor.errors import UsageError
from vidcolor.training.randomness import uniforms

CARD_SHARE = 0.09
_KINDS = {"wall": 0.4, "text": 0.3, "blank": 0.12, "letters on the picture": 0.12, "leader": 0.06}
_LETTERS = "AAABCDEEEEFGHIIIJKLMNNNOOOPRRRSSSTTTUVWY"


def with_cards(rgb: Tensor, *, seed: int, step: int, first: int = 0, share: float = CARD_SHARE) -> Tensor:
    """Replace some of the pictures by grey ones, or write on them, so that such things are left grey.

    What happens to picture i depends on ``seed``, ``step`` and ``first + i`` only, on every device.

    Args:
        rgb: R'G'B' ``(N, 3, h, w)``, 0..1.
        step: number of the batch.
        first: place of the first picture in the whole batch, of which ``rgb`` may be one rank's part.
        share: of the pictures that this happens to.

    Returns:
        R'G'B' ``(N, 3, h, w)``, 0..1; ``rgb`` itself where nothing happens.
    """
    table = uniforms("cards", seed, step, first=first, rows=rgb.shape[0], columns=2)
    struck = (table[:, 0] < share).nonzero()[0]
    if not len(struck):
        return rgb
    made = rgb.clone()
    for place in struck.tolist():
        chance = np.random.Generator(np.random.PCG64(int(table[place, 1] * 2.0**53)))
        ink, cover = _card(chance, rgb.shape[-2], rgb.shape[-1])
        layer, opacity = (torch.from_numpy(plane).to(rgb.device) for plane in (ink, cover))
        made[place] = made[place] * (1.0 - opacity) + layer * opacity
    return made


def _card(
    chance: np.random.Generator, height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Grey and opacity, both ``(height, width)``, 0..1."""
    kind = str(chance.choice(list(_KINDS), p=list(_KINDS.values())))
    if kind == "wall":
        return _wall(chance, height, width), np.ones((height, width), np.float32)
    dark = chance.random() < 0.75
    ground = chance.uniform(0.0, 0.25) if dark else chance.uniform(0.7, 1.0)
    if chance.random() < (0.6 if kind == "blank" else 0.15):
        ground = chance.random()
    ink = chance.uniform(0.5, 1.0) if ground < 0.5 else chance.uniform(0.0, 0.3)
    drawn = Image.new("L", (width, height))
    if kind in ("text", "letters on the picture"):
        _write(ImageDraw.Draw(drawn), chance, height, width)
    elif kind == "leader":
        _count_down(ImageDraw.Draw(drawn), chance, height, width)
    strokes = np.asarray(drawn, np.float32) / 255.0
    if kind == "letters on the picture":
        return np.full_like(strokes, ink), strokes
    return np.asarray(ground + (ink - ground) * strokes, np.float32), np.ones_like(strokes)


def _wall(chance: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """A plain wall ``(height, width)``, 0..1, on which light falls: what may be taken for a sky.

    Its brightness runs to one side, lamps brighten places of it, things out of the picture cast soft shadows
    on it; it may have a corner, and plaster's fine texture.
    """
    y, x = np.mgrid[0:height, 0:width] / max(height, width) - 0.5
    turn = chance.uniform(0.0, 2.0 * np.pi)
    made = chance.uniform(0.25, 0.95) + chance.uniform(-0.4, 0.4) * (x * np.cos(turn) + y * np.sin(turn))
    for _ in range(int(chance.integers(0, 3))):
        centre, reach = chance.uniform(-0.6, 0.6, 2), chance.uniform(0.1, 0.7, 2)
        made += chance.uniform(-0.15, 0.35) * np.exp(
            -(((x - centre[0]) / reach[0]) ** 2) - ((y - centre[1]) / reach[1]) ** 2
        )
    if chance.random() < 0.4:
        made *= 1.0 - chance.uniform(0.05, 0.4) * _beyond_a_line(chance, x, y, chance.uniform(0.02, 0.2))
    if chance.random() < 0.25:
        made *= 1.0 - chance.uniform(0.03, 0.25) * _beyond_a_line(chance, x, y, 0.003)
    grain = chance.standard_normal((height, width)) * chance.uniform(0.0, 0.015)
    return np.asarray(np.clip(made + grain, 0.0, 1.0), np.float32)


def _beyond_a_line(
    chance: np.random.Generator, x: NDArray[np.float64], y: NDArray[np.float64], softness: float
) -> NDArray[np.float64]:
    """0 on one side of a random line, 1 on the other, between them over about ``softness``."""
    turn = chance.uniform(0.0, 2.0 * np.pi)
    distance = x * np.cos(turn) + y * np.sin(turn) - chance.uniform(-0.35, 0.35)
    return np.asarray(1.0 / (1.0 + np.exp(np.clip(-distance / softness * 4.0, -60.0, 60.0))))


def _write(draw: ImageDraw.ImageDraw, chance: np.random.Generator, height: int, width: int) -> None:
    """A few lines of letters that mean nothing, sometimes in a frame."""
    size = max(6, round(height / chance.uniform(6.0, 18.0)))
    lines = [_line(chance) for _ in range(int(chance.integers(1, 7)))]
    at = (chance.uniform(0.3, 0.7) * width, chance.uniform(0.3, 0.7) * height)
    align = str(chance.choice(["center", "left"]))
    draw.multiline_text(at, "\n".join(lines), 255, _font(size), anchor="mm", align=align, spacing=size // 2)
    if chance.random() < 0.3:
        inset = chance.uniform(0.02, 0.1) * min(height, width)
        draw.rectangle(
            (inset, inset, width - inset, height - inset), outline=255, width=int(chance.integers(1, 4))
        )


def _line(chance: np.random.Generator) -> str:
    words = ["".join(chance.choice(list(_LETTERS), int(chance.integers(1, 9)))) for _ in range(3)]
    line = " ".join(words[: int(chance.integers(1, 4))])
    return line if chance.random() < 0.4 else line.capitalize()


def _count_down(draw: ImageDraw.ImageDraw, chance: np.random.Generator, height: int, width: int) -> None:
    """Circles, a cross and a numeral."""
    x, y, side = width / 2, height / 2, min(height, width)
    for radius in side * chance.uniform(0.25, 0.48, int(chance.integers(1, 3))):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=255, width=2)
    draw.line((0, y, width, y), 255)
    draw.line((x, 0, x, height), 255)
    font = _font(max(6, int(side * chance.uniform(0.2, 0.5))))
    draw.text((x, y), str(chance.integers(1, 10)), 255, font, anchor="mm")


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own, which its packages for all systems can draw at any size.

    Raises:
        UsageError: this Pillow cannot.
    """
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise UsageError("Pillow was built without FreeType, so that it cannot draw letters: install another")
    return font
