"""Conversion of text subtitles between the forms that containers hold."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from fractions import Fraction

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import AssSubtitle, SubtitleSet

from vidcolor.media.containers import codec_name, describe, label

log = logging.getLogger(__name__)

_STYLED = frozenset({"ass", "ssa"})
_ONE_AT_A_TIME = "mov_text"
_LATE = frozenset({"eia_608"})
"""Captions whose decoder gives each out when the next comes, and says itself when it was to be shown."""
_FIELDS, _STYLE = 8, 2
"""Of an ASS dialogue: how many come before its words, and which is the style's name."""
_TICKS = 10_000
"""A second, of texts in mov and mp4: its muxer moves those that touch by one, and allows 2³¹ without any."""


@dataclass(frozen=True)
class Piece:
    """Texts that are shown together; times in ticks of the source, a duration of 0 lasts until the next."""

    begin: int
    duration: int
    texts: tuple[bytes, ...]


class Overlaps:
    """Cuts texts that overlap into pieces one after the other, each with all that is shown then.

    For containers in which a text ends where the next begins. The texts are ASS dialogues; of the second of
    two in a piece there are its words, on a line of their own and in its style.

    Attributes:
        moved: texts that began before one that was there already.
    """

    def __init__(self) -> None:
        self._shown: list[tuple[float, int, bytes]] = []  # end and beginning of each, in the order they came
        self._at: float = -math.inf  # a source's clock may begin before zero
        self.moved = 0

    def add(self, begin: int, duration: int, texts: list[bytes]) -> list[Piece]:
        """Take what is shown from ``begin`` on; returns what is certain by then."""
        self.moved += begin < self._at
        begin = int(max(begin, self._at))
        pieces = self._until(begin)
        # those without an end stay until another begins
        self._shown = [one for one in self._shown if one[0] < math.inf or one[1] == begin]
        self._shown += [(begin + duration if duration else math.inf, begin, text) for text in texts]
        self._at = begin
        return pieces

    def finish(self) -> list[Piece]:
        """What is left."""
        return self._until(math.inf)

    def _until(self, time: float) -> list[Piece]:
        pieces = []
        while self._shown and self._at < time:
            end = min(time, *(end for end, _, _ in self._shown))
            duration = int(end - self._at) if end < math.inf else 0
            first, *others = (text for _, _, text in self._shown)
            lines = dict.fromkeys(map(_line, others))  # once each
            lines.pop(_line(first), None)
            pieces.append(Piece(int(self._at), duration, (first, *lines)))
            if end == math.inf:
                self._shown.clear()
                break
            self._at = int(end)
            self._shown = [one for one in self._shown if one[0] > end]
        return pieces


def _line(dialogue: bytes) -> bytes:
    """A dialogue's words as a further line of another, in its own style."""
    fields = dialogue.split(b",", _FIELDS)
    style = fields[_STYLE] if len(fields) > _STYLE else b""
    return b"{\\r" + style + b"}\\N" + fields[-1]


class SubtitleConverter:
    """Rewrites each packet of a text track for ``stream``, a stream of the output."""

    def __init__(self, source: SubtitleStream, output: OutputContainer, codec: str) -> None:
        decoder = source.codec_context
        decoder.open(strict=False)
        added = output.add_stream(codec)
        assert isinstance(added, SubtitleStream)
        self.stream = added
        added.codec_context.subtitle_header = decoder.subtitle_header
        time_base = Fraction(1, _TICKS if codec == _ONE_AT_A_TIME else 1000)
        added.codec_context.time_base = time_base
        added.time_base = time_base
        self.damaged = 0
        self._source = source
        self._overlaps = Overlaps() if codec == _ONE_AT_A_TIME else None
        self._tick = Fraction(1, 1000)
        self._late, self._lasts = codec_name(source) in _LATE, 0
        styled = "; its styles are simplified" if codec_name(source) in _STYLED else ""
        log.warning(
            "%s becomes %s, which %s can hold%s", describe(source), codec, label(output.format.name), styled
        )

    def convert(self, packet: Packet[Stream]) -> list[Packet[Stream]]:
        """Return words at their time in the output's form; nothing for an empty line.

        For a container that shows one text at a time they are held back until the next come.
        """
        words = self._decoded(packet)
        self._lasts = packet.duration or 0
        if words is None:
            return []
        begin = packet.pts if packet.pts is not None else packet.dts
        duration = packet.duration or int(words.end_display_time / packet.time_base // 1000)
        self._tick = packet.time_base
        if self._late and words.pts is not None:
            begin = round(Fraction(words.pts, av.time_base) / self._tick)
            duration = round(Fraction(words.end_display_time, 1000) / self._tick)
        return self._said(words, begin, duration)

    def _decoded(self, packet: Packet[Stream]) -> SubtitleSet | None:
        try:
            words = self._source.codec_context.decode2(packet)
        except (av.FFmpegError, ValueError):
            self.damaged += 1
            return None
        return words if words is not None and len(words) else None

    def _said(self, words: SubtitleSet, begin: int | None, duration: int) -> list[Packet[Stream]]:
        if self._overlaps is None or begin is None:
            return self._encode(words, begin, duration)
        texts = [rect.ass for rect in words.rects if isinstance(rect, AssSubtitle)]
        return self._shown(self._overlaps.add(begin, duration, texts))

    def flush(self) -> list[Packet[Stream]]:
        """Return what was held back, and say what was damaged."""
        held: list[Packet[Stream]] = []
        if self._late and (words := self._decoded(Packet(0))) is not None and words.pts is not None:
            held += self._said(words, round(Fraction(words.pts, av.time_base) / self._tick), self._lasts)
        held += [] if self._overlaps is None else self._shown(self._overlaps.finish())
        if self._overlaps is not None and self._overlaps.moved:
            count = self._overlaps.moved
            log.warning("%s: %d texts ran backwards and were moved", describe(self._source), count)
        if self.damaged:
            log.warning("%s: %d damaged packets were left out", describe(self._source), self.damaged)
        return held

    def _shown(self, pieces: list[Piece]) -> list[Packet[Stream]]:
        packets = []
        for piece in pieces:
            words = SubtitleSet.create(b"".join(piece.texts), 0, 0)
            packets += self._encode(words, piece.begin, piece.duration)
        return packets

    def _encode(self, words: SubtitleSet, begin: int | None, duration: int) -> list[Packet[Stream]]:
        try:
            encoded = self.stream.codec_context.encode_subtitle(words)
        except (av.FFmpegError, ValueError):
            self.damaged += 1
            return []
        if not encoded.size:
            return []
        fresh: Packet[Stream] = Packet(bytes(encoded))
        fresh.time_base = self._tick
        fresh.pts = fresh.dts = begin
        fresh.duration = duration
        fresh.is_keyframe = True
        return [fresh]
