"""Mending what is wrong in a source: sizes that change, times that are missing, ends that are cut off."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition, Stream
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from vidcolor.media.boxes import ends_properly
from vidcolor.media.opening import sane_rate, tagged_length
from vidcolor.media.pixels import signal_of

log = logging.getLogger(__name__)

_FINEST_TICK = 1000
_MOST_HELD = 64
_RANGES = {False: "limited", True: "full"}
_SWSCALE = {False: ColorRange.MPEG, True: ColorRange.JPEG}
Item: TypeAlias = "av.VideoFrame | Packet[Stream]"
_UNTOLD = 1 << 30
"""How many frames FFmpeg says that an AVI has which it wrote to a pipe."""
_INDEX = Fraction(1, 20)
"""Part of a fragmented mp4 that its index takes, as a rule; that follows the last fragment."""
_TRUE_DURATION = ("matroska", "mov", "flv", "asf")


def counted_frames(stream: VideoStream) -> int:
    """Frames in all by the source's own count; 0 where it has none, or one that nobody could fill in."""
    return stream.frames if stream.frames < _UNTOLD else 0


@dataclass(kw_only=True)
class DecodeReport:
    """What went wrong while decoding, filled in as it happens.

    Attributes:
        lost: frames that could not be decoded.
        damaged: frames that decoded with visible damage.
        retimed: frames whose pts was missing, repeated or running backwards.
        rescaled: frames of another size, format or range than the first.
        broken_off: whether damage ended the film early.
        unmarked: whether a matrix was named that is taken for another.
        video_packets, video_index: how many packets of which stream came.
        last_seconds, last_seen: when the last packet ends, of any stream, and of pictures and sound alone.
        suspects: pts of packets that came damaged, whatever the decoder makes of them.
        read_to: byte of the file at which the furthest packet ends, as far as that is known.
    """

    lost: int = 0
    damaged: int = 0
    retimed: int = 0
    rescaled: int = 0
    broken_off: bool = False
    unmarked: bool = False
    video_packets: int = 0
    last_seconds: Fraction = Fraction(0)
    last_seen: Fraction = Fraction(0)
    video_index: int = 0
    suspects: set[int | None] = field(default_factory=set)
    read_to: int = 0

    def look_at(self, video: av.VideoFrame) -> None:
        """Count a frame that is damaged."""
        suspect = video.pts is not None and video.pts in self.suspects
        self.damaged += video.is_corrupt or suspect
        self.suspects.discard(video.pts)

    def note(self, packet: Packet[Stream]) -> None:
        """Keep count of what the demuxer gave."""
        self.read_to = max(self.read_to, (packet.pos or 0) + packet.size)
        self.video_packets += packet.stream_index == self.video_index
        if packet.pts is not None and packet.time_base:
            end = (packet.pts + (packet.duration or 0)) * packet.time_base
            self.last_seconds = max(self.last_seconds, end)
            if packet.stream.type in ("video", "audio"):
                self.last_seen = max(self.last_seen, end)

    def place(self, video: av.VideoFrame, end: Fraction) -> None:
        """Note when a frame ends, in seconds, whose packet had no time, as in MXF without its index."""
        if video.pts is None:
            self.last_seen = max(self.last_seen, end)

    def forget(self) -> None:
        """Leave out what went wrong so far: it was before the wanted span."""
        self.lost = self.damaged = self.retimed = 0

    def close(
        self, container: InputContainer, stream: VideoStream, *, whole: bool, end: Fraction | None
    ) -> None:
        """Add what is missing at the end of a file that was cut off.

        Args:
            whole: whether all of the file was wanted, so that its packets can be counted.
            end: seconds on the source's clock up to which it was wanted.
        """
        if whole and "mov" in container.format.name and 0 < stream.frames <= self.video_packets:
            # all are there: with B-frames the last of a varying rate seem to end before the track does
            last = _certain_end(stream) or Fraction(0)
            self.last_seconds, self.last_seen = max(self.last_seconds, last), max(self.last_seen, last)
        known = (
            (_stated_end(container, stream), self.last_seconds),
            (_own_end(container, stream), self.last_seen),  # a title may stay beyond the cut
        )
        missing = [(stated if end is None else min(stated, end)) - last for stated, last in known if stated]
        if missing:
            self._miss(max(missing), stream, whole and container.format.name != "avi")
        if end is None and self._stops_short(container, stream):
            log.warning(
                "the file is damaged: no fragment is found after %.3g %% of it; the film ends there",
                100 * self.read_to / container.size,
            )
            self.broken_off = True
        if self.broken_off:
            self.lost = max(1, self.lost)

    def _stops_short(self, container: InputContainer, stream: VideoStream) -> bool:
        """Whether the demuxer has taken damage in a fragmented mp4, which counts no frames, for its end."""
        if "mov" not in container.format.name or stream.frames:
            return False
        early = 0 < self.read_to < (1 - _INDEX) * container.size
        return early and not ends_properly(container.name, self.read_to)

    def _miss(self, missing: Fraction, stream: VideoStream, countable: bool) -> None:
        rate = sane_rate(stream)
        uncounted = stream.frames - self.video_packets if countable else 0
        # a count alone proves nothing: an edit list hides frames that are in the index and never come
        if uncounted > 0 and missing * rate > Fraction(3, 2):
            self.lost += uncounted
        elif missing > Fraction(1, 2):
            self.lost += max(1, round(missing * rate))


def _own_end(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """When the picture ends by the headers of its own track, in seconds; None where they do not say."""
    if "matroska" in container.format.name and container.duration:
        tagged = tagged_length(stream)  # which may be left over from a longer film
        return None if tagged is None else min(tagged, Fraction(container.duration, av.time_base))
    known = "mov" in container.format.name or container.format.name == "mxf"
    return _certain_end(stream) if known else None


def _certain_end(stream: Stream) -> Fraction | None:
    """When a track of an mp4, mov or mxf ends at least, in seconds.

    FFmpeg works out how long a track lasts; of one that begins late, and whose edit list may end it early, it
    gives the time that it would last uncut: without its lateness that is certain.
    """
    if not (stream.duration and stream.time_base):
        return None
    return (min(stream.start_time or 0, 0) + stream.duration) * stream.time_base


def _stated_end(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """When the film ends by its own headers, in seconds; None where they do not say."""
    name = container.format.name
    if name == "avi":  # its count includes frames that were dropped, so it is a time; FFmpeg trims durations
        return counted_frames(stream) * stream.time_base or None if stream.time_base else None
    if not container.duration or not any(known in name for known in _TRUE_DURATION):
        return None
    if "mov" not in name:
        return Fraction(container.duration, av.time_base)
    unread = (s.discard == Discard.all or s.disposition & Disposition.attached_pic for s in container.streams)
    read = (stream for stream, never in zip(container.streams, unread, strict=True) if not never)
    ends = [end for end in map(_certain_end, read) if end is not None]
    return max(ends, default=Fraction(container.duration + (container.start_time or 0), av.time_base))


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


class Clock:
    """Gives each frame a strictly rising pts in a time base that leaves room for repairs."""

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
