"""Colours films inside the test's own process, with a generator that costs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from media import planes_of, read_film
from torch import Tensor, nn

from vidcolor import predictors
from vidcolor.checkpoint import Generator
from vidcolor.job import Result, colorize
from vidcolor.options import Options

AB = 40.0


class Corners(nn.Module):
    """Greener to the left and redder to the right, bluer at the top and yellower at the bottom."""

    multiple = 32

    def forward(self, lightness: Tensor) -> Tensor:
        """L* ``(N, 1, H, W)`` to ab ``(N, 2, H/2, W/2)``."""
        count, _, height, width = lightness.shape
        rows, columns = torch.meshgrid(
            torch.linspace(-AB, AB, height // 2), torch.linspace(-AB, AB, width // 2), indexing="ij"
        )
        return torch.stack((columns, rows)).expand(count, 2, -1, -1).to(lightness.dtype)


@contextmanager
def quickly(network: nn.Module | None = None, path: str = __file__) -> Iterator[None]:
    """Films are coloured with ``network``, by default :class:`Corners`; ``path`` stands for its weights."""
    generator = Generator(
        network=network or Corners(), multiple=Corners.multiple, path=Path(path), metadata={}
    )
    _forget()
    with (
        mock.patch("vidcolor.predictors.load_generator", lambda name: generator),
        mock.patch("vidcolor.job.find_weights", lambda name: generator.path),
        mock.patch("vidcolor.finished.find_weights", lambda name: generator.path),
    ):
        yield
    _forget()


def _forget() -> None:
    """What was made of another network, as its weights would be others, too."""
    predictors._cached.cache_clear()
    predictors._sessions.cache_clear()


def colour(
    source: Path | str, target: Path | str, network: nn.Module | None = None, **options: Any
) -> Result:
    """Colour a film; options as of the command, but torch computes: a network may watch what it is shown."""
    settings = {"render_size": 32, "temporal": "off", "device": "cpu", "precision": "fp32", "engine": "torch"}
    settings |= options
    with quickly(network):
        return colorize(source, target, Options(**settings))


def same_luma(source: Path | str, target: Path | str) -> bool:
    """Whether both films have the same luma codes, frame for frame, and the target has colour."""
    before, after = read_film(source), read_film(target)
    assert len(before) == len(after) > 0
    for old, new in zip(before, after, strict=True):
        chroma = planes_of(new)[1:]
        assert len(chroma) == 2
        assert all(np.ptp(plane) > 0 for plane in chroma)
        if not np.array_equal(planes_of(old)[0], planes_of(new)[0]):
            return False
    return True
