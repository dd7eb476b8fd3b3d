"""Stage 7, remux: everything that is in the source beside the picture, carried into the finished file.

The packets of other tracks are copied as they are where the container takes them; sound and text are
converted where it does not; what has no place in the container is named in one warning each.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import AttachmentStream, Discard, Disposition, Stream
from av.subtitles.stream import SubtitleStream
from av.video.stream import VideoStream

from vidcolor.errors import UsageError
from vidcolor.media import adts, containers, places
from vidcolor.media.audio import AUDIBLE, PCM_RATE, AudioConverter
from vidcolor.media.chapters import moved_timecode, place_chapters, place_timecode
from vidcolor.media.containers import codec_name, describe, label, live_metadata
from vidcolor.media.covers import CoverAttachment
from vidcolor.media.leftout import UNTOLD, say_left_out, unwanted
from vidcolor.media.packets import Clock, Hiding, PacketWriter, Route
from vidcolor.media.soundchoice import default_encoder, find_encoder, same_encoder
from vidcolor.media.subtitles import SubtitleConverter
from vidcolor.media.traits import traits_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RemuxSettings:
    """What happens to the tracks beside the picture; times are seconds.

    Attributes:
        audio: ``auto``, ``copy``, ``none`` or an encoder's name.
        offset: added to every timestamp of the source.
        start, end: the wanted span on the source's clock; what begins outside it is left out.
        first: when the picture begins on that clock.
        suffix: of the target's name.
    """

    audio: str = "auto"
    offset: Fraction = Fraction(0)
    start: Fraction | None = None
    end: Fraction | None = None
    first: Fraction = Fraction(0)
    suffix: str = ""


class _Sink(Protocol):
    def write(self, packet: Packet[Stream]) -> None: ...
    def finish(self) -> None: ...


class Remuxer:
    """Fills ``output`` with the coloured picture and with all that ``source`` has beside it.

    Call ``add_streams``, then ``write`` and ``write_video`` in any order, then ``finish``. av's errors pass.
    """

    def __init__(
        self, source: InputContainer, output: OutputContainer, coloured: VideoStream, settings: RemuxSettings
    ) -> None:
        self._source, self._output = source, output
        self._coloured, self._settings = coloured, settings
        self._format, self._traits = output.format.name, traits_of(output.format.name)
        self._label = label(self._format, settings.suffix)
        begin = settings.first if settings.start is not None else None
        self._clock = Clock(offset=settings.offset, start=settings.start, end=settings.end, begin=begin)
        self._sinks: dict[int, _Sink] = {}
        self._in_step = self._traits.picture_first  # sound has to be as long as the picture
        self._sounds: list[AudioConverter] = []
        self._writers: list[PacketWriter] = []
        self._begin = self._end = Fraction(0)
        self._started = self._cover_in_header = False

    def add_streams(self, add_video: Callable[[], VideoStream]) -> VideoStream:
        """Add an output stream for each of the source's; returns that of the picture, made by ``add_video``.

        Raises:
            UsageError: ``audio`` asks for what cannot be had.
        """
        if containers.holds_picture_only(self._output):
            sound = self._settings.audio != "none"
            say_left_out(self._source, self._coloured, self._label, self._clock, sound=sound)
            return add_video()
        if self._settings.audio not in ("auto", "copy", "none"):
            find_encoder(self._settings.audio, self._format)  # also where there is no sound to encode
        video: VideoStream | None = None
        for stream in sorted(self._source.streams, key=lambda s: self._in_step and s != self._coloured):
            if stream.index == self._coloured.index:
                video = add_video()
                self._dress(video, stream)
            elif isinstance(stream, AudioStream):
                self._add_audio(stream)
            elif isinstance(stream, SubtitleStream):
                self._add_subtitles(stream)
            elif isinstance(stream, VideoStream):
                self._add_video(stream)
            elif isinstance(stream, AttachmentStream):
                self._add_attachment(stream)
            else:
                self._add_data(stream)
        assert video is not None, "the coloured stream is not one of the source's"
        place_timecode(self._source, self._coloured, video, self._format, self._clock)
        self._add_metadata()
        return video

    def write(self, packet: Packet[Stream]) -> None:
        """Take one demuxed packet of any stream but the coloured one."""
        if packet.dts is None and packet.pts is None and not packet.size:
            return  # the demuxer's mark for the end of a stream
        if (sink := self._sinks.get(packet.stream_index)) is None:
            return
        sink.write(packet)
        self._started = self._started or not isinstance(sink, CoverAttachment)

    def write_video(self, packets: Iterable[Packet[Stream]]) -> None:
        """Write packets of the coloured picture as they come from its encoder."""
        for packet in packets:
            self._started = True
            self._begin = min(self._begin, (packet.dts or 0) * packet.time_base)
            end = (packet.pts or 0) + (packet.duration or 0)
            self._end = max(self._end, end * packet.time_base)
            self._output.mux_one(packet)

    def start(self) -> None:
        """Write the container's header."""
        self._output.start_encoding()

    def finish(self) -> None:
        """Write what converters still hold. The caller closes the container."""
        for converter in self._sounds if self._in_step else []:
            converter.end = self._end - self._settings.offset
        for sink in self._sinks.values():
            sink.finish()

    @property
    def earliest(self) -> Fraction:
        """Seconds before zero, as a negative number, at which the first packet of a track is due; else 0."""
        return min([self._begin, *(writer.begin for writer in self._writers)])

    @property
    def silent(self) -> int:
        """How many tracks of sound were lost whole."""
        return sum(converter.silent for converter in self._sounds)

    def _leave_out(self, stream: Stream, why: str = "") -> None:
        log.warning("%s is left out: %s", describe(stream), why or f"{self._label} cannot hold it")

    def _dress(self, target: Stream, source: Stream) -> None:
        """Give an output stream the metadata and disposition of its source."""
        metadata = containers.track_metadata(self._format, source, self._coloured)
        target.metadata.update(metadata)
        target.disposition = source.disposition
        lost = places.missing_keys(self._format, metadata, track=True)
        lost = [k for k in lost if metadata[k] not in ("", "und")]
        lost += places.missing_dispositions(self._format, source)
        if self._format == "asf" and "language" in lost:
            del target.metadata["language"]
        if lost:
            log.warning("%s: %s has no place for %s", describe(source), self._label, ", ".join(lost))

    def _writer(self, target: Stream, source: Stream) -> PacketWriter:
        writer = PacketWriter(
            self._output,
            target,
            describe(source),
            from_zero=self._traits.at_once and source.type == "audio",
            wait_for_key=self._settings.start is not None and source.type == "video",
        )
        self._writers.append(writer)
        return writer

    def _copy(self, stream: Stream) -> Stream:
        target = containers.add_copy(self._output, stream)
        convert = adts.converter(stream, target, self._output)
        self._sinks[stream.index] = Route(self._writer(target, stream), self._clock, convert, hides=Hiding())
        self._dress(target, stream)
        return target

    def _add_audio(self, stream: AudioStream) -> None:
        choice = self._settings.audio
        if choice == "none":
            return
        if stream.codec_context is None or not stream.codec_context.sample_rate:
            return self._leave_out(stream, UNTOLD)
        if containers.lacks_header(self._source, stream, self._format):
            return self._leave_out(stream, "it is damaged: its codec's header is missing")
        copied = choice == "copy" or (
            choice == "auto"
            and not (self._traits.late_pcm and codec_name(stream).startswith("pcm_"))
            and not self._needs_padding(stream)
        )
        suffix = self._settings.suffix
        if copied and not self._in_step and containers.can_copy(self._format, stream, suffix):
            self._copy(stream)
            return
        encoder = default_encoder(self._output, stream, suffix) if choice in ("auto", "copy") else choice
        if choice == "copy":
            mkv = ", or an .mkv file" if self._format != "matroska" else ""
            raise UsageError(
                f"{self._label} cannot hold {describe(stream)} as it is; choose --audio auto (re-encode to "
                f"{encoder}), --audio none, an encoder's name{mkv}"
            )
        if choice == "auto" and self._needs_padding(stream) and containers.can_copy(self._format, stream):
            encoder = same_encoder(stream, encoder)
        self._encode_audio(stream, encoder)
        if not self._in_step or encoder != stream.codec_context.name or stream.sample_rate != PCM_RATE:
            log.warning("%s is re-encoded with %s for %s", describe(stream), self._sounds[-1], self._label)

    def _needs_padding(self, stream: AudioStream) -> bool:
        """Tell whether a track begins later than the film in a container that cannot say so."""
        if not self._traits.at_once or stream.start_time is None or not stream.time_base:
            return False
        begin = max(stream.start_time * stream.time_base, self._settings.start or Fraction(0))
        return begin + self._settings.offset > AUDIBLE

    def _encode_audio(self, stream: AudioStream, encoder: str) -> None:
        first = -self._settings.offset if self._traits.at_once else None
        first = self._settings.first if self._in_step else first
        self._sounds.append(converter := AudioConverter(stream, self._output, encoder, first=first))
        self._convert(stream, converter)

    def _convert(self, stream: Stream, converter: AudioConverter | SubtitleConverter) -> None:
        writer = self._writer(converter.stream, stream)
        self._sinks[stream.index] = Route(writer, self._clock, converter.convert, converter.flush)
        self._dress(converter.stream, stream)

    def _add_subtitles(self, stream: SubtitleStream) -> None:
        if stream.codec_context is None:
            self._leave_out(stream, "PyAV's FFmpeg has no decoder for its codec (teletext, for one)")
        elif containers.can_copy(self._format, stream, self._settings.suffix):
            self._copy(stream)
        elif self._traits.text and stream.codec_context.codec.text_sub:  # others are pictures of text
            self._convert(stream, SubtitleConverter(stream, self._output, self._traits.text))
        else:
            self._leave_out(stream)

    def _add_video(self, stream: VideoStream) -> None:
        """Copy a second picture: a cover, or another view."""
        cover = bool(stream.disposition & Disposition.attached_pic)
        if why := unwanted(stream, self._coloured):
            self._leave_out(stream, why)
        elif cover and self._traits.attachments:
            self._sinks[stream.index] = CoverAttachment(self._output, stream, lambda: self._started)
        elif (
            stream.codec_context is None
            or (cover and not containers.holds_covers(self._output))
            or not containers.can_copy(self._format, stream, self._settings.suffix)
        ):
            known = stream.codec_context is None or stream.width
            self._leave_out(stream, "" if cover or known else UNTOLD)
        else:
            target = self._copy(stream)
            if cover and self._traits.covers == "track":
                target.disposition = Disposition(0)  # disabled
                log.warning("%s becomes a picture track: mov has no place for a cover", describe(stream))
            elif not cover:
                log.warning("%s is copied as it is: one picture is coloured", describe(stream))
            self._cover_in_header |= cover and self._traits.covers == "header"

    def _add_attachment(self, stream: AttachmentStream) -> None:
        if not self._traits.attachments:
            log.warning("attachment %s is left out: %s holds none", stream.name or "", self._label)
            return
        name = stream.name or f"attachment-{stream.index}"
        kind = stream.mimetype or "application/octet-stream"
        self._output.add_attachment(name, kind, stream.data).metadata.update(live_metadata(stream.metadata))

    def _add_data(self, stream: Stream) -> None:
        if stream.discard == Discard.all and self._source.chapters():
            return  # the text track in which mov and mp4 keep chapter titles: chapters are set below
        if "timecode" in stream.metadata:
            return  # see place_timecode
        known = stream.type == "data" and containers.names_data(self._format, stream, self._source)
        if known and containers.can_copy(self._format, stream, self._settings.suffix):
            self._copy(stream)
        else:
            self._leave_out(stream)

    def _add_metadata(self) -> None:
        metadata = moved_timecode(live_metadata(self._source.metadata), self._coloured, self._clock)
        self._output.metadata.update(metadata)
        lost = places.missing_keys(self._format, metadata, track=False)
        if lost and self._traits.any_key and not self._cover_in_header:  # but no cover then
            options = self._output.container_options
            flags = options.get("movflags", self._output.options.pop("movflags", ""))
            options["movflags"] = f"{flags}+use_metadata_tags" if flags else "use_metadata_tags"
        elif lost:
            log.warning("%s has no place for the metadata %s", self._label, ", ".join(lost))
        place_chapters(self._source, self._output, self._clock, self._label)
