"""Re-encoding of a sound track that a container cannot hold, in step with the picture.

Sound is placed by its timestamps: silence fills a gap, an overlap is cut, a slow drift is absorbed by
resampling. A damaged packet is skipped and counted; silence takes its place.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec import Codec, CodecContext
from av.container import OutputContainer
from av.filter import Graph
from av.packet import Packet
from av.stream import Stream

from vidcolor.errors import UsageError
from vidcolor.media.containers import describe, label
from vidcolor.media.layouts import USUAL, channels_of, layout_of, lists_channels
from vidcolor.media.soundchoice import find_encoder
from vidcolor.media.traits import traits_of

log = logging.getLogger(__name__)

# A longer jump in time (seconds) starts the resampler afresh: silence costs memory in proportion.
_LONGEST_FILL = 10
# Up to 1000 samples a second are stretched to absorb more than 5 ms of drift; more than 15 ms, less than
# any codec's packet lasts, is a gap.
_SYNC = "async=1000:min_comp=0.005:min_hard_comp=0.015"
AUDIBLE = Fraction(1, 25)
"""Seconds by which sound may be late before people notice."""
_BITS_PER_CHANNEL = 96_000
PCM_RATE = 48_000
"""The only sample rate (Hz) that some containers hold."""
_LOSSY = frozenset({"aac", "ac3", "eac3", "libmp3lame", "libopus", "mp2", "wmav1", "wmav2"})
_LAYERS = frozenset({"libmp3lame", "mp2"})
_LOW_RATES, _MOST_AT_LOW_RATES = 32_000, 160_000
"""Below this sample rate (Hz) layers II and III of MPEG audio end at this bit rate."""
_UNKNOWN = "fltp"
"""Sample format of sound of which nothing has been decoded when the film begins: it is damaged there."""


def _rate(codec: Codec, wanted: int, format_name: str) -> int:
    """Return the encoder's sample rate (Hz) nearest to ``wanted``, from above if there is one."""
    traits = traits_of(format_name)
    if traits.pcm_only:
        return PCM_RATE
    if codec.canonical_name == "opus":
        return 48_000  # every decoder of Opus gives 48 kHz
    rates = (codec.canonical_name == "mp3" and traits.mp3_rates) or codec.audio_rates
    if not rates or wanted in rates:
        return wanted
    return min((r for r in rates if r > wanted), default=max(rates))


def _sample_format(codec: Codec, wanted: str) -> str:
    """Return the encoder's sample format that loses least of ``wanted`` (planar or packed alike)."""
    names = [f.name for f in codec.audio_formats or ()]
    if not names or wanted in names:
        return wanted
    depth = ["u8", "s16", "s32", "s64", "flt", "dbl"]
    better = [n for n in names if depth.index(n.rstrip("p")) >= depth.index(wanted.rstrip("p"))]
    return min(better or names, key=lambda n: depth.index(n.rstrip("p")))


def _layouts(source: AudioCodecContext) -> list[str]:
    """Return channel layouts to offer an encoder, the source's own first."""
    count = channels_of(source)
    plain = [USUAL[n] for n in range(min(count or 2, 8), 0, -1)]
    own = layout_of(source).name
    return plain if own.endswith("channels") or lists_channels(own) or not count else [own, *plain]


def _configure(
    context: AudioCodecContext, codec: Codec, source: AudioCodecContext, rate: int, layout: str
) -> None:
    """Set sample rate, format, layout and bit rate of an encoder that is not yet open."""
    context.sample_rate = rate
    context.format = _sample_format(codec, source.format.name if source.format is not None else _UNKNOWN)
    context.layout = layout
    context.time_base = Fraction(1, context.sample_rate)
    if codec.name in _LOSSY:
        usual = channels_of(context) * _BITS_PER_CHANNEL
        slow = codec.name in _LAYERS and context.sample_rate < _LOW_RATES
        context.bit_rate = min(usual, _MOST_AT_LOW_RATES) if slow else usual
    if codec.experimental:
        context.options = {**context.options, "strict": "experimental"}


def _accepted_layout(codec: Codec, source: AudioCodecContext, rate: int) -> str:
    """Return the first layout with which the encoder opens. UsageError if it opens with none."""
    failure: Exception | None = None
    for layout in _layouts(source):
        trial = CodecContext.create(codec, "w")
        assert isinstance(trial, AudioCodecContext)
        try:
            _configure(trial, codec, source, rate, layout)
            trial.open()
        except (av.FFmpegError, ValueError) as exc:
            failure = exc
        else:
            return layout
    raise UsageError(
        f"encoder {codec.name!r} takes no sound of {source.sample_rate} Hz, {layout_of(source).name}"
    ) from failure


class AudioConverter:
    """Decodes the packets of one track and encodes them anew for ``stream``, a stream of the output.

    Packets come out on the source's clock (the encoder's priming before the first of them). With
    ``first`` (seconds) the track is padded or cut to begin there, for containers without timestamps; with
    ``end`` set as well, it is padded to that when it is flushed.

    Attributes:
        damaged: packets that could not be decoded.
        heard: whether anything could.
    """

    def __init__(
        self, source: AudioStream, output: OutputContainer, encoder: str, *, first: Fraction | None = None
    ) -> None:
        codec = find_encoder(encoder, output.format.name)
        rate = _rate(codec, source.codec_context.sample_rate, output.format.name)
        layout = _accepted_layout(codec, source.codec_context, rate)
        added = output.add_stream(encoder, rate=rate)
        assert isinstance(added, AudioStream)
        self.stream = added
        _configure(added.codec_context, codec, source.codec_context, rate, layout)
        added.time_base = Fraction(1, rate)
        before, after = channels_of(source.codec_context), channels_of(added.codec_context)
        if after < before:
            log.warning("%s: of its %d channels %d are made", describe(source), before, after)
        self.damaged = 0
        self.heard = False
        self._source, self._first, self._format = source, first, output.format.name
        self.end: Fraction | None = None
        self._graph: Graph | None = None
        self._input: tuple[str, str, int] | None = None
        self._tick = Fraction(1)  # the graph's time base
        self._next = Fraction(0)  # where the next decoded frame should begin, seconds

    def __str__(self) -> str:
        """The encoder, and what it changes beside the codec."""
        rate, name = self.stream.sample_rate, self.stream.codec_context.name
        return name if rate == self._source.sample_rate else f"{name}, at {rate} Hz,"

    def convert(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        """Give the encoded packets that one demuxed packet completes, as they are made."""
        try:
            frames = self._decoded(packet)
        except av.FFmpegError:
            self.damaged += 1
            return
        self.heard = self.heard or bool(frames)
        for frame in frames:
            yield from self._push(frame)

    def flush(self) -> Iterator[Packet[Stream]]:
        """Give what is still inside decoder, resampler and encoder, and say what was damaged."""
        try:
            for frame in self._decoded(None):
                self.heard = True
                yield from self._push(frame)
        except av.FFmpegError:
            self.damaged += 1
        if self.end is not None:
            yield from self._last(self.end)
        yield from self._drain()
        yield from self._encode(None)
        if self.silent:
            log.warning("%s is lost: none of its packets could be decoded", describe(self._source))
        elif self.damaged:
            log.warning("%s: %d damaged packets were left out", describe(self._source), self.damaged)

    @property
    def silent(self) -> bool:
        """Whether there were packets, and none of them could be decoded."""
        return self.damaged > 0 and not self.heard

    def _decoded(self, packet: Packet[Stream] | None) -> list[AudioFrame]:
        frames = self._source.decode(packet)
        for frame in frames:
            layout_of(frame)  # from now on it can be let go of without harm
        return frames

    def _push(self, frame: AudioFrame) -> Iterator[Packet[Stream]]:
        if not frame.samples or not frame.sample_rate:
            return
        time_base = frame.time_base or self._source.time_base or Fraction(1, frame.sample_rate)
        begin = self._next if frame.pts is None else frame.pts * time_base
        if self._first is not None and self._input is None and self._first - begin > AUDIBLE:
            log.warning(
                "%s: its first %.3f s are left out: %s begins with the picture",
                describe(self._source), float(self._first - begin), label(self._format),
            )  # fmt: skip
        kind = (frame.format.name, layout_of(frame).name, frame.sample_rate)
        if self._first is not None and begin - self._here > _LONGEST_FILL:
            yield from self._silence(kind, begin)
        if kind != self._input or begin - self._next > _LONGEST_FILL:
            yield from self._drain()
            self._graph, self._input, self._tick = self._build(frame, kind[1], time_base), kind, time_base
        frame.time_base, frame.pts = self._tick, round(begin / self._tick)  # the graph knows but one
        self._next = begin + Fraction(frame.samples, frame.sample_rate)
        assert self._graph is not None
        self._graph.push(frame)
        yield from self._pull()

    @property
    def _here(self) -> Fraction:
        """How far sound has come, seconds."""
        return self._next if self._input is not None else self._first or Fraction(0)

    def _silence(self, kind: tuple[str, str, int], until: Fraction) -> Iterator[Packet[Stream]]:
        """Give packets of silence from where sound has come to; in pieces, for it may be hours."""
        (name, layout, rate), at = kind, self._here
        if lists_channels(layout):  # PyAV would free it while the frame has it
            layout = USUAL.get(channels_of(self._source.codec_context), "stereo")
        while (samples := min(rate, round((until - at) * rate))) > 0:
            frame = AudioFrame(format=name, layout=layout, samples=samples)
            for plane in frame.planes:
                plane.update((b"\x80" if name.startswith("u8") else b"\0") * plane.buffer_size)
            frame.sample_rate = rate
            frame.time_base = self._source.time_base or Fraction(1, rate)
            frame.pts = round(at / frame.time_base)
            yield from self._push(frame)
            at += Fraction(samples, rate)

    def _last(self, end: Fraction) -> Iterator[Packet[Stream]]:
        """Give silence to the end; say so where there is more sound than that."""
        if self._here > end + AUDIBLE:
            log.warning("%s: what sounds after the picture's end is left out", describe(self._source))
        target = self.stream.codec_context
        own = (target.format.name, layout_of(target).name, target.sample_rate)
        return self._silence(self._input or own, end)

    def _build(self, frame: AudioFrame, layout: str, time_base: Fraction) -> Graph:
        """Return a filter graph from frames like ``frame`` to an unbroken stream of the encoder's kind."""
        target = self.stream.codec_context
        sync = f"{target.sample_rate}:{_SYNC}"
        if self._first is not None and self._input is None:
            sync += f":first_pts={round(self._first * frame.sample_rate)}"  # in samples of what comes in
        graph = Graph()
        nodes = [
            graph.add(
                "abuffer",
                f"time_base={time_base}:sample_rate={frame.sample_rate}"
                f":sample_fmt={frame.format.name}:channel_layout={layout}",
            ),
            graph.add("aresample", sync),
            graph.add(
                "aformat",
                f"sample_rates={target.sample_rate}:sample_fmts={target.format.name}"
                f":channel_layouts={layout_of(target).name}",
            ),
            graph.add("abuffersink"),
        ]
        graph.link_nodes(*nodes).configure()
        return graph

    def _drain(self) -> list[Packet[Stream]]:
        """Empty the resampler, which cannot be used again afterwards."""
        if self._graph is None:
            return []
        self._graph.push(None)
        packets = self._pull()
        self._graph = None
        return packets

    def _pull(self) -> list[Packet[Stream]]:
        packets: list[Packet[Stream]] = []
        assert self._graph is not None
        while True:
            try:
                frame = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return packets
            assert isinstance(frame, AudioFrame)
            packets += self._encode(frame)

    def _encode(self, frame: AudioFrame | None) -> list[Packet[Stream]]:
        if frame is None and not self.stream.codec_context.is_open:
            return []  # an encoder that was given nothing has nothing to flush
        packets = self.stream.encode(frame)
        # the last of FLAC is empty, with a new header beside it; nut would write it as sound
        return [packet for packet in packets if packet.size or self._format != "nut"]
