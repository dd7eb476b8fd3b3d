"""A few pictures that stand for a film: one of each of some of its shots, found without reading it all."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from av.container import InputContainer
from av.video.stream import VideoStream

from vidcolor.errors import InputError, Interrupted
from vidcolor.frames import Floats, Frame
from vidcolor.logs import silenced
from vidcolor.media.losses import DecodeReport
from vidcolor.media.streams import beginning, pick_video, sane_rate, shown_length
from vidcolor.stages.decode import DecodeSettings, decode
from vidcolor.stages.luminance import rendered
from vidcolor.stages.shots import ShotDetector
from vidcolor.thumbnails import View, active_area, apart, thumbnail_of

log = logging.getLogger(__name__)

_READ_WHOLE = 500
"""Frames up to which a film is read through, and its shots are found exactly."""
_SAMPLES_A_PICTURE, _MOST_SAMPLES = 6, 96
_SMALL = 72
_OTHER_SHOT = 0.5
"""Difference from which two key frames, seconds apart, count as pictures of different shots."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A picture of the film.

    Attributes:
        seconds: when it is shown, on the source's clock.
        shot: number of the shot that it belongs to, as far as is known.
        plain: whether it is black, white or otherwise without structure.
    """

    seconds: Fraction
    shot: int
    plain: bool


@dataclass(kw_only=True)
class Contents:
    """Finds pictures of a film, and reads them.

    Args:
        open_it: opens the source anew.
        settings: which frames of it are wanted.
        cancel: set it, and no more is read.
    """

    open_it: Callable[[], InputContainer]
    settings: DecodeSettings
    cancel: threading.Event

    def pick(self, count: int) -> list[Frame]:
        """So many frames, or as many as there are, in the order of time: from as many shots as possible.

        A film of up to 500 frames is read through. Of longer ones, key frames all over the film are looked
        at, and those that follow each other without a likeness are taken for different shots.

        Raises:
            InputError: no frame decodes.
            Interrupted: it was cancelled.
        """
        with silenced():
            return self._pick(count)

    def _pick(self, count: int) -> list[Frame]:
        with self.open_it() as container:
            stream = pick_video(container, self.settings.name)
            stream.thread_type = "AUTO"
            begin, length, frames = self._extent(container, stream)
            # without an end known there is no telling where to look
            whole = not self.settings.seekable or length is None or frames <= _READ_WHOLE
            moments = self._read_through(container, stream) if whole else []
        if not whole and length is not None:
            moments = self._sample(begin, length, min(_MOST_SAMPLES, _SAMPLES_A_PICTURE * count))
            if len(moments) < count:  # key frames are rare: any frames, then
                places = (begin + length * (2 * i + 1) / (2 * count) for i in range(count))
                moments = [Moment(seconds=p, shot=i, plain=False) for i, p in enumerate(places)]
        found: dict[Fraction, Frame] = {}
        missing = 0
        chosen = choose(moments, count)
        for moment in chosen:
            frame = frame_at(self.open_it, self.settings, moment.seconds, self.cancel)
            if frame is None:
                missing += 1
            else:
                found[frame.seconds] = frame
        if self.cancel.is_set():
            raise Interrupted
        if not found:
            part = self.settings.start is not None or self.settings.end is not None
            where = "between --start and the end of --duration" if part else "of it"
            raise InputError(f"{self.settings.name}: no frame {where} decodes")
        if missing:
            log.warning(
                "%s: %d of %d pictures are not found where its clock puts them",
                self.settings.name, missing, len(chosen),
            )  # fmt: skip
        return list(found.values())

    def _extent(
        self, container: InputContainer, stream: VideoStream
    ) -> tuple[Fraction, Fraction | None, int]:
        """Where what is wanted begins, how long it is, in seconds, and about how many frames it has."""
        begin = beginning(container, stream)
        length = shown_length(container, stream)
        start, end = self.settings.start, self.settings.end
        if length is not None and (start is not None or end is not None):
            stop = begin + length if end is None else min(end, begin + length)
            begin = begin if start is None else max(begin, start)
            length = max(Fraction(0), stop - begin)
        return begin, length, round((length or 0) * sane_rate(stream))

    def _read_through(self, container: InputContainer, stream: VideoStream) -> list[Moment]:
        detector, greys, decisions = ShotDetector(), list[tuple[Fraction, bool]](), list[str | None]()
        for frame in frames_in(container, stream, self.settings, self.cancel):
            grey = rendered(frame, frame.luma, _SMALL)
            greys.append((frame.seconds, _view(grey).flat))
            decisions += detector.push(grey)
            if len(greys) >= 2 * _READ_WHOLE:  # of a length that was not known, or was wrong
                break
        decisions += detector.finish()
        moments, shot = list[Moment](), 0
        for (seconds, plain), decision in zip(greys, decisions, strict=True):
            shot += decision is not None
            moments.append(Moment(seconds=seconds, shot=shot, plain=plain))
        return moments

    def _sample(self, begin: Fraction, length: Fraction, count: int) -> list[Moment]:
        """Key frames near so many places."""
        moments, last, shot = list[Moment](), None, 0
        apart_by = length / count
        with self.open_it() as container:
            stream = pick_video(container, self.settings.name)
            stream.codec_context.skip_frame = "NONKEY"
            for index in range(count):
                place = begin + apart_by * (2 * index + 1) / 2
                # where there is no index, reading begins long before the place
                wanted = replace(self.settings, start=place - apart_by / 2, seek=place, deinterlace=False)
                frame = next(frames_in(container, stream, wanted, self.cancel), None)
                if frame is None or (moments and frame.seconds <= moments[-1].seconds):
                    continue  # the same key frame again, or none left
                view = _view(rendered(frame, frame.luma, _SMALL))
                shot += last is not None and apart(last, view) > _OTHER_SHOT
                moments.append(Moment(seconds=frame.seconds, shot=shot, plain=view.flat))
                last = view
        return moments


def frames_in(
    container: InputContainer,
    stream: VideoStream,
    settings: DecodeSettings,
    cancel: threading.Event,
    report: DecodeReport | None = None,
) -> Iterator[Frame]:
    """The frames of a stream alone; no more of them once ``cancel`` is set. ``report``: what goes wrong."""
    report = report or DecodeReport()
    report.video_index = stream.index
    for item in decode(container, stream, settings, report):
        if cancel.is_set():
            return
        if isinstance(item, Frame):
            yield item


def frame_at(
    open_it: Callable[[], InputContainer],
    settings: DecodeSettings,
    seconds: Fraction | None,
    cancel: threading.Event,
) -> Frame | None:
    """The first frame from so many seconds on, of a source opened for it; None: the first there is."""
    with open_it() as container:
        stream = pick_video(container, settings.name)
        start = settings.start if seconds is None else seconds
        return next(frames_in(container, stream, replace(settings, start=start, seek=start), cancel), None)


def _view(grey: Floats) -> View:
    thumbnail = thumbnail_of(grey)
    return View.of(thumbnail, active_area(thumbnail.astype("float32")))


def choose(moments: list[Moment], count: int) -> list[Moment]:
    """So many of the moments: from the middles of shots, evenly among those; more of long ones if need be."""
    lively = [moment for moment in moments if not moment.plain] or moments
    shots: dict[int, list[Moment]] = {}
    for moment in lively:
        shots.setdefault(moment.shot, []).append(moment)
    parts = list(shots.values())
    if len(parts) >= count:
        chosen = [parts[(2 * i + 1) * len(parts) // (2 * count)] for i in range(count)]
        return [part[len(part) // 2] for part in chosen]
    shares = [1] * len(parts)
    while sum(shares) < min(count, len(lively)):
        longest = max(range(len(parts)), key=lambda i: len(parts[i]) / (shares[i] + 1))
        shares[longest] += 1
    return [
        part[(2 * i + 1) * len(part) // (2 * share)]
        for part, share in zip(parts, shares, strict=True)
        for i in range(share)
    ]
