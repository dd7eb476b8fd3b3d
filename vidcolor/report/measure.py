"""Reads a coloured film through: its shots, colours over time, a picture of each shot before and after."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction

import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from vidcolor.colorspace import ab_from_rgb, bt709_codes, luma_from_rgb
from vidcolor.contents import frame_at, frames_in
from vidcolor.errors import InputError, Interrupted
from vidcolor.frames import Frame, Rgb
from vidcolor.logs import silenced
from vidcolor.matrices import BT709, BT2020
from vidcolor.media.losses import DecodeReport
from vidcolor.media.opening import is_image_sequence
from vidcolor.media.streams import beginning, pick_video, sane_rate
from vidcolor.options import Options
from vidcolor.reading import open_as_asked
from vidcolor.result import Meter, Progress, frame_count
from vidcolor.stages.decode import DecodeSettings
from vidcolor.stages.luminance import rendered
from vidcolor.stages.shots import ShotDetector

log = logging.getLogger(__name__)

_SMALL = 72
_COLOURS_AT = (48, 36)
_PICTURE_SIDE = 360
_QUALITY = 82
_TOLD_EVERY = 10
"""Frames from one word on progress to the next."""
_STRANGE = 0.1
"""Luma of a film that was coloured is nearer to its source's than this, on average over the picture."""


@dataclass(kw_only=True)
class Shot:
    """A shot of the film.

    Attributes:
        begin, end: seconds, on the coloured film's clock; ``end`` is that of its last frame.
        frames: how many.
        middle: seconds of the frame that stands for it.
        before, after: that frame as JPEG; empty where it is not shown, or not found.
        shape: height and width of both.
        apart: mean difference of their luma, 0 to 1; None where there are no two.
    """

    begin: float
    end: float
    frames: int
    middle: float
    before: bytes = b""
    after: bytes = b""
    shape: tuple[int, int] = (0, 0)
    apart: float | None = None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was found.

    Attributes:
        times: of each frame, seconds.
        ab: mean CIELAB a and b of each frame ``(n, 2)``.
        chroma: mean over the picture of the length of (a, b), of each frame.
        luma: mean R'G'B' luma of each frame, 0 to 1.
        shots: in order.
    """

    times: NDArray[np.float64]
    ab: NDArray[np.float64]
    chroma: NDArray[np.float64]
    luma: NDArray[np.float64]
    shots: list[Shot]

    @property
    def strangers(self) -> bool:
        """Whether most of what was compared shows something else before and after."""
        compared = [shot.apart for shot in self.shots if shot.apart is not None]
        return bool(compared) and float(np.median(compared)) > _STRANGE


@dataclass(kw_only=True)
class _Readings:
    """What is noted of each frame. One reformatter serves all: that of a frame is set up for it alone."""

    reformatter: VideoReformatter = field(default_factory=VideoReformatter)
    times: list[Fraction] = field(default_factory=list)
    ab: list[tuple[float, float]] = field(default_factory=list)
    chroma: list[float] = field(default_factory=list)
    luma: list[float] = field(default_factory=list)
    decisions: list[str | None] = field(default_factory=list)


def measure(
    before: str,
    after: str,
    *,
    start: Fraction | None = None,
    shown: int = 24,
    cancel: threading.Event | None = None,
    options: Options | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Measured:
    """Read ``after`` through, and pictures of ``before`` at the same times.

    Args:
        before: the source.
        after: what was made of it.
        start: seconds of the source at which ``after`` begins, if that is not its beginning.
        shown: shots, at most, that get pictures; evenly among all.
        cancel: set it to end early.
        options: how far the source is trusted, and the rate of a sequence.
        progress: called now and then while ``after`` is read.

    Raises:
        InputError: one of them cannot be read.
        Interrupted: it was cancelled.
    """
    cancel = cancel or threading.Event()
    given = options or Options()
    rate = given.framerate or _rate_of(before, after, given)
    source, made = (_opening_options(name, given, rate) for name in (before, after))
    found = _read(after, made, cancel, progress)
    shots = _shots_of(found)
    # where it begins is not where it was asked to: containers move all tracks
    begin = None if start is None else start + _beginning(before, source)
    first = _frame_at(before, source, begin, cancel)
    if first is None:
        raise InputError(f"{before}: no frame of it decodes")
    lag = first.seconds - found.times[0]
    some = min(len(shots), shown)
    for number in ((2 * i + 1) * len(shots) // (2 * some) for i in range(some)):
        if cancel.is_set():
            raise Interrupted
        shot = shots[number]
        at = sum(s.frames for s in shots[:number]) + shot.frames // 2
        middle = found.times[at]
        gap = abs(middle - found.times[at - 1 if at else min(1, len(found.times) - 1)])
        one = _frame_at(after, made, middle, cancel)
        other = _frame_at(before, source, max(middle + lag - gap / 2, first.seconds), cancel)
        if one is None or other is None:
            continue
        picture = _picture(one)
        shot.shape = picture.shape[0], picture.shape[1]
        shot.after, shot.before = _jpeg(picture), _jpeg(_picture(other), shot.shape)
        shot.apart = _apart(one, other)
    return Measured(
        times=np.array([float(t) for t in found.times]),
        ab=np.array(found.ab, np.float64).reshape(-1, 2),
        chroma=np.array(found.chroma, np.float64),
        luma=np.array(found.luma, np.float64),
        shots=shots,
    )


def _opening_options(name: str, options: Options, rate: Fraction | None) -> Options:
    """How to open a film: as it was coloured, or, of a sequence, as the other one counts its frames."""
    return replace(options, framerate=rate if is_image_sequence(name) else None)


def _rate_of(before: str, after: str, options: Options) -> Fraction | None:
    """Frames a second at which the one is, where the other is a sequence, which has no rate of its own."""
    if is_image_sequence(before) == is_image_sequence(after):
        return None
    name = after if is_image_sequence(before) else before
    with silenced(), open_as_asked(name, options) as container:
        return sane_rate(pick_video(container, name))


def _beginning(name: str, options: Options) -> Fraction:
    """Seconds on the film's own clock from which ``start`` is counted."""
    with open_as_asked(name, options) as container:
        return beginning(container, pick_video(container, name))


def _read(
    name: str,
    options: Options,
    cancel: threading.Event,
    progress: Callable[[Progress], None] | None,
) -> _Readings:
    found, detector, report = _Readings(), ShotDetector(), DecodeReport()
    with open_as_asked(name, options) as container:
        stream = pick_video(container, name)
        stream.thread_type = "AUTO"
        whole = replace(options, start=None, duration=None)  # these are the source's
        meter = Meter(container=container, stream=stream, options=whole, callback=progress)
        for frame in frames_in(container, stream, DecodeSettings(name=name), cancel, report):
            _note(frame, found, detector)
            if len(found.times) % _TOLD_EVERY == 0:
                meter.tell(frame, len(found.times))
        report.close(container, stream, whole=True, end=None)
    if cancel.is_set():
        raise Interrupted
    found.decisions += detector.finish()
    if not found.times:
        raise InputError(f"{name}: no frame of it decodes")
    if report.lost:
        log.warning("%s: %s could not be decoded; the page is without", name, frame_count(report.lost))
    if report.damaged:
        log.warning("%s: %s decoded with damage", name, frame_count(report.damaged))
    return found


def _note(frame: Frame, found: _Readings, detector: ShotDetector) -> None:
    found.times.append(frame.seconds)
    found.decisions += detector.push(rendered(frame, frame.luma, _SMALL))
    wide = frame.signal.matrix.wide
    small = _rgb(frame, _COLOURS_AT, found.reformatter)
    rgb = np.moveaxis(small, -1, 0)[None].astype(np.float32) / np.float32(255.0)
    ab = ab_from_rgb(rgb, wide=wide)[0]
    found.ab.append((float(ab[0].mean()), float(ab[1].mean())))
    found.chroma.append(float(np.hypot(ab[0], ab[1]).mean()))
    found.luma.append(float(luma_from_rgb(rgb, BT2020 if wide else BT709).mean()))


def _shots_of(found: _Readings) -> list[Shot]:
    begins = [i for i, decision in enumerate(found.decisions) if i == 0 or decision is not None]
    shots = []
    for begin, end in zip(begins, [*begins[1:], len(found.times)], strict=True):
        shots.append(
            Shot(
                begin=float(found.times[begin]),
                end=float(found.times[end - 1]),
                frames=end - begin,
                middle=float(found.times[begin + (end - begin) // 2]),
            )
        )
    return shots


def _frame_at(name: str, options: Options, seconds: Fraction | None, cancel: threading.Event) -> Frame | None:
    with silenced():  # what is odd in it has been said when it was coloured
        return frame_at(lambda: open_as_asked(name, options), DecodeSettings(name=name), seconds, cancel)


def _apart(one: Frame, other: Frame) -> float:
    greys = [rendered(frame, frame.luma, _SMALL) for frame in (one, other)]
    size = greys[0].shape[1], greys[0].shape[0]
    return float(np.abs(greys[0] - cv2.resize(greys[1], size, interpolation=cv2.INTER_AREA)).mean())


def _picture(frame: Frame) -> Rgb:
    """R'G'B' of a frame with BT.709's primaries, upright, in square pixels."""
    height, width = frame.luma.shape
    wide = max(1, round(width * float(frame.aspect)))
    scale = min(1.0, _PICTURE_SIDE / min(height, wide))
    size = max(1, round(wide * scale)), max(1, round(height * scale))
    rgb = _rgb(frame, size, VideoReformatter())
    if frame.signal.matrix.wide:
        rgb = bt709_codes(rgb)
    return np.ascontiguousarray(frame.orientation.upright(rgb))


def _rgb(frame: Frame, size: tuple[int, int], reformatter: VideoReformatter) -> Rgb:
    """R'G'B' ``(h, w, 3)`` as stored, with its own primaries, ``size`` being width and height."""
    matrix = frame.signal.matrix.code
    small = reformatter.reformat(frame.video, *size, "rgb24", src_colorspace=matrix, interpolation="AREA")
    return np.asarray(small.to_ndarray(), np.uint8)


def _jpeg(picture: Rgb, shape: tuple[int, int] | None = None) -> bytes:
    if shape is not None and picture.shape[:2] != shape:
        picture = np.asarray(cv2.resize(picture, shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    _, content = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return bytes(content.tobytes())
