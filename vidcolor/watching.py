"""Looks at the source's frames as they pass, and says once what their owner should know."""

from __future__ import annotations

import logging
from collections import deque
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from vidcolor.frames import Frame
from vidcolor.media.containers import label
from vidcolor.media.encoders import is_image
from vidcolor.media.pixels import has_captions, has_exif, tells_active_format
from vidcolor.result import clock

log = logging.getLogger(__name__)

Pace = tuple[Fraction, int]

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

_ONE_RATE = frozenset(
    ["yuv4mpegpipe", "mxf", "h264", "hevc", "mpeg1video", "mpeg2video", "mjpeg", "rawvideo", "obu"]
)
"""Containers, and streams without one, in which frames have no times of their own."""
_EVEN, _HOLE = 25, 5
"""Even frames in a row after which one that comes so many frames later is taken to follow a hole."""
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
        pace: time of the last frame, seconds, and how many came evenly before it.
    """

    def __init__(self, first: Frame, muxer: str, rate: Fraction, *, interlaced: bool, codec: str) -> None:
        self._first, self._muxer, self._rate = first, muxer, rate
        self._interlaced, self._codec = interlaced, codec
        self._means: deque[float] = deque(maxlen=3)
        self._unsteady: deque[float] = deque(maxlen=_FLICKER_FRAMES)
        self._lit: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None = None
        self._looks = 0
        self.pace = (first.seconds, 0)
        self.written = 0

    def __call__(self, frame: Frame, said: set[str], late: Fraction = Fraction(0)) -> None:
        """Look at the next frame.

        Args:
            frame: the next.
            said: what has been said; it is added to.
            late: seconds by which the encoder has to put it after its time.
        """
        self._look_at_time(frame, said, late)
        before = self.pace[0]
        if self._follows_a_hole(frame) and "hole" not in said:
            said.add("hole")
            log.warning(
                "the source has no frames for %.3g s before %s: it may be damaged there",
                float(frame.seconds - before),
                clock(float(frame.seconds)),
            )
        if frame.fields > self._first.fields and not self._interlaced and "fields" not in said:
            said.add("fields")
            log.warning("the film turns interlaced in mid-stream: the fields stay woven, but are not marked")
        turns = frame.fields == self._first.fields == 2 and frame.bottom_first != self._first.bottom_first
        if turns and "order" not in said:
            said.add("order")
            log.warning(
                "the order of the fields changes at %s: H.264 marks frames with the wrong one; --codec ffv1 "
                "marks each as it is",
                clock(float(frame.seconds)),
            )
        if frame.fields == 2 and "interlaced" not in said:
            said.add("interlaced")
            log.warning(
                "the film is interlaced: each field is coloured for itself and stays a field; --deinterlace "
                "makes whole frames"
            )
        self._look_for_captions(frame, said)
        self._look_for_turns(frame, said)
        if "format" not in said and tells_active_format(frame.video):
            said.add("format")
            log.warning("the broadcast's active format descriptions (AFD) are left out")
        if self.written % _LOOK_EVERY == 0 and "colour" not in said and in_colour(frame):
            said.add("colour")
            log.warning(
                "the film has colours of its own at %s: they are replaced", clock(float(frame.seconds))
            )
        if "bars" not in said and self.written % _BARS_EVERY == 0:
            self._look_for_bars(frame, said)
        if "flicker" not in said and self._flickers(frame):
            said.add("flicker")
            log.warning(
                "the film's brightness flickers at %s: luma is left as it is, and colours may follow it; a "
                "deflicker filter before vidcolor helps",
                clock(float(frame.seconds)),
            )
        self.written += 1

    def _look_at_time(self, frame: Frame, said: set[str], late: Fraction) -> None:
        """Say so if frames cannot have their times."""
        counts = self._muxer not in _ONE_RATE and not is_image(self._muxer)  # pictures have no times
        if counts and late > 1 / (2 * self._rate) and "late" not in said:
            said.add("late")
            log.warning(
                "at %s frames come faster than the %s a second that this codec or container counts in: they, "
                "and those after them, are shown late",
                clock(float(frame.seconds)),
                f"{float(self._rate):.6g}",
            )
        behind = frame.seconds - self._first.seconds - self.written / self._rate
        if self._muxer in _ONE_RATE and abs(behind) > 1 / (2 * self._rate) and "rate" not in said:
            said.add("rate")
            when = "early" if behind > 0 else "late"
            log.warning(
                "%s holds one frame rate: frames of other times are shown too %s", label(self._muxer), when
            )

    def _look_for_turns(self, frame: Frame, said: set[str]) -> None:
        if frame.orientation == self._first.orientation or "turned" in said:
            return
        if is_image(self._muxer) and (
            self._codec == "tiff" or (self._codec == "png" and has_exif(frame.video))
        ):
            return  # each picture says for itself how it is turned
        said.add("turned")
        log.warning(
            "the picture turns in mid-stream, at %s: all is turned as the beginning is, and lies or is "
            "squeezed from there on",
            clock(float(frame.seconds)),
        )

    def _look_for_captions(self, frame: Frame, said: set[str]) -> None:
        if self._codec in _CAPTIONED or "captions" in said or not has_captions(frame.video):
            return
        said.add("captions")
        log.warning("the picture's closed captions have no place in %s: H.264 keeps them", self._codec)

    def _follows_a_hole(self, frame: Frame) -> bool:
        """Whether a source that has been even jumps: a demuxer that is lost among damage skips in silence."""
        last, even = self.pace
        step = (frame.seconds - last) * self._rate
        self.pace = frame.seconds, even + 1 if Fraction(1, 2) < step < Fraction(3, 2) else 0
        return even >= _EVEN and step >= _HOLE

    def _look_for_bars(self, frame: Frame, said: set[str]) -> None:
        """Say so if rows or columns along the edges have been black in all frames looked at."""
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
        said.add("bars")
        height, width = len(rows), len(columns)
        found = (
            ("at the top", top, height),
            ("at the bottom", bottom, height),
            ("on the left", left, width),
            ("on the right", right, width),
        )
        wide = [f"{n} pixels {where}" for where, n, size in found if n >= max(4, _BAR_LEAST * size)]
        if wide:
            log.warning("the picture has black bars (%s): they stay black", ", ".join(wide))

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
