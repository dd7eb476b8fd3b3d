"""A sheet of a film's shots, grey above colour, made in seconds: to choose settings by looking."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from vidcolor.bars import area_alone, predict_within
from vidcolor.captions import GROUND, caption
from vidcolor.colorspace import bt709_codes, rgb_from_ycbcr
from vidcolor.contents import Contents
from vidcolor.devices import resolve_device
from vidcolor.errors import Interrupted, OutputError, UsageError
from vidcolor.frames import Frame, Rgb
from vidcolor.media.opening import reads_once
from vidcolor.media.streams import beginning, pick_video
from vidcolor.options import PREVIEW_SHOTS, Options
from vidcolor.predictors import cached_predictor
from vidcolor.reading import on_its_clock, open_as_asked
from vidcolor.resizing import resized
from vidcolor.result import clock
from vidcolor.stages.decode import DecodeSettings
from vidcolor.stages.luminance import luminance, square_shape
from vidcolor.stages.predict import Predictor, resolve_precision
from vidcolor.stages.recolor import Recolorer
from vidcolor.target import is_sequence, prepare_target
from vidcolor.weightfiles import find_weights
from vidcolor.writing import write_whole

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
MOST_SHOTS = 64
_SIDE = 240
"""Short side of a picture on the sheet, pixels."""
_GAP = 6
_WIDEST = {".webp": 16383, ".jpg": 65500, ".jpeg": 65500}


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What is on a sheet.

    Attributes:
        times: of the pictures, seconds since the beginning of the source, as ``--start`` counts.
        rows: what the rows show, from above.
    """

    times: tuple[float, ...]
    rows: tuple[str, ...]


def make_preview(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    looks: list[Options],
    shots: int = PREVIEW_SHOTS,
    *,
    cancel: threading.Event | None = None,
) -> Preview:
    """Write a sheet of ``shots`` pictures of a film, a row of them in grey and one for each of the looks.

    The pictures are coloured each for itself, without the smoothing over time.

    Args:
        source: a film or a picture; no pipe, since it is looked at more than once.
        target: the picture to write; its suffix names the format.
        looks: options to colour by; what weights, saturation and render size say shows in a row of its own.
        shots: pictures on the sheet, at most.
        cancel: set it to end early.

    Raises:
        VidcolorError: nothing is then written.
    """
    name, wanted = os.fspath(source), os.fspath(target)
    first = looks[0]
    cancel = cancel or threading.Event()
    if not 1 <= shots <= MOST_SHOTS:
        raise UsageError(f"--preview {shots}: 1 to {MOST_SHOTS}")
    if Path(wanted).suffix.lower() not in SUFFIXES:
        raise UsageError(f"{wanted}: a preview is a picture, {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    if reads_once(name):
        raise UsageError(f"{name}: a preview looks here and there in its source: it has to be a file")
    if is_sequence(wanted, "image2"):
        raise UsageError(f"{wanted}: a preview is one picture")
    prepare_target(name, wanted, first, 1)
    for look in looks:
        find_weights(look.weights)
    device = resolve_device(first.devices[0])
    with open_as_asked(name, first) as container:
        begin = float(beginning(container, pick_video(container, name)))
        first = on_its_clock(first, container, name)
    contents = Contents(
        open_it=partial(open_as_asked, name, first),
        settings=DecodeSettings(
            start=first.start,
            end=first.end,
            deinterlace=first.deinterlace,
            name=name,
        ),
        cancel=cancel,
    )
    frames = contents.pick(shots)
    times = [float(frame.seconds) - begin for frame in frames]
    rows = [("grey", [_grey(frame) for frame in frames])]
    _require_room(Path(wanted), rows[0][1])
    for look in looks:
        precision = resolve_precision(look.precision, device, look.engine)
        predictor = cached_predictor(find_weights(look.weights), device, precision, look.engine)
        recolor = Recolorer("444", look.saturation)
        pictures = list[Rgb]()
        for frame in frames:
            if cancel.is_set():
                raise Interrupted
            pictures.append(_coloured(frame, predictor, recolor, look.render_size))
        rows.append((_described(look, looks), pictures))
    _write(Path(wanted), _sheet(rows, times))
    return Preview(times=tuple(times), rows=tuple(title for title, _ in rows))


def _require_room(target: Path, pictures: list[Rgb]) -> None:
    width = sum(picture.shape[1] + _GAP for picture in pictures) + _GAP
    most = _WIDEST.get(target.suffix.lower())
    if most is not None and width > most:
        raise UsageError(
            f"{target}: {width} pixels are too wide for {target.suffix}; choose .png, or fewer shots"
        )


def _small(frame: Frame) -> Frame:
    """The frame in the size that it has on the sheet, of square pixels."""
    luma = resized(frame.luma, square_shape(frame, _SIDE))
    return replace(frame, luma=luma, fields=1, aspect=Fraction(1))


def _grey(frame: Frame) -> Rgb:
    small = _small(frame)
    y = np.clip(small.signal.expand(small.luma), 0.0, 1.0)
    grey = np.rint(frame.orientation.upright(y) * 255.0).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(grey[..., None], 3, 2))


def _coloured(frame: Frame, predictor: Predictor, recolor: Recolorer, render_size: int) -> Rgb:
    picture = luminance(frame, frame.luma, render_size)
    (ab,) = predict_within(predictor, [picture.luminance], [area_alone(picture.grey)])
    small = _small(frame)
    signal = frame.signal
    cbcr = signal.chroma_of(np.stack(recolor(small, [picture], [ab])))[None]
    y = np.clip(signal.expand(small.luma), 0.0, 1.0)[None, None]
    rgb = np.moveaxis(rgb_from_ycbcr(y, cbcr, signal.matrix)[0], 0, -1)
    shown = np.rint(np.clip(rgb, 0.0, 1.0) * 255.0).astype(np.uint8)
    if signal.matrix.wide:
        shown = bt709_codes(shown)  # a sheet has no profile: its primaries are BT.709's
    return np.ascontiguousarray(frame.orientation.upright(shown))


def _described(look: Options, looks: list[Options]) -> str:
    """What sets a look apart from the others; of a single one, its weights."""
    parts = []
    for name in ("weights", "saturation", "render_size"):
        if len({getattr(one, name) for one in looks}) > 1:
            value = getattr(look, name)
            shown = _named(value, looks) if name == "weights" else f"{value:g}"
            parts.append(f"{name.replace('_', '-')} {shown}")
    return ", ".join(parts) or Path(look.weights).stem


def _named(weights: str, looks: list[Options]) -> str:
    stem = Path(weights).stem
    others = {look.weights for look in looks if Path(look.weights).stem == stem}
    return stem if len(others) == 1 else weights


def _sheet(rows: list[tuple[str, list[Rgb]]], times: list[float]) -> Rgb:
    """Rows of pictures under their titles, and the times above all."""
    widths = [picture.shape[1] for picture in rows[0][1]]
    total = sum(widths) + _GAP * (len(widths) + 1)
    heads = [caption(clock(seconds), width + _GAP, 210) for seconds, width in zip(times, widths, strict=True)]
    parts = [np.pad(np.concatenate(heads, 1), ((0, 0), (0, _GAP), (0, 0)), constant_values=GROUND)]
    for title, pictures in rows:
        tall = max(picture.shape[0] for picture in pictures)
        cells = [
            np.pad(p, ((0, tall - p.shape[0] + _GAP), (_GAP, 0), (0, 0)), constant_values=GROUND)
            for p in pictures
        ]
        row = np.concatenate(cells, 1)
        parts += [
            caption(title, total, 150),
            np.pad(row, ((0, 0), (0, _GAP), (0, 0)), constant_values=GROUND),
        ]
    return np.concatenate(parts)


def _write(target: Path, sheet: Rgb) -> None:
    done, content = cv2.imencode(target.suffix, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    if not done:
        raise OutputError(f"{target}: a picture of {sheet.shape[1]}x{sheet.shape[0]} cannot be written so")
    write_whole(target, lambda file: file.write(content.tobytes()))
