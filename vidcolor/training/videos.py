"""Colour films as a source of pictures: a few frames of each shot."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidcolor.colorspace import bt709_codes
from vidcolor.errors import InputError

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

log = logging.getLogger(__name__)
# fmt: off
SUFFIXES = frozenset((
    ".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".m2v", ".vob", ".ts", ".mts",
    ".m2ts", ".wmv", ".asf", ".flv", ".f4v", ".ogv", ".ogm", ".mxf", ".nut", ".y4m", ".3gp", ".3g2",
    ".dv",
))
# fmt: on
_THUMB = (32, 24)
_CUT_CODES = 18.0
_CUT_RATIO = 2.5
_SETTLED_SECONDS = Fraction(1, 5)
"""Frames directly behind a cut are often blended with the last shot, or coarsely coded."""
_DAMAGED_PACKETS = 50
_HDR = (16, 18)
"""Transfer characteristics of PQ and HLG (ITU-T H.273)."""

Picture = NDArray[np.uint8]


def film_frames(
    path: Path, *, name: str, largest: int, each_shot: int = 2, gap_seconds: Fraction = Fraction(1)
) -> Iterator[tuple[str, Picture]]:
    """Yield name and R'G'B' ``(h, w, 3)`` of up to ``each_shot`` frames of every shot, spread over it.

    The film is opened with the same trust as one to be coloured. Frames are upright, with square pixels.

    Args:
        name: what the film is called.
        largest: short side to which bigger frames are reduced, pixels.
        gap_seconds: least distance of two frames of a shot.

    Raises:
        InputError: it is no film that can be opened, has no pictures, or is HDR.
    """
    from vidcolor.media.opening import open_source
    from vidcolor.media.streams import pick_video, sane_rate

    with open_source(str(path)) as container:
        stream = pick_video(container, str(path))
        stream.thread_type = "AUTO"
        frame_seconds = 1 / sane_rate(stream)
        shot = _Shot(each_shot, gap_seconds)
        cuts = _Cuts()
        number = -1
        for number, frame in enumerate(_decoded(container, stream, path)):
            if int(frame.color_trc) in _HDR:
                raise InputError(f"{path}: is HDR (PQ or HLG), whose colours are not those of SDR film")
            if frame.pts is None or frame.time_base is None:
                at = number * frame_seconds
            else:
                at = frame.pts * frame.time_base
            if cuts.before(frame):
                yield from shot.chosen(name)
                shot = _Shot(each_shot, gap_seconds)
            if shot.wants(at):
                shot.add(at, _rgb(frame, stream, largest))
        if number < 0:
            raise InputError(f"{path}: no frame of it decodes")
        yield from shot.chosen(name)


def _decoded(container: InputContainer, stream: VideoStream, path: Path) -> Iterator[av.VideoFrame]:
    """Frames that decode; a film with too much damage ends there."""
    import av

    damaged = 0
    try:
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except av.FFmpegError as error:
                damaged += 1
                if damaged > _DAMAGED_PACKETS:
                    raise error
    except (av.FFmpegError, OSError) as error:
        log.warning("%s: reading stopped (%s); what came before is used", path, error)


class _Cuts:
    """Hard cuts, seen on luma of 32×24: a change that is large, and large against what went before."""

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()  # one for all: that of a frame is set up for it alone
        self._last: NDArray[np.float32] | None = None
        self._usual = 0.0

    def before(self, frame: av.VideoFrame) -> bool:
        """Whether a shot begins with this frame; the first frame begins none."""
        small = self._reformatter.reformat(frame, *_THUMB, "gray", interpolation="AREA")
        luma = small.to_ndarray().astype(np.float32)
        last, self._last = self._last, luma
        if last is None:
            return False
        change = luma - last
        exposure = np.clip(np.median(change), -40.0, 40.0)  # a flickering lamp is no cut
        size = float(np.abs(change - exposure).mean())
        cut = size > _CUT_CODES and size > _CUT_RATIO * self._usual
        self._usual = 0.0 if cut else self._usual + 0.2 * (size - self._usual)
        return cut


class _Shot:
    """Frames of one shot at growing distances, so that few are held however long it lasts."""

    def __init__(self, wanted: int, gap: Fraction) -> None:
        self._wanted, self._gap = wanted, gap
        self._start: Fraction | None = None
        self._first: tuple[Fraction, Picture] | None = None
        self._held: list[tuple[Fraction, Picture]] = []

    def wants(self, at: Fraction) -> bool:
        """Whether the frame at this time (seconds) is worth converting."""
        if self._start is None:
            self._start = at
            return True
        due = self._held[-1][0] + self._gap if self._held else self._start + _SETTLED_SECONDS
        return at >= due

    def add(self, at: Fraction, rgb: Picture) -> None:
        """Hold a frame."""
        if self._first is None:
            self._first = (at, rgb)
            return
        self._held.append((at, rgb))
        if len(self._held) > 2 * self._wanted:
            self._held = self._held[::2]
            self._gap *= 2

    def chosen(self, film: str) -> Iterator[tuple[str, Picture]]:
        """Name and pixels of the frames that stand for the shot."""
        held = self._held or ([self._first] if self._first else [])
        places = np.linspace(0, len(held) - 1, min(self._wanted, len(held))).round().astype(int)
        for place in places:
            at, rgb = held[place]
            yield f"{film}@{float(at):.3f}s", rgb


def _rgb(frame: av.VideoFrame, stream: VideoStream, largest: int) -> Picture:
    """R'G'B' ``(h, w, 3)``, upright, with square pixels, the short side at most ``largest``."""
    from vidcolor.frames import Orientation
    from vidcolor.media.pixels import signal_of
    from vidcolor.media.sidedata import display_matrix

    colours = signal_of(frame).matrix
    aspect = stream.sample_aspect_ratio or Fraction(1)
    width = frame.width * aspect if aspect > 1 else Fraction(frame.width)
    height = frame.height / aspect if aspect < 1 else Fraction(frame.height)
    scale = min(Fraction(1), largest / min(width, height))
    small = frame.reformat(
        width=max(1, round(width * scale)),
        height=max(1, round(height * scale)),
        format="rgb24",
        src_colorspace=colours.code,
        interpolation="AREA",
    )
    matrix = display_matrix(frame)
    orientation = Orientation.from_matrix(matrix) if matrix else Orientation()
    rgb = np.asarray(small.to_ndarray(), np.uint8)
    return np.ascontiguousarray(orientation.upright(bt709_codes(rgb) if colours.wide else rgb))
