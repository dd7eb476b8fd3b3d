"""Measures pictures as they stream by: numbers of each, feature vectors, and nothing of their size."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from vidcolor.evaluation.backbones import SIDE, Backbones
from vidcolor.evaluation.images import Sample
from vidcolor.evaluation.pixels import ab_error, colourfulness, psnr, ssim
from vidcolor.frames import Rgb

Measures = dict[str, NDArray[np.floating]]
"""By ``column.measure``: a number for each picture ``(N,)``, or, for ``column.features``, ``(N, D)``."""

RESIZE = f"{SIDE}×{SIDE}, Pillow bicubic with antialiasing, 8 bits"
_BATCH = 16
_AGAINST_TRUTH = {"psnr": psnr, "ssim": ssim, "ab_error": ab_error}


class Collector:
    """Takes samples one at a time.

    Args:
        backbones: what judges; measures without a network are left out.
        reference: measures of grey and truth from an earlier run on the same pictures.
    """

    def __init__(self, backbones: Backbones, reference: Measures | None = None) -> None:
        self._backbones = backbones
        self._reference = reference
        self._found: dict[str, list[NDArray[np.floating]]] = {}
        self._pending: list[dict[str, Rgb]] = []
        self._count = 0

    def add(self, sample: Sample) -> float:
        """Measure one sample; returns the PSNR of ours less that of grey, in dB."""
        self._pixels("ours", sample.ours, sample.truth)
        if self._reference is None:
            self._pixels("grey", sample.grey, sample.truth)
            self._colours("truth", sample.truth)
        self._pending.append({column: _small(getattr(sample, column)) for column in self._columns()})
        if len(self._pending) == _BATCH:
            self._flush()
        self._count += 1
        grey = (self._reference or self._found)["grey.psnr"][self._count - 1]
        return float(self._found["ours.psnr"][-1][0]) - float(np.asarray(grey).item())

    def finish(self) -> tuple[Measures, Measures]:
        """What was measured of ours; and of grey and truth, which depends on the pictures alone."""
        self._flush()
        measured = {key: np.concatenate(parts) for key, parts in self._found.items()}
        ours = {key: value for key, value in measured.items() if key.startswith("ours.")}
        if self._reference is not None:
            return ours, self._reference
        return ours, {key: value for key, value in measured.items() if key not in ours}

    def _columns(self) -> tuple[str, ...]:
        return ("ours", "grey", "truth") if self._reference is None else ("ours", "truth")

    def _pixels(self, column: str, rgb: Rgb, truth: Rgb) -> None:
        for name, measure in _AGAINST_TRUTH.items():
            self._put(f"{column}.{name}", measure(rgb, truth))
        self._colours(column, rgb)

    def _colours(self, column: str, rgb: Rgb) -> None:
        self._put(f"{column}.colourfulness", colourfulness(rgb))
        self._put(f"{column}.colourfulness_magnitudes", colourfulness(rgb, magnitudes=True))

    def _flush(self) -> None:
        if not self._pending:
            return
        batch = {column: _batch([p[column] for p in self._pending]) for column in self._columns()}
        self._pending = []
        inception, alexnet = self._backbones.inception, self._backbones.alexnet
        for column, rgb in batch.items():
            if inception is not None and (column != "truth" or self._reference is None):
                self._put(f"{column}.features", inception.run(rgb).numpy())
            if alexnet is not None and column != "truth":
                self._put(f"{column}.lpips", alexnet.run(rgb, batch["truth"]).numpy())

    def _put(self, key: str, value: float | NDArray[np.floating]) -> None:
        self._found.setdefault(key, []).append(np.atleast_1d(np.asarray(value)))


def _small(rgb: Rgb) -> Rgb:
    """What the networks see of a picture: see :data:`RESIZE`."""
    return np.asarray(Image.fromarray(rgb).resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.uint8)


def _batch(pictures: list[Rgb]) -> torch.Tensor:
    """R'G'B' ``(N, 3, 299, 299)``, uint8, of N times ``(299, 299, 3)``."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
