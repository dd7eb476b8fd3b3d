"""Stage 1, decode: from a container to frames in order, everything else passed along as packets."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from vidcolor.errors import InputError
from vidcolor.frames import Frame, Orientation
from vidcolor.media.deinterlace import Deinterlacer
from vidcolor.media.pixels import display_matrix, luma_of, signal_of
from vidcolor.media.repair import Clock, DecodeReport, FirstShape, backdated

log = logging.getLogger(__name__)

_INDEXED = ("matroska", "mov", "avi")
_LONGEST_GOP = 12  # seconds
MAX_FAILURES_IN_A_ROW = 200


@dataclass(frozen=True, kw_only=True)
class DecodeSettings:
    """What decoding needs to know.

    Attributes:
        start, end: seconds on the source's clock; frames outside are left out.
        deinterlace: run FFmpeg's bwdif filter, one frame for each frame.
        name: of the source, for messages.
        seekable: whether the source is more than a pipe, of which trying to seek can eat the film.
    """

    start: Fraction | None = None
    end: Fraction | None = None
    deinterlace: bool = False
    name: str = "input"
    seekable: bool = True


def decode(
    container: InputContainer, stream: VideoStream, settings: DecodeSettings, report: DecodeReport
) -> Iterator[Frame | Packet[Stream]]:
    """Yield the frames of ``stream`` in the order of presentation and the packets of all other streams.

    A frame of another size than the first is scaled to that: a file has one size, and a seam is less
    bad than an end. Frames without a usable pts get one that rises.

    Raises:
        InputError: reading fails, or nothing decodes any more.
    """
    shape = FirstShape(report)
    clock = Clock(stream, report)
    dated = backdated(_raw(container, stream, settings, report), clock.source_frame)
    for item in _timely(dated, stream, settings):
        if isinstance(item, Packet):
            yield item
            continue
        video = shape.fit(item)
        report.damaged += video.is_corrupt
        yield _describe(video, stream, clock)


def _raw(
    container: InputContainer, stream: VideoStream, settings: DecodeSettings, report: DecodeReport
) -> Iterator[av.VideoFrame | Packet[Stream]]:
    if settings.seekable and settings.start is not None:
        _seek(container, settings.start)
    decoder = _Decoder(stream, settings, report, guessed_times=container.format.name == "avi")
    for packet in _packets(container, settings.name, report):
        if packet.size == 0:
            continue
        report.note(packet)
        if packet.stream_index == stream.index:
            yield from decoder.frames(packet)
        else:
            yield packet
    yield from decoder.frames(None)


def _seek(container: InputContainer, start: Fraction) -> None:
    """Go to a key frame at or before ``start``; without an index, FFmpeg lands only thereabouts."""
    early = start if any(name in container.format.name for name in _INDEXED) else start - _LONGEST_GOP
    target = int(early * av.time_base)
    if target > max(container.start_time or 0, 0):
        container.seek(target, backward=True)


class _Decoder:
    """Decodes, counts what fails, and gives up when nothing decodes any more."""

    def __init__(
        self, stream: VideoStream, settings: DecodeSettings, report: DecodeReport, *, guessed_times: bool
    ) -> None:
        self._stream = stream
        self._name = settings.name
        self._report = report
        self._filter = Deinterlacer(stream) if settings.deinterlace else None
        self._failures = 0
        self._guessed_times = guessed_times
        self._late: int | None = None

    def frames(self, packet: Packet[Stream] | None) -> Iterator[av.VideoFrame]:
        """Frames that the packet completes; None flushes the decoder."""
        frames: list[av.VideoFrame] = []
        try:
            frames = self._stream.decode(packet)
            self._failures = 0
        except (av.error.EOFError, av.error.BlockingIOError):
            pass
        except av.FFmpegError as error:
            self._fail(packet, error)
        if self._guessed_times:
            self._undelay(packet, frames)
        yield from (self._filter.push(frames, packet is None) if self._filter else frames)

    def _undelay(self, packet: Packet[Stream] | None, frames: list[av.VideoFrame]) -> None:
        """AVI has no presentation times: those that FFmpeg guesses are late by the decoder's delay."""
        if self._late is None and packet is not None and packet.pts is not None and packet.dts is not None:
            self._late = packet.pts - packet.dts
        for frame in frames:
            if frame.pts is not None:
                frame.pts -= self._late or 0

    def _fail(self, packet: Packet[Stream] | None, error: av.FFmpegError) -> None:
        self._failures += 1
        self._report.lost += 1
        log.debug("%s: pts %s does not decode: %s", self._name, packet.pts if packet else "at end", error)
        if self._failures >= MAX_FAILURES_IN_A_ROW:
            raise InputError(f"{self._name}: {self._failures} frames in a row do not decode") from error


def _packets(container: InputContainer, name: str, report: DecodeReport) -> Iterator[Packet[Stream]]:
    """Demux; where damage stops the demuxer itself, the film ends there and the report says so."""
    try:
        yield from container.demux()
    except av.error.InvalidDataError as error:
        log.warning("%s: the file is damaged (%s); the film ends there", name, error.strerror)
        report.broken_off = True
    except OSError as error:
        raise InputError(f"{name}: reading stopped ({error})") from error


def _timely(
    items: Iterator[av.VideoFrame | Packet[Stream]], stream: VideoStream, settings: DecodeSettings
) -> Iterator[av.VideoFrame | Packet[Stream]]:
    """Leave out frames before the start, and stop a little after the end (sound may lag in the file)."""
    for item in items:
        if isinstance(item, Packet) or item.pts is None:
            yield item
            continue
        seconds = item.pts * (item.time_base or stream.time_base or Fraction(1))
        if settings.end is not None and seconds >= settings.end:
            if seconds >= settings.end + 2:
                return
            continue
        if settings.start is None or seconds >= settings.start:
            yield item


def _describe(video: av.VideoFrame, stream: VideoStream, clock: Clock) -> Frame:
    signal = signal_of(video)
    interlaced = video.interlaced_frame and video.height >= 4
    return Frame(
        video=video,
        luma=luma_of(video, signal),
        signal=signal,
        pts=clock.pts(video),
        duration=clock.duration(video),
        time_base=clock.time_base,
        fields=2 if interlaced else 1,
        orientation=_orientation(video),
        aspect=stream.sample_aspect_ratio or Fraction(1),
    )


def _orientation(video: av.VideoFrame) -> Orientation:
    matrix = display_matrix(video)
    return Orientation.from_matrix(matrix) if matrix else Orientation()
