"""Conversion of text subtitles between the forms that containers hold."""

from __future__ import annotations

import logging
from fractions import Fraction

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream

from vidcolor.media.containers import MOV_FAMILY, codec_name, describe, label

log = logging.getLogger(__name__)

_STYLED = frozenset({"ass", "ssa"})


def target_codec(source: SubtitleStream, format_name: str) -> str | None:
    """Return the text codec to convert a track to, or None: pictures of text, or a container without any."""
    if not source.codec_context.codec.text_sub:
        return None
    if format_name in MOV_FAMILY:
        return "mov_text"
    return {"matroska": "subrip", "webm": "webvtt"}.get(format_name)


class SubtitleConverter:
    """Rewrites each packet of a text track for ``stream``, a stream of the output."""

    def __init__(self, source: SubtitleStream, output: OutputContainer, codec: str) -> None:
        decoder = source.codec_context
        decoder.open(strict=False)
        added = output.add_stream(codec)
        assert isinstance(added, SubtitleStream)
        self.stream = added
        added.codec_context.subtitle_header = decoder.subtitle_header
        time_base = Fraction(1, 1000)
        added.codec_context.time_base = time_base
        added.time_base = time_base
        self.damaged = 0
        self._source = source
        styled = "; its styles are simplified" if codec_name(source) in _STYLED else ""
        log.warning(
            "%s becomes %s, which %s can hold%s", describe(source), codec, label(output.format.name), styled
        )

    def convert(self, packet: Packet[Stream]) -> list[Packet[Stream]]:
        """Return the same words at the same time in the output's form; nothing for an empty line."""
        try:
            words = self._source.codec_context.decode2(packet)
            if words is None or not len(words):
                return []
            encoded = self.stream.codec_context.encode_subtitle(words)
        except (av.FFmpegError, ValueError):
            self.damaged += 1
            return []
        if not encoded.size:
            return []
        fresh: Packet[Stream] = Packet(bytes(encoded))
        fresh.time_base = packet.time_base
        fresh.pts = packet.pts if packet.pts is not None else packet.dts
        fresh.dts = fresh.pts
        fresh.duration = packet.duration or words.end_display_time / packet.time_base // 1000
        fresh.is_keyframe = True
        return [fresh]

    def flush(self) -> list[Packet[Stream]]:
        """Say what was damaged; nothing is held back."""
        if self.damaged:
            log.warning("%s: %d damaged packets were left out", describe(self._source), self.damaged)
        return []
