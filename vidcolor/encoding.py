"""How the picture of a film is encoded: settled by its first frame, for the whole of it and for any part."""

from __future__ import annotations

import io
import logging
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from vidcolor import film_times
from vidcolor.errors import UsageError
from vidcolor.film_limits import lines_of
from vidcolor.frames import Codes, Floats, Frame, Orientation, Picture
from vidcolor.media.encoders import EncoderPlan, PictureFormat, plan_encoder
from vidcolor.media.fieldorder import field_order_of
from vidcolor.media.hdr import hdr_settings
from vidcolor.media.pixels import depth_of, subsampling_of
from vidcolor.media.processors import lookahead_of, processors, settings_of
from vidcolor.media.quality import encoder_settings, encoder_time_base
from vidcolor.media.sidedata import display_matrix, has_exif
from vidcolor.media.streams import sane_rate
from vidcolor.media.traits import traits_of
from vidcolor.memory import give_back_freed_memory
from vidcolor.options import Options
from vidcolor.reading import Reading
from vidcolor.stages.compare import Comparison
from vidcolor.stages.recolor import Recolorer
from vidcolor.stages.reencode import Reencoder, add_video_stream, is_interlaced, ticks_of
from vidcolor.target import Target
from vidcolor.watching import Watch

log = logging.getLogger(__name__)


class Encoding:
    """What the encoders of one film have in common, so that its parts fit together; it does not change.

    What the target cannot express is warned of.

    Args:
        reading: of the source.
        first: its first frame that is wanted.
        target: where the film goes.
        processor_count: encode as a machine of so many processors does; None: as this one does.

    Attributes:
        first, target, options: as given.
        coloured: number of the source's stream that is coloured.
        plan: encoder and pixel format.
        tick: time base of the packets, in seconds.
        offset: seconds added to all times of the source.
        shift: the same for the picture, in its time base; where frames are numbered, it falls on a number.
        field_order: which field comes first (AVFieldOrder).
        comparison: what shows before and after, if that is asked for.

    Raises:
        UsageError: the target cannot be what was asked for.
    """

    def __init__(
        self,
        reading: Reading,
        first: Frame,
        target: Target,
        options: Options,
        processor_count: int | None = None,
    ) -> None:
        source, stream = reading.container, reading.stream
        self.first, self.target, self.options, self.coloured = first, target, options, stream.index
        self.field_order = field_order_of(stream, first.video, whole=options.deinterlace)
        self._interlaced = is_interlaced(first, self.field_order)
        shown = Comparison(options.compare, "444").outline(first) if options.compare else first
        self.plan = self._planned(shown)
        codec, muxer, rate = self.plan.codec, target.muxer, sane_rate(stream)
        lines = lines_of(reading, first, target, options, self.plan)
        for line in (*self.plan.notes, *lines):
            log.warning("%s", line)
        settings = encoder_settings(
            codec, muxer=muxer, crf=options.crf, preset=options.preset, extra=options.encoder_options
        )
        height = shown.luma.shape[0]
        ahead = {} if options.preset else lookahead_of(codec, processor_count or processors(), height)
        for key, value in (*hdr_settings(first.video, codec).items(), *ahead.items()):
            settings[key] = ":".join(filter(None, (value, settings.get(key))))
        if processor_count not in (None, processors()):
            settings = settings_of(codec, processor_count, height, settings)
        self._settings, self._rate = settings, rate
        number = film_times.first_number(source, target)
        if number is None:
            steady = stream.guessed_rate == rate
            self.tick = encoder_time_base(muxer, codec, first.time_base, rate, steady=steady)
            self.offset = film_times.offset_of(source, first, options, muxer, self.tick)
        else:  # pictures keep their numbers
            self.tick = 1 / rate
            self.offset = number * self.tick
        self.shift = round((self.offset + self._aside(first)) / first.time_base)
        self.comparison = Comparison(options.compare, self.plan.subsampling) if options.compare else None
        self._recolor = Recolorer(self.plan.subsampling, options.saturation)

    def _aside(self, first: Frame) -> Fraction:
        """Seconds by which the picture moves beside its sound, the fewest that have it fall on a number.

        Else frames half-way between two numbers go up and down in turn, and one stands twice as long.
        """
        at = (first.seconds + self.offset) / self.tick
        return (round(at) - at) * self.tick if traits_of(self.target.muxer).numbered else Fraction(0)

    def _planned(self, shown: Frame) -> EncoderPlan:
        first, target, options = self.first, self.target, self.options
        picture = PictureFormat(
            depth=depth_of(first.video.format),
            subsampling=subsampling_of(first.video.format),
            size=(shown.luma.shape[1], shown.luma.shape[0]),
            interlaced=self._interlaced,
            turned=first.orientation != Orientation(),
            exif=has_exif(first.video),
        )
        named = Path(target.name).suffix or not options.format
        name = target.name if named else f"{target.name}.{options.format}"
        with av.open(io.BytesIO(), "w", format=target.muxer) as scratch:
            return plan_encoder(
                scratch, target.muxer, name, picture, codec=options.codec, pix_fmt=options.pix_fmt
            )

    def ticks(self, pts: int, time_base: Fraction, last: int | None) -> int:
        """The pts in ticks of a frame that has ``pts`` in the source and follows one of ``last`` ticks."""
        return ticks_of(pts + self.shift, time_base, self.tick, last)

    def colour(self, frame: Frame, pictures: list[Picture], abs_: list[Floats]) -> tuple[Codes, Codes]:
        """Chroma planes of a frame, by the matrix of the first: a file is marked with one. In any thread."""
        frame.signal = replace(frame.signal, matrix=self.first.signal.matrix)
        return self._recolor(frame, pictures, abs_)

    def watch(self) -> Watch:
        """What looks at the frames."""
        codec, interlaced = self.plan.codec, self._interlaced
        return Watch(self.first, self.target.muxer, self._rate, interlaced=interlaced, codec=codec)

    def add_stream(self, output: OutputContainer) -> VideoStream:
        """Add the coloured picture to ``output``, its encoder opened.

        Raises:
            UsageError: the encoder refuses what was asked for.
        """
        stream = add_video_stream(
            output,
            self.comparison.outline(self.first) if self.comparison else self.first,
            self.plan,
            self._settings,
            rate=self._rate,
            time_base=self.tick,
            field_order=self.field_order,
        )
        left = stream.codec_context.options.keys()  # what the encoder did not take
        if "preset" in left and self.options.preset is not None:
            raise UsageError(f"--preset: {self.plan.codec} has none")
        unknown = left & self.options.encoder_options.keys()
        if unknown:
            raise UsageError(f"--encoder-option {min(unknown)}: {self.plan.codec} has no such option")
        matrix = display_matrix(self.first.video) or self.first.orientation.matrix
        if matrix is not None and not self.plan.upright:
            stream.set_display_matrix(matrix)
        return stream


class Encoder(Reencoder):
    """Encodes frames one after the other: those of a whole film, or of a part of it.

    Args:
        stream: made by ``encoding``.
        watch: looks at the frames.
        last: pts in ticks of the frame before the first, if there is one.
    """

    def __init__(
        self, encoding: Encoding, stream: VideoStream, watch: Watch, last: int | None = None
    ) -> None:
        super().__init__(stream, encoding.plan, encoding.shift, last, encoding.field_order)
        self._watch, self._comparison = watch, encoding.comparison

    def encode(self, frame: Frame, cb: Codes, cr: Codes) -> list[Packet[Stream]]:
        """Encode one frame, as it is to be shown; returns the packets that are ready."""
        self._watch(frame, self.late(frame))
        if self._comparison is not None:
            frame, cb, cr = self._comparison(frame, cb, cr)
        return super().encode(frame, cb, cr)


class SegmentEncoder(Encoder):
    """Encodes a segment of a film by an encoder of its own, in a container that is not written."""

    def __init__(self, encoding: Encoding, watch: Watch, last: int | None = None) -> None:
        give_back_freed_memory()  # that of the segment before
        self._unwritten = av.open(io.BytesIO(), "w", format=encoding.target.muxer)
        super().__init__(encoding, encoding.add_stream(self._unwritten), watch, last)

    @property
    def extradata(self) -> bytes:
        """The encoder's header."""
        return bytes(self._stream.codec_context.extradata or b"")

    def close(self) -> None:
        """Close the encoder; harmless a second time."""
        self._unwritten.close()
