"""Looks at the source's frames as they pass, and says once what their owner should know."""

from __future__ import annotations

import logging
from collections import deque
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from vidcolor.frames import Frame
from vidcolor.media.containers import label
from vidcolor.media.sidedata import has_captions, has_exif, tells_active_format
from vidcolor.media.traits import traits_of
from vidcolor.result import clock

log = logging.getLogger(__name__)

_SIZE = (64, 48)
_LOOK_EVERY = 24
"""Frames between two looks at the source's own chroma."""
_COLOURED = 3.5
"""Standard deviation of chroma, in 8-bit codes, beyond what follows from luma: toned film has next to none.

With luma's part still in it, it was 4.0 to 27.8 on 24 clips in colour, and 0.0 on three in black and white.
"""
_FLICKER_FRAMES = 48
_FLICKER = 1.25
"""Median, over so many frames, of how far a frame's mean luma is from its neighbours' mean, in 8-bit codes.

It was at most 1.00 on 27 clips, that in a sports hall, and 0.93 on a scratched newsreel.
"""
_SAMPLED = 135
"""Lines, about, of which the mean is taken: with fewer, fine texture that moves would be flicker."""

_EVEN, _HOLE = 25, 5
"""Even frames in a row after which one that comes so many frames later is taken to follow a hole."""
_TORN = 3
"""Frames between the two that may be uneven: of those last shown, B-frames may have lain in the hole."""
_CAPTIONED = frozenset(["libx264", "libx264rgb", "libx265", "mpeg2video", "h264_nvenc", "hevc_nvenc"])
"""Encoders that write the closed captions which come with frames (CTA-708 in ATSC A/53 user data)."""
_BARS_EVERY, _BARS_LOOKS = 12, 8
"""Frames between two looks for black bars, and looks after which they are believed."""
_BAR_CODES = 3
"""Mean luma above black, in 8-bit codes, up to which a row or column is black."""
_BARS_LEAVE = 0.5
"""Part of the picture that is left between bars, at least."""
_BAR_LEAST = 0.01
"""Part of the picture's height or width that a bar takes at least."""
_LINES = {
    "hole": "the source has no frames for %.3g s before %s: it may be damaged there",
    "fields": "the film turns interlaced in mid-stream: the fields stay woven, but are not marked",
    "order": "the order of the fields changes at %s: H.264 marks frames with the wrong one; --codec ffv1 "
    "marks each as it is",
    "interlaced": "the film is interlaced: each field is coloured for itself and stays a field; "
    "--deinterlace makes whole frames",
    "format": "the broadcast's active format descriptions (AFD) are left out",
    "colour": "the film has colours of its own at %s: they are replaced",
    "bars": "the picture has black bars (%s): they stay black",
    "flicker": "the film's brightness flickers at %s: luma is left as it is, and colours may follow it; a "
    "deflicker filter before vidcolor helps",
    "late": "at %s frames come faster than the %s a second that this codec or container counts in: they, and "
    "those after them, are shown late",
    "rate": "%s holds one frame rate: frames of other times are shown too %s",
    "turned": "the picture turns in mid-stream, at %s: all is turned as the beginning is, and lies or is "
    "squeezed from there on",
    "captions": "the picture's closed captions have no place in %s: H.264 keeps them",
}


class Watch:
    """Watches one film.

    Args:
        first: its first frame.
        muxer: FFmpeg's name of the target's container.
        rate: frames a second.
        interlaced: whether fields are marked in the target.
        codec: FFmpeg's name of the encoder.

    Attributes:
        written: frames before the next.
        said: which lines have been said; none is said twice.
    """

    def __init__(self, first: Frame, muxer: str, rate: Fraction, *, interlaced: bool, codec: str) -> None:
        self._first, self._muxer, self._rate = first, muxer, rate
        self._traits = traits_of(muxer)
        self._interlaced, self._codec = interlaced, codec
        self._means: deque[float] = deque(maxlen=3)
        self._unsteady: deque[float] = deque(maxlen=_FLICKER_FRAMES)
        self._lit: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None = None
        self._looks = 0
        # time of the last frame, how many came evenly before it, and how many since then
        self._pace = (first.seconds, 0, 0)
        self.written = 0
        self.said: set[str] = set()

    def __call__(self, frame: Frame, late: Fraction = Fraction(0)) -> None:
        """Look at the next frame.

        Args:
            frame: the next.
            late: seconds by which the encoder has to put it after its time.
        """
        at = clock(float(frame.seconds))
        self._look_at_time(frame, at, late)
        before = self._pace[0]
        if self._follows_a_hole(frame):
            self._say("hole", float(frame.seconds - before), at)
        if frame.fields > self._first.fields and not self._interlaced:
            self._say("fields")
        if frame.fields == self._first.fields == 2 and frame.bottom_first != self._first.bottom_first:
            self._say("order", at)
        if frame.fields == 2:
            self._say("interlaced")
        self._look_for_captions(frame)
        self._look_for_turns(frame, at)
        if "format" not in self.said and tells_active_format(frame.video):
            self._say("format")
        if self.written % _LOOK_EVERY == 0 and "colour" not in self.said and in_colour(frame):
            self._say("colour", at)
        if "bars" not in self.said and self.written % _BARS_EVERY == 0:
            self._look_for_bars(frame)
        if "flicker" not in self.said and self._flickers(frame):
            self._say("flicker", at)
        self.written += 1

    def _say(self, what: str, *details: object) -> None:
        """Log one of the lines, unless it has been said."""
        if what not in self.said:
            self.said.add(what)
            log.warning(_LINES[what], *details)

    def _look_at_time(self, frame: Frame, at: str, late: Fraction) -> None:
        """Say so if frames cannot have their times."""
        counts = self._traits.timed and not self._traits.is_image  # pictures have no times
        if counts and late > 1 / (2 * self._rate):
            self._say("late", at, f"{float(self._rate):.6g}")
        behind = frame.seconds - self._first.seconds - self.written / self._rate
        if not self._traits.timed and abs(behind) > 1 / (2 * self._rate):
            self._say("rate", label(self._muxer), "early" if behind > 0 else "late")

    def _look_for_turns(self, frame: Frame, at: str) -> None:
        if frame.orientation == self._first.orientation or "turned" in self.said:
            return
        if self._traits.is_image and (
            self._codec == "tiff" or (self._codec == "png" and has_exif(frame.video))
        ):
            return  # each picture says for itself how it is turned
        self._say("turned", at)

    def _look_for_captions(self, frame: Frame) -> None:
        if self._codec not in _CAPTIONED and "captions" not in self.said and has_captions(frame.video):
            self._say("captions", self._codec)

    def _follows_a_hole(self, frame: Frame) -> bool:
        """Whether a source that has been even jumps: a demuxer that is lost among damage skips in silence."""
        last, even, torn = self._pace
        step = (frame.seconds - last) * self._rate
        hole = even >= _EVEN and step >= _HOLE
        if hole or torn == _TORN:
            even = torn = 0
        elif torn or not Fraction(1, 2) < step < Fraction(3, 2):
            torn += 1
        else:
            even += 1
        self._pace = frame.seconds, even, torn
        return hole

    def _look_for_bars(self, frame: Frame) -> None:
        """Say so if rows or columns along the edges have been black in all frames looked at.

        In pixels of the source, for people alone: :mod:`vidcolor.bars` keeps bars from the generator.
        """
        limit = frame.signal.ends[0] + (_BAR_CODES << (frame.signal.depth - 8))
        lit = (frame.luma[:, ::8].mean(1) > limit, frame.luma[::8].mean(0) > limit)
        if self._lit is None or [len(a) for a in self._lit] != [len(a) for a in lit]:
            self._lit, self._looks = lit, 0
        self._lit = (self._lit[0] | lit[0], self._lit[1] | lit[1])
        self._looks += 1
        if self._looks < _BARS_LOOKS:
            return
        rows, columns = self._lit
        self._lit = None
        if not (rows.any() and columns.any()):
            return
        (top, bottom), (left, right) = edges_of(rows), edges_of(columns)
        inside = rows[top : len(rows) - bottom], columns[left : len(columns) - right]
        if not all(axis.all() for axis in inside) or inside[0].size * inside[1].size < _BARS_LEAVE * (
            rows.size * columns.size
        ):
            return  # a title or the like; it is looked at again
        height, width = len(rows), len(columns)
        found = (
            ("at the top", top, height),
            ("at the bottom", bottom, height),
            ("on the left", left, width),
            ("on the right", right, width),
        )
        wide = [f"{n} pixels {where}" for where, n, size in found if n >= max(4, _BAR_LEAST * size)]
        if wide:
            self._say("bars", ", ".join(wide))
        self.said.add("bars")  # also where they are too narrow to speak of

    def _flickers(self, frame: Frame) -> bool:
        unit = 1 << (frame.signal.depth - 8)
        apart = min(8, max(1, min(frame.luma.shape) // _SAMPLED))
        self._means.append(float(frame.luma[::apart, ::apart].mean()) / unit)
        if len(self._means) == 3:
            self._unsteady.append(abs(self._means[1] - (self._means[0] + self._means[2]) / 2.0))
        full = len(self._unsteady) == _FLICKER_FRAMES
        return full and float(np.median(self._unsteady)) > _FLICKER


def edges_of(lit: NDArray[np.bool_]) -> tuple[int, int]:
    """How many before the first and after the last that is lit, of which there must be one."""
    return int(lit.argmax()), int(lit[::-1].argmax())


def in_colour(frame: Frame) -> bool:
    """Whether the decoded frame has colours that are more than one tone for all that is as bright."""
    if len(frame.video.format.components) < 3:
        return False
    small = frame.video.reformat(*_SIZE, "yuv444p", interpolation="AREA").to_ndarray().reshape(3, -1)
    y, *chroma = small.astype(np.float64)
    y -= y.mean()
    for plane in chroma:
        plane -= plane.mean()
        slope = float(plane @ y) / max(float(y @ y), 1e-9)
        if float((plane - slope * y).std()) > _COLOURED:
            return True
    return False
