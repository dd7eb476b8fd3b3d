"""Stage 1, decode: from a container to frames in order, everything else passed along as packets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from vidcolor.errors import InputError
from vidcolor.frames import Frame, Orientation
from vidcolor.media.continuity import demuxed
from vidcolor.media.deinterlace import Deinterlacer
from vidcolor.media.fieldorder import field_order_of, is_bottom_first
from vidcolor.media.losses import DecodeReport
from vidcolor.media.pixels import luma_of, signal_of, without_refused_codes
from vidcolor.media.repair import FirstShape, FrameClock, PacketTimes, backdated
from vidcolor.media.seeking import seek
from vidcolor.media.sidedata import display_matrix
from vidcolor.media.slices import SliceCheck
from vidcolor.media.stills import black_tiff, is_cut_off
from vidcolor.media.tail import Tail

log = logging.getLogger(__name__)

_SOUND_LAG = 2  # seconds that sound may lie behind its picture in the file
MAX_FAILURES_IN_A_ROW = 200
_OF_PICTURES = ("jpeg_pipe", "image2")  # not films in MJPEG, in which ends may be left out
_TURNED_BY_KEY_FRAMES = ("h264", "hevc")
"""Decoders that tell how a picture is turned with key frames alone (display orientation SEI)."""


@dataclass(frozen=True, kw_only=True)
class DecodeSettings:
    """What decoding needs to know.

    Attributes:
        start, end: seconds on the source's clock; frames outside are left out.
        seek: seconds at or before which reading is to begin, where that is not ``start``.
        deinterlace: run FFmpeg's bwdif filter, one frame for each frame.
        name: of the source, for messages.
        seekable: whether the source is more than a pipe, of which trying to seek can eat the film.
        orientation: of frames before the first that tells, where frames go by those before them.
    """

    start: Fraction | None = None
    end: Fraction | None = None
    seek: Fraction | None = None
    deinterlace: bool = False
    name: str = "input"
    seekable: bool = True
    orientation: Orientation = field(default_factory=Orientation)

    def spans(self, seconds: Fraction) -> bool:
        """Whether a frame at this time is wanted."""
        return (self.start is None or seconds >= self.start) and (self.end is None or seconds < self.end)


def decode(
    container: InputContainer, stream: VideoStream, settings: DecodeSettings, report: DecodeReport
) -> Iterator[Frame | Packet[Stream]]:
    """Yield the frames of ``stream`` in the order of presentation and the packets of all other streams.

    A frame of another size than the first is scaled to that: a file has one size, and a seam is less
    bad than an end. Frames without a usable pts get one that rises.

    Raises:
        InputError: reading fails, nothing decodes any more, or the decoder gets no memory or threads.
    """
    shape = FirstShape(report)
    clock = FrameClock(stream, report)
    begun, orientation = settings.start is None, settings.orientation
    for item in backdated(_raw(container, stream, settings, report), clock.source_frame):
        if isinstance(item, Packet):
            yield item
            continue
        orientation = _orientation(item, stream, orientation)
        # the clock first: a raw stream's frames have no other times that the span could be cut by
        pts = clock.pts(item)
        seconds = pts * clock.time_base
        report.place(item, seconds + clock.duration(item) * clock.time_base)
        if settings.end is not None and seconds >= settings.end + _SOUND_LAG:
            return
        if settings.spans(seconds):
            if not begun:
                report.forget()
            begun = True
            report.look_at(item)
            refused = without_refused_codes(item)
            video = shape.fit(item, stream.codec_context.sample_aspect_ratio)
            frame = _describe(video, stream, pts, clock, orientation)
            if refused and not report.unmarked:
                known = frame.signal.matrix.name
                log.warning("the source's matrix, %s, is taken for %s: greys are the same", refused, known)
            report.unmarked = report.unmarked or refused is not None
            yield frame


def other_packets(container: InputContainer, coloured: int, end: Fraction | None) -> Iterator[Packet[Stream]]:
    """Packets of all streams but the coloured one, up to a little beyond the wanted end in seconds."""
    streams = [stream for stream in container.streams if stream.index != coloured]
    if not streams:
        return
    # attachments and covers have no packet by which their end could be known
    left = {
        s.index for s in streams if s.type != "attachment" and not s.disposition & Disposition.attached_pic
    }
    try:
        for packet in demuxed(container, None):  # the coloured stream's tell where the clock begins again
            if packet.stream_index == coloured:
                continue
            ticks = packet.dts if packet.dts is not None else packet.pts
            if end is not None and ticks is not None and ticks * packet.time_base >= end + _SOUND_LAG:
                left.discard(packet.stream_index)  # another track may lie behind it in the file
                if not left:
                    return
                continue
            yield packet
    except (av.error.InvalidDataError, av.error.PatchWelcomeError):
        return  # decoding has met it, too, and said so
    except (OSError, av.FFmpegError) as error:
        raise InputError(f"{container.name}: reading stopped ({error})") from error


def _raw(
    container: InputContainer, stream: VideoStream, settings: DecodeSettings, report: DecodeReport
) -> Iterator[av.VideoFrame | Packet[Stream]]:
    place = settings.start if settings.seek is None else settings.seek
    if settings.seekable and place is not None:
        seek(container, stream, place, settings.name, surely=settings.seek is None)
    guessed = _times_are_guessed(container, stream, settings)
    decoder = _Decoder(stream, settings, report, guessed_times=guessed)
    fails = _check(container, stream, settings.name)
    cut: Packet[Stream] | None = None
    for packet in _packets(container, settings.name, report):
        if packet.size == 0:
            continue
        report.note(packet)
        if packet.stream_index != stream.index:
            if not _long_before(packet, settings.start):
                yield packet
            continue
        if cut is not None:
            yield from decoder.frames(cut)
        if fails is not None and fails(bytes(packet)):
            report.suspects.add(packet.pts)
        cut = packet if packet.is_corrupt else None
        if cut is None:
            yield from decoder.frames(packet)
        if report.broken_off:
            break
    # what is cut off at the file's end does not decode, and takes frames that threads still work at with it
    report.lost += cut is not None
    yield from decoder.frames(None)


def _check(container: InputContainer, stream: VideoStream, name: str) -> Callable[[bytes], bool] | None:
    """What tells whether a packet is damaged where the decoder does not; None where that is not known."""

    def refuse_black(data: bytes) -> bool:
        if what := black_tiff(data):
            raise InputError(f"{name}: is a TIFF with {what}, which FFmpeg does not decode; make it a PNG")
        return False

    codec = stream.codec_context.name
    if codec == "tiff":
        return refuse_black
    if codec == "mjpeg" and container.format.name in _OF_PICTURES:
        return is_cut_off
    return SliceCheck().fails if codec == "ffv1" else None


def _times_are_guessed(container: InputContainer, stream: VideoStream, settings: DecodeSettings) -> bool:
    """Whether packets have times of decoding alone: AVI, tracks of it in Matroska, MXF without its index."""
    name = container.format.name
    if "matroska" in name:
        return stream.codec_context.codec_tag.strip("\0") != ""  # V_MS/VFW/FOURCC
    return name == "avi" or (name == "mxf" and not settings.seekable)


def _long_before(packet: Packet[Stream], start: Fraction | None) -> bool:
    """Whether it ends well before the wanted span: of a source read from its beginning they would pile up."""
    ticks = packet.pts if packet.pts is not None else packet.dts
    if start is None or ticks is None or packet.stream.disposition & Disposition.attached_pic:
        return False
    return (ticks + (packet.duration or 0)) * packet.time_base < start - _SOUND_LAG


class _Decoder:
    """Decodes, counts what fails, and gives up when nothing decodes any more."""

    def __init__(
        self, stream: VideoStream, settings: DecodeSettings, report: DecodeReport, *, guessed_times: bool
    ) -> None:
        self._stream = stream
        self._name = settings.name
        self._report = report
        self._filter = Deinterlacer(stream, again=settings.seek is not None) if settings.deinterlace else None
        self._failures_in_a_row = 0
        self._works = False
        self._times = PacketTimes(stream) if guessed_times else None
        self._tail = Tail(stream)

    def frames(self, packet: Packet[Stream] | None) -> Iterator[av.VideoFrame]:
        """Frames that the packet completes; None flushes the decoder."""
        frames: list[av.VideoFrame] = []
        lost = self._report.lost
        try:
            frames = self._stream.decode(packet) if self._tail.takes(packet) else []
            self._failures_in_a_row = 0
            self._works = self._works or bool(frames)
        except (av.error.EOFError, av.error.BlockingIOError, av.error.MemoryError) as error:
            # it wants memory, or threads to begin with: nothing is wrong with the source
            if isinstance(error, MemoryError) or not self._stream.codec_context.is_open:
                advice = "with more memory, or threads, for it the same command goes on"
                raise InputError(f"{self._name}: decoding stopped ({error.strerror}); {advice}") from error
        except av.FFmpegError as error:
            self._fail(packet, error)
        self._report.lost += self._tail.note(packet, frames, failed=self._report.lost > lost)
        if packet is None:
            left_out, lost = self._tail.rest()
            frames += left_out
            self._report.lost += lost
        if self._times is not None:
            self._times.give(packet, frames)
        yield from (self._filter.push(frames, packet is None) if self._filter else frames)

    def _fail(self, packet: Packet[Stream] | None, error: av.FFmpegError) -> None:
        self._failures_in_a_row += 1
        self._report.lost += 1
        if self._times is not None:
            self._times.note_failure()
        log.debug("%s: pts %s does not decode: %s", self._name, packet.pts if packet else "at end", error)
        if self._failures_in_a_row != MAX_FAILURES_IN_A_ROW:
            return
        if not self._works:
            raise InputError(
                f"{self._name}: {self._failures_in_a_row} frames in a row do not decode"
            ) from error
        log.warning(
            "%s: %d frames in a row do not decode; the film ends there", self._name, self._failures_in_a_row
        )
        self._report.broken_off = True


def _packets(container: InputContainer, name: str, report: DecodeReport) -> Iterator[Packet[Stream]]:
    """Demux; where damage stops the demuxer itself, the film ends there and the report says so."""
    try:
        yield from demuxed(container, name)
    except (av.error.InvalidDataError, av.error.PatchWelcomeError) as error:  # APNG's frames out of order
        if report.video_packets:  # else it has no beginning either, and an error says so
            log.warning("%s: the file is damaged (%s); the film ends there", name, error.strerror)
        report.broken_off = True
    except (OSError, av.FFmpegError) as error:  # some of FFmpeg's errors are no OSError
        raise InputError(f"{name}: reading stopped ({error})") from error


def _describe(
    video: av.VideoFrame, stream: VideoStream, pts: int, clock: FrameClock, orientation: Orientation
) -> Frame:
    signal = signal_of(video)
    interlaced = video.interlaced_frame and video.height >= 4
    return Frame(
        video=video,
        luma=luma_of(video, signal),
        signal=signal,
        pts=pts,
        duration=clock.duration(video),
        time_base=clock.time_base,
        fields=2 if interlaced else 1,
        bottom_first=bool(interlaced) and is_bottom_first(field_order_of(stream, video)),
        orientation=orientation,
        # the decoder's where the beginning of the file told nothing
        aspect=stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or Fraction(1),
    )


def _orientation(video: av.VideoFrame, stream: VideoStream, before: Orientation) -> Orientation:
    """How a frame becomes upright, that ``before`` it being known."""
    matrix = display_matrix(video)
    if matrix is not None:
        return Orientation.from_matrix(matrix)
    return before if stream.codec_context.name in _TURNED_BY_KEY_FRAMES else Orientation()
