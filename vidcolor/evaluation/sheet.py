"""The contact sheet: the best, the worst and a random choice of pictures, as grey, ours, truth."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass

import cv2
import numpy as np

from vidcolor.captions import caption
from vidcolor.evaluation.images import Sample
from vidcolor.frames import Rgb

_HEIGHT = 160
_WIDEST = 320
_COLUMNS = 2
_EXTREMES = 6
_RANDOM = 12


@dataclass(frozen=True, kw_only=True)
class Strip:
    """Thumbnails of one picture side by side: grey, ours, truth ``(160, w, 3)``."""

    name: str
    gain: float
    rgb: Rgb


class _Top:
    """Keeps what ranks highest, so that memory does not grow with the number of pictures."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._heap: list[tuple[float, int, Strip]] = []

    def wants(self, rank: float) -> bool:
        return len(self._heap) < self._size or rank > self._heap[0][0]

    def add(self, rank: float, number: int, strip: Strip) -> None:
        entry = (rank, -number, strip)  # numbers differ, so strips are never compared
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def strips(self) -> list[Strip]:
        return [strip for _, _, strip in sorted(self._heap, key=lambda e: e[:2], reverse=True)]


class ContactSheet:
    """Collects thumbnails of the 6 best and the 6 worst by PSNR gain over grey, and of a random dozen.

    Args:
        seed: of the random dozen.
    """

    def __init__(self, seed: int = 0) -> None:
        self._rng = random.Random(seed)
        self._number = 0
        self._best, self._worst, self._random = _Top(_EXTREMES), _Top(_EXTREMES), _Top(_RANDOM)

    def add(self, sample: Sample, gain: float) -> None:
        """Look at one picture; ``gain`` is the PSNR of ours less that of grey, in dB."""
        ranks = ((self._best, gain), (self._worst, -gain), (self._random, self._rng.random()))
        wanted = [(top, rank) for top, rank in ranks if top.wants(rank)]
        if wanted:
            strip = _strip(sample, gain)
            for top, rank in wanted:
                top.add(rank, self._number, strip)
        self._number += 1

    def draw(self) -> Rgb:
        """The sheet ``(H, W, 3)``, sections best, worst, random, each under its heading."""
        sections = (
            ("best by PSNR gain over grey", self._best.strips()),
            ("worst by PSNR gain over grey", self._worst.strips()),
            ("random", self._random.strips()),
        )
        width = max(strip.rgb.shape[1] for _, strips in sections for strip in strips)
        parts = []
        for title, strips in sections:
            heading = f"{title} (each: grey, ours, truth)"
            parts += [caption(heading, width * _COLUMNS, 200), *_rows(strips, width)]
        return np.asarray(np.concatenate(parts), np.uint8)


def _strip(sample: Sample, gain: float) -> Strip:
    height, width = sample.truth.shape[:2]
    size = (min(_WIDEST, max(1, round(width * _HEIGHT / height))), _HEIGHT)
    three = (sample.grey, sample.ours, sample.truth)
    small = [cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in three]
    framed = np.pad(np.concatenate(small, 1), ((2, 2), (2, 2), (0, 0)))
    return Strip(name=sample.name, gain=gain, rgb=np.asarray(framed, np.uint8))


def _rows(strips: list[Strip], width: int) -> list[Rgb]:
    cells = []
    for strip in strips:
        wide = np.pad(strip.rgb, ((0, 0), (0, width - strip.rgb.shape[1]), (0, 0)))
        label = caption(f"{strip.gain:+.2f} dB  {strip.name}", width, 120)
        cells.append(np.concatenate((label, wide)))
    while len(cells) % _COLUMNS:
        cells.append(np.zeros_like(cells[0]))
    return [np.asarray(np.concatenate(cells[i : i + _COLUMNS], 1)) for i in range(0, len(cells), _COLUMNS)]
