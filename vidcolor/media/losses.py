"""What was lost of a source in decoding, counted as it happens, and whether its end is missing."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from fractions import Fraction

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition, Stream
from av.video.stream import VideoStream

from vidcolor.media.boxes import ends_properly
from vidcolor.media.streams import sane_rate, tagged_length

log = logging.getLogger(__name__)

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
