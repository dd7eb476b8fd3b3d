"""Reads colour clips as the generator would see them, with the true ab beside."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from av.video.reformatter import Interpolation

from vidcolor.colorspace import ab_from_rgb, rgb_from_ycbcr
from vidcolor.contents import frames_in
from vidcolor.frames import Floats, Frame, Picture
from vidcolor.media.opening import open_source
from vidcolor.media.pixels import is_rgb
from vidcolor.media.streams import pick_video
from vidcolor.stages.decode import DecodeSettings
from vidcolor.stages.luminance import luminance
from vidcolor.training.videos import SUFFIXES


@dataclass(frozen=True, kw_only=True)
class TruePicture:
    """A frame of a clip whose colour is known.

    Attributes:
        picture: its grey, as the generator sees it.
        ab: its true CIELAB ab ``(h, w, 2)`` at the same size.
        seconds: presentation time.
    """

    picture: Picture
    ab: Floats
    seconds: float


def list_clips(places: list[Path]) -> list[Path]:
    """The films named, and those in the folders named, in order of their names."""
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            found += sorted(p for p in place.iterdir() if _is_clip(p))
        else:
            found.append(place)
    return found


def _is_clip(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def read_clip(path: Path, render_size: int, limit: int | None = None) -> Iterator[TruePicture]:
    """The frames of a clip, ``limit`` at most; of interlaced ones the upper field.

    Raises:
        InputError: it cannot be read.
    """
    with open_source(str(path)) as container:
        stream = pick_video(container, str(path))
        stream.thread_type = "AUTO"
        frames = frames_in(container, stream, DecodeSettings(name=str(path)), threading.Event())
        for frame in islice(frames, limit):
            picture = luminance(frame, next(frame.pictures()), render_size)
            yield TruePicture(picture=picture, ab=_true_ab(frame, picture), seconds=float(frame.seconds))


def _true_ab(frame: Frame, picture: Picture) -> Floats:
    """ab ``(h, w, 2)`` of the frame's own colours at the picture's size."""
    height, width = picture.grey.shape[::-1] if frame.orientation.transpose else picture.grey.shape
    matrix = frame.signal.matrix
    if is_rgb(frame.video.format):
        small = frame.video.reformat(width, height, "rgb24", interpolation=Interpolation.AREA)
        rgb = _planes(frame.orientation.upright(small.to_ndarray().astype(np.float32) / np.float32(255.0)))
        return _interleaved(ab_from_rgb(rgb, wide=matrix.wide))
    small = frame.video.reformat(width, height, "yuv444p", interpolation=Interpolation.AREA)
    planes = replace(frame.signal, depth=8).chroma_of(small.to_ndarray()[1:3])  # (3, h, w) to Cb and Cr
    cbcr = frame.orientation.upright(np.moveaxis(planes, 0, -1))
    y = torch.from_numpy(picture.grey)[None, None]
    rgb = rgb_from_ycbcr(y, _planes(cbcr), matrix).clamp(0.0, 1.0)
    return _interleaved(ab_from_rgb(rgb, wide=matrix.wide))


def _planes(interleaved: Floats) -> torch.Tensor:
    """``(1, c, h, w)`` of ``(h, w, c)``."""
    return torch.from_numpy(np.ascontiguousarray(interleaved)).permute(2, 0, 1)[None]


def _interleaved(planes: torch.Tensor) -> Floats:
    """``(h, w, c)`` of ``(1, c, h, w)``."""
    return np.ascontiguousarray(planes[0].permute(1, 2, 0).numpy())
