"""Colours photographs from their luma, by the stages that a film passes, and compares with the truth."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from numpy.typing import NDArray

from vidcolor.colorspace import BT709, ab_from_rgb, luma_from_rgb, rgb_from_ycbcr
from vidcolor.errors import InputError
from vidcolor.frames import Frame, Signal
from vidcolor.stages.luminance import luminance, padded
from vidcolor.stages.predict import Predictor
from vidcolor.stages.recolor import Recolorer
from vidcolor.training.data import decode_rgb, encoded_pictures

Rgb = NDArray[np.uint8]
_SIGNAL = Signal(depth=8, full_range=True, matrix=BT709)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Means over pictures.

    Attributes:
        psnr, grey_psnr: of R'G'B', in dB, of the coloured and of the grey picture.
        ab_error: mean distance in the ab plane, Lab units.
        colourfulness, true_colourfulness: see :func:`colourfulness`.
    """

    pictures: int
    psnr: float
    grey_psnr: float
    ab_error: float
    colourfulness: float
    true_colourfulness: float

    def as_dict(self) -> dict[str, Any]:
        """The scores by name."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One picture, R'G'B' ``(h, w, 3)`` each: its grey, ours, and the truth."""

    name: str
    grey: Rgb
    ours: Rgb
    truth: Rgb


def colourfulness(rgb: Rgb) -> float:
    """Hasler and Süsstrunk, "Measuring colourfulness in natural images" (SPIE 2003), metric M3."""
    r, g, b = (rgb[..., i].astype(np.float64) for i in range(3))
    rg, yb = r - g, (r + g) / 2.0 - b
    spread = math.hypot(float(rg.std()), float(yb.std()))
    return spread + 0.3 * math.hypot(float(rg.mean()), float(yb.mean()))


def psnr(one: Rgb, other: Rgb) -> float:
    """Peak signal-to-noise ratio of 8-bit pictures in dB; 100 where they are equal."""
    error = float(((one.astype(np.float64) - other.astype(np.float64)) ** 2).mean())
    return 100.0 if error == 0.0 else 10.0 * math.log10(255.0**2 / error)


def ab_error(one: Rgb, other: Rgb) -> float:
    """Mean distance of the pixels of two pictures in the CIELAB ab plane."""
    a, b = (ab_from_rgb(_planes(rgb)) for rgb in (one, other))
    return float((a - b).norm(dim=1).mean())


def colour_pictures(sources: list[Path], predictor: Predictor, render_size: int) -> Iterator[Sample]:
    """Colour every picture of folders and tars from its BT.709 luma, full range, 8 bits.

    Raises:
        InputError: a file is damaged, or there is none.
    """
    recolorer = Recolorer("444")
    for number, (name, data) in enumerate(encoded_pictures(sources)):
        truth = decode_rgb(data)
        if truth is None:
            raise InputError(f"{name}: is damaged, or no picture")
        yield _colour(name, truth, number, predictor, recolorer, render_size)


def _colour(
    name: str, truth: Rgb, number: int, predictor: Predictor, recolorer: Recolorer, render_size: int
) -> Sample:
    y = luma_from_rgb(_planes(truth), BT709)[0, 0].numpy()
    luma = np.rint(y * 255.0).astype(np.uint8)
    frame = Frame(
        video=av.VideoFrame.from_ndarray(luma, format="gray"),
        luma=luma,
        signal=_SIGNAL,
        pts=number,
        duration=1,
        time_base=Fraction(1),
    )
    picture = luminance(frame, luma, render_size)
    shape = (picture.grey.shape[0], picture.grey.shape[1])
    ab = predictor(padded([picture.luminance], predictor.multiple), shape)[0]
    cbcr = np.stack(recolorer(frame, [picture], [ab])).astype(np.float32)
    chroma = torch.from_numpy((cbcr - 128.0) / 255.0)[None]
    rgb = rgb_from_ycbcr(torch.from_numpy(luma.astype(np.float32) / 255.0)[None, None], chroma, BT709)
    ours = np.rint(np.clip(rgb[0].permute(1, 2, 0).numpy(), 0.0, 1.0) * 255.0).astype(np.uint8)
    return Sample(name=name, grey=np.repeat(luma[..., None], 3, -1), ours=ours, truth=truth)


def _planes(rgb: Rgb) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float() / 255.0


def score(samples: Iterator[Sample]) -> tuple[Scores, list[tuple[float, Sample]]]:
    """Score the samples; also returns each with its PSNR, as long as they are few enough to keep.

    Raises:
        InputError: there is no sample.
    """
    rows: list[tuple[float, ...]] = []
    kept: list[tuple[float, Sample]] = []
    for index, sample in enumerate(samples):
        quality = psnr(sample.ours, sample.truth)
        rows.append(
            (
                quality,
                psnr(sample.grey, sample.truth),
                ab_error(sample.ours, sample.truth),
                colourfulness(sample.ours),
                colourfulness(sample.truth),
            )
        )
        if index % _KEEP_EVERY == 0 and len(kept) < _KEEP:
            kept.append((quality, sample))
    if not rows:
        raise InputError("there is no picture to score")
    means = np.mean(np.array(rows), axis=0)
    names = ("psnr", "grey_psnr", "ab_error", "colourfulness", "true_colourfulness")
    return Scores(pictures=len(rows), **dict(zip(names, map(float, means), strict=True))), kept


_KEEP = 24
_KEEP_EVERY = 37


def contact_sheet(samples: list[Sample], height: int = 160, columns: int = 2) -> Rgb:
    """Rows of grey, ours, truth ``(H, W, 3)``, all of one height, ``columns`` triplets a row."""
    import cv2

    cells = []
    for sample in samples:
        scale = height / sample.truth.shape[0]
        size = (max(1, round(sample.truth.shape[1] * scale)), height)
        triple = [
            cv2.resize(p, size, interpolation=cv2.INTER_AREA)
            for p in (sample.grey, sample.ours, sample.truth)
        ]
        cells.append(np.concatenate(triple, 1))
    width = max(cell.shape[1] for cell in cells)
    cells = [np.pad(cell, ((2, 2), (2, width - cell.shape[1] + 2), (0, 0))) for cell in cells]
    while len(cells) % columns:
        cells.append(np.zeros_like(cells[0]))
    rows = [np.concatenate(cells[i : i + columns], 1) for i in range(0, len(cells), columns)]
    return np.asarray(np.concatenate(rows), np.uint8)
