"""Mending what is wrong in decoded frames: shapes that change, times that are missing or run backwards."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import TypeAlias

import av
from av.packet import Packet
from av.stream import Stream
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from vidcolor.media.losses import DecodeReport
from vidcolor.media.pixels import signal_of
from vidcolor.media.streams import sane_rate

log = logging.getLogger(__name__)

_FINEST_TICK = 1000
"""Ticks a second that the time base has at least: room to move frames whose times collide."""
_MOST_HELD = 64
_RANGES = {False: "limited", True: "full"}
_SWSCALE = {False: ColorRange.MPEG, True: ColorRange.JPEG}
Item: TypeAlias = "av.VideoFrame | Packet[Stream]"
_WRITABLE = {"pal8": "rgb24", "uyyvyy411": "yuv411p", "monob": "gray", "monow": "gray"}
"""What stands in for formats that FFmpeg does not write, or that hold less than what comes later."""


class FirstShape:
    """Holds all frames to size, format and range of the first; says so where pixels change their shape."""

    def __init__(self, report: DecodeReport) -> None:
        self._report = report
        self._aspect: Fraction | None = None
        self._turned = False
        self._shape: tuple[int, int, str, bool] | None = None

    def fit(self, video: av.VideoFrame, aspect: Fraction | None = None) -> av.VideoFrame:
        """The frame as the first was; ``aspect`` is that of its pixels by the codec's own word."""
        self._watch(aspect)
        full = signal_of(video).full_range
        shape = (video.width, video.height, video.format.name, full)
        if self._shape is None:
            self._shape = shape
        if shape == self._shape:
            return video
        width, height, name, first = self._shape
        name = _WRITABLE.get(name, "rgb24" if name.startswith("bayer") else name)
        if not self._report.rescaled:
            log.warning(
                "the picture changes from %d×%d %s, %s range, to %d×%d %s, %s range, in mid-stream: it is "
                "converted from here on",
                *self._shape[:3], _RANGES[first], *shape[:3], _RANGES[full],
            )  # fmt: skip
        self._report.rescaled += 1
        if full == first:
            return video.reformat(width=width, height=height, format=name)
        return video.reformat(
            width=width,
            height=height,
            format=name,
            src_color_range=_SWSCALE[full],
            dst_color_range=_SWSCALE[first],
        )

    def _watch(self, aspect: Fraction | None) -> None:
        first = self._aspect = self._aspect or aspect
        if first and aspect and first != aspect and not self._turned:
            self._turned = True
            log.warning(
                "the pixels change their aspect ratio from %d:%d to %d:%d in mid-stream: the film keeps that "
                "of its beginning",
                *first.as_integer_ratio(), *aspect.as_integer_ratio(),
            )  # fmt: skip


def backdated(items: Iterator[Item], frame: int) -> Iterator[Item]:
    """Give frames without a time, at the very beginning, times that lead up to the first that has one.

    Args:
        frame: ticks of one frame.
    """
    held: list[Item] = []
    for item in items:
        held.append(item)
        if isinstance(item, av.VideoFrame) and (item.pts is not None or len(held) >= _MOST_HELD):
            break
    pts = held[-1].pts if held and isinstance(held[-1], av.VideoFrame) else None
    for item in reversed(held[:-1] if pts is not None else []):
        if isinstance(item, av.VideoFrame) and pts is not None:
            pts -= frame
            item.pts = pts
    yield from held
    yield from items


class PacketTimes:
    """Gives frames the time of the packet with which they came, less the decoder's delay.

    For sources whose packets have times of decoding alone: the times of presentation that FFmpeg guesses are
    in the order of decoding for H.264, and for MPEG-4 whose B-frames are packed.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._frame = max(1, round(1 / (sane_rate(stream) * (stream.time_base or Fraction(1, 1000)))))
        self._begin: int | None = None  # decode time of the first packet
        self._keyed = False  # whether that is a key frame: what comes before one may not be shown
        self._delay: int | None = None
        self._last: int | None = None

    def give(self, packet: Packet[Stream] | None, frames: list[av.VideoFrame]) -> None:
        """Change the pts of the frames that came with a packet; None: when the decoder was emptied."""
        keyed = packet is not None and packet.is_keyframe
        if packet is not None and (self._begin is None or (keyed and not self._keyed)):
            self._begin, self._keyed = packet.dts, keyed
        for frame in frames:
            if frame.dts is not None:
                if self._delay is None:
                    self._delay = frame.dts - (self._begin or 0)
                frame.pts = frame.dts - self._delay
            elif self._last is not None:  # of the last few, which come when the decoder is emptied
                frame.pts = self._last + self._frame
            self._last = frame.pts

    def note_failure(self) -> None:
        """The packet does not decode, and what does not decode is no delay."""
        if self._delay is None:
            self._begin, self._keyed = None, False


class FrameClock:
    """Gives each frame a strictly rising pts in a time base that leaves room for repairs.

    Attributes:
        time_base: a whole fraction of the source's, at least as fine as a millisecond.
    """

    def __init__(self, stream: VideoStream, report: DecodeReport) -> None:
        base = stream.time_base or Fraction(1, 1000)
        factor = -(-_FINEST_TICK // base.denominator)
        self.time_base = Fraction(1, base.denominator * factor)
        self._ticks = int(base / self.time_base)
        self._frame = max(1, round(1 / (sane_rate(stream) * self.time_base)))
        self._least = max(1, round(Fraction(1, _FINEST_TICK) / self.time_base))  # Matroska counts no finer
        self._last: int | None = None
        self._report = report
        self._track_end = (stream.start_time or 0) + stream.duration if stream.duration else None

    @property
    def source_frame(self) -> int:
        """Ticks of the source that one frame lasts, about."""
        return max(1, self._frame // self._ticks)

    def pts(self, video: av.VideoFrame) -> int:
        """The next frame's pts in :attr:`time_base`: its own, or a later one if that is missing or taken."""
        stamp = video.pts if video.pts is not None else video.dts
        if stamp is None:
            pts = 0 if self._last is None else self._last + self._frame
        else:
            pts = stamp * self._ticks
        if self._last is not None and pts <= self._last:
            behind = (self._last - pts) * self.time_base
            pts = self._last + (self._frame if behind > 1 else self._least)
            self._warn()
        elif stamp is None and self._last is not None:
            self._warn()
        self._last = pts
        return pts

    def duration(self, video: av.VideoFrame) -> int:
        """Ticks that a frame lasts as far as is known, and no longer than its track.

        mp4 tells how far decode times lie apart: a pause is told of a frame after it, with B-frames.
        """
        lasts, end = int(video.duration or 0), self._track_end
        if end is not None and video.pts is not None and video.pts < end:
            lasts = min(lasts, end - video.pts)
        return lasts * self._ticks

    def _warn(self) -> None:
        if not self._report.retimed:
            log.warning("a frame's time is missing, repeated or runs backwards; such frames get a later one")
        self._report.retimed += 1
