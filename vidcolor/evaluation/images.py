"""Colours photographs from their luma, by the stages that a film passes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import torch

from vidcolor.bars import area_alone, predict_within
from vidcolor.colorspace import luma_from_rgb, rgb_from_ycbcr
from vidcolor.evaluation.pixels import planes
from vidcolor.frames import Frame, Rgb, Signal
from vidcolor.matrices import BT709
from vidcolor.stages.luminance import luminance
from vidcolor.stages.predict import Predictor
from vidcolor.stages.recolor import Recolorer

_SIGNAL = Signal(depth=8, full_range=True, matrix=BT709)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One picture, R'G'B' ``(h, w, 3)`` each: its grey, ours, and the truth."""

    name: str
    grey: Rgb
    ours: Rgb
    truth: Rgb


def luma_of(rgb: Rgb) -> Rgb:
    """BT.709 luma codes ``(h, w)``, full range, 8 bits, of R'G'B' ``(h, w, 3)``."""
    y = luma_from_rgb(planes(rgb), BT709)[0, 0].numpy()
    return np.asarray(np.rint(y * 255.0), np.uint8)


def still_frame(luma: Rgb, number: int = 0) -> Frame:
    """A frame of a film whose luma ``(h, w)`` is that of a photograph."""
    return Frame(
        video=av.VideoFrame.from_ndarray(luma, format="gray"),
        luma=luma,
        signal=_SIGNAL,
        pts=number,
        duration=1,
        time_base=Fraction(1),
    )


def colour_pictures(
    pictures: Iterable[tuple[str, Rgb]], predictor: Predictor, render_size: int
) -> Iterator[Sample]:
    """Colour each named picture from its BT.709 luma, full range, 8 bits."""
    recolorer = Recolorer("444")
    for number, (name, truth) in enumerate(pictures):
        luma = luma_of(truth)
        ours = _colour(still_frame(luma, number), predictor, recolorer, render_size)
        yield Sample(name=name, grey=np.repeat(luma[..., None], 3, -1), ours=ours, truth=truth)


def _colour(frame: Frame, predictor: Predictor, recolorer: Recolorer, render_size: int) -> Rgb:
    picture = luminance(frame, frame.luma, render_size)
    (ab,) = predict_within(predictor, [picture.luminance], [area_alone(picture.grey)])
    codes = np.stack(recolorer(frame, [picture], [ab]))
    chroma = torch.from_numpy(frame.signal.chroma_of(codes))[None]
    y = torch.from_numpy(frame.luma.astype(np.float32) / 255.0)[None, None]
    rgb = rgb_from_ycbcr(y, chroma, BT709)
    return np.asarray(np.rint(np.clip(rgb[0].permute(1, 2, 0).numpy(), 0.0, 1.0) * 255.0), np.uint8)
