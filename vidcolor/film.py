"""The finished film as the pipeline's writer: recolor, reencode and remux on one output container."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from vidcolor import film_limits
from vidcolor.errors import UsageError
from vidcolor.frames import Codes, Floats, Frame, Orientation, Picture
from vidcolor.media.encoders import EncoderPlan, plan_encoder
from vidcolor.media.failures import mapped_errors
from vidcolor.media.fieldorder import field_order_of
from vidcolor.media.hdr import hdr_settings
from vidcolor.media.headers import make_room, mend_file, with_aspect
from vidcolor.media.opening import sane_rate
from vidcolor.media.pixels import depth_of, display_matrix, has_exif, subsampling_of
from vidcolor.media.processors import processors, settings_of
from vidcolor.media.quality import encoder_settings, encoder_time_base
from vidcolor.options import Options
from vidcolor.sink import Sink
from vidcolor.stages.compare import Comparison
from vidcolor.stages.recolor import Recolorer
from vidcolor.stages.reencode import Reencoder, add_video_stream, is_interlaced
from vidcolor.stages.remux import Remuxer, RemuxSettings
from vidcolor.target import holds_one
from vidcolor.watching import Pace, Watch

log = logging.getLogger(__name__)

_ONE_PICTURE = "holds one picture, and the film has more; out_%05d.png takes them all, --preview shows a few"


class Film:
    """Writes one film to an address that FFmpeg's muxers can open.

    Args:
        source: the open source and the stream of it that is coloured.
        address: FFmpeg's name of the output, ``file:…`` or ``pipe:N``.
        target: the user's name of it, for its suffix and for messages.
        muxer: FFmpeg's name of the container.
        seekable: whether what is written can be gone back to; pipes and devices cannot.
        place: an open file to write to, instead of the address.
        label: goes into the metadata as the program's name.
        processors: encode as a machine of so many does; None: as this one does.

    Attributes:
        colour: makes the chroma of a frame, in any thread; there once the film has begun.
        watch: what looks at them; there once the film has begun.
        silent: tracks of sound that were lost whole.
    """

    def __init__(
        self,
        source: InputContainer,
        stream: VideoStream,
        address: str,
        target: str,
        muxer: str,
        options: Options,
        *,
        seekable: bool = True,
        place: Any = None,
        label: str | None = None,
        processors: int | None = None,
    ) -> None:
        self._place, self._label, self._processors = place, label, processors
        self._source, self._stream = source, stream
        self._number = film_limits.first_number(source, target, muxer)
        self._address, self._target, self._options = address, target, options
        self.muxer, self._seekable = muxer, seekable
        self.codec = ""
        self._output: OutputContainer | None = None
        self._comparison: Comparison | None = None
        self._offset = self.silent = 0
        self._sink: Sink | None = None

    def begin(self, first: Frame) -> None:
        """Open the output and add every track, now that the first frame is known."""
        options = self._options
        with mapped_errors(self._target):
            self._output = self._opened(first)
        video, self._first, self._rate = first.video, first, sane_rate(self._stream)
        interlaced = is_interlaced(first, self._field_order())
        shown = Comparison(options.compare, "444").outline(first) if options.compare else first
        plan = plan_encoder(
            self._output,
            self.muxer,
            self._target,
            codec=options.codec,
            pix_fmt=options.pix_fmt,
            depth=depth_of(video.format),
            subsampling=subsampling_of(video.format),
            size=(shown.luma.shape[1], shown.luma.shape[0]),
            interlaced=interlaced,
            turned=first.orientation != Orientation(),
            exif=has_exif(video),
        )
        self.watch = Watch(first, self.muxer, self._rate, interlaced=interlaced, codec=plan.codec)
        limits = film_limits.inexpressible(first, self.muxer, plan, seekable=self._seekable)
        limits += film_limits.loses_detail(self._stream, options, self.muxer, plan.codec)
        limits += film_limits.oddities(self._source, self._stream, first, options, self.muxer, plan.codec)
        for note in (*plan.notes, *limits):
            log.warning("%s", note)
        settings = encoder_settings(
            plan.codec,
            muxer=self.muxer,
            crf=options.crf,
            preset=options.preset,
            extra=options.encoder_options,
        )
        for key, value in hdr_settings(video, plan.codec).items():
            settings[key] = ":".join(filter(None, (value, settings.get(key))))
        if self._processors not in (None, processors()):
            settings = settings_of(plan.codec, self._processors, shown.luma.shape[0], settings)
        steady = self._stream.guessed_rate == self._rate
        self._base = encoder_time_base(self.muxer, plan.codec, first.time_base, self._rate, steady=steady)
        if self._number is None:
            offset = film_limits.offset_of(self._source, first, options, self.muxer, self._base)
        else:  # pictures keep their numbers
            self._base = 1 / self._rate
            offset = self._number * self._base
        self._offset = round(offset / first.time_base)
        self._remuxer = Remuxer(self._source, self._output, self._stream, self._remux_settings(offset))
        self._recolor = Recolorer(plan.subsampling, options.saturation)
        if options.compare is not None:
            self._comparison = Comparison(options.compare, plan.subsampling)
        self.codec = plan.codec
        with mapped_errors(self._target):
            output, self._encoding = self._output, (first, plan, settings)
            self._coloured = self._remuxer.add_streams(lambda: self._add_video(output, *self._encoding))
            make_room(self.muxer, self._coloured, first.aspect)
        if self._label is not None:
            film_limits.label_film(self._output, self._label)
        self._reencoder = Reencoder(self._coloured, plan, field_order=self._field_order())

    def _opened(self, first: Frame) -> OutputContainer:
        if not self._seekable:
            self._sink = Sink(self._address, lambda data: with_aspect(self.muxer, data, first.aspect))
        options = film_limits.container_options(
            self.muxer, self._target, first, self._source, seekable=self._seekable, number=self._number
        )
        place: Any = self._place or self._sink or self._address
        return av.open(place, "w", format=self.muxer, options=options)

    def _add_video(
        self, output: OutputContainer, first: Frame, plan: EncoderPlan, settings: dict[str, str]
    ) -> VideoStream:
        stream = add_video_stream(
            output,
            self._comparison.outline(first) if self._comparison else first,
            plan,
            settings,
            rate=self._rate,
            time_base=self._base,
            field_order=self._field_order(),
        )
        left = stream.codec_context.options.keys()  # what the encoder did not take
        if "preset" in left and self._options.preset is not None:
            raise UsageError(f"--preset: {plan.codec} has none")
        unknown = left & self._options.encoder_options.keys()
        if unknown:
            raise UsageError(f"--encoder-option {min(unknown)}: {plan.codec} has no such option")
        matrix = display_matrix(first.video) or first.orientation.matrix
        if matrix is not None and not plan.upright:
            stream.set_display_matrix(matrix)
        return stream

    def _field_order(self) -> int:
        return field_order_of(self._stream, self._first.video, whole=self._options.deinterlace)

    def _remux_settings(self, offset: Fraction) -> RemuxSettings:
        options = self._options
        return RemuxSettings(
            audio=options.audio,
            offset=offset,
            start=options.start,
            end=options.end,
            first=self._first.seconds,
            suffix=os.path.splitext(self._target)[1],
        )

    def write_packet(self, packet: Packet[Stream]) -> None:
        """Pass a packet of another track on."""
        with mapped_errors(self._target):
            self._remuxer.write(packet)

    def write_frame(self, frame: Frame, cb: Codes, cr: Codes) -> None:
        """Encode and mux one frame."""
        with mapped_errors(self._target):
            self._remuxer.write_video(self.encode(frame, cb, cr))

    def encode(self, frame: Frame, cb: Codes, cr: Codes) -> list[Packet[Stream]]:
        """Encode one frame; returns the packets that are ready."""
        if self.watch.written and holds_one(self._target, self.muxer):
            raise UsageError(f"{self._target}: {_ONE_PICTURE}")
        self.watch(frame, self._reencoder.late(frame.pts + self._offset, frame.time_base))
        if self._comparison is not None:
            frame, cb, cr = self._comparison(frame, cb, cr)
        return self._reencoder.encode(frame, cb, cr, self._offset)

    def flush(self) -> list[Packet[Stream]]:
        """The packets that the encoder still holds."""
        return self._reencoder.flush()

    def renew(self, output: OutputContainer) -> None:
        """Go on with another encoder, made for ``output``; its packets are for :meth:`write_coded`."""
        last, plan = self._reencoder.last, self._encoding[1]
        del self._reencoder  # the memory of its encoder is free before that of the next is taken
        self._reencoder = Reencoder(self._add_video(output, *self._encoding), plan, last, self._field_order())

    def colour(self, frame: Frame, pictures: list[Picture], abs_: list[Floats]) -> tuple[Codes, Codes]:
        """Chroma planes of a frame, by the matrix of the first: a file is marked with one."""
        frame.signal = replace(frame.signal, matrix=self._first.signal.matrix)
        return self._recolor(frame, pictures, abs_)

    @property
    def last_ticks(self) -> int:
        """Pts of the last frame that was encoded, in ticks."""
        return self._reencoder.last or 0

    def go_on(self, frames: int, last: int | None, pace: Pace | None = None) -> None:
        """Make ready for what comes after so many frames, the last of them with this pts in ticks."""
        self.watch.written = frames
        self.watch.pace = pace or self.watch.pace
        self._reencoder.last = last

    def ticks(self, pts: int, time_base: Fraction, last: int | None) -> int:
        """Of a frame, known by its pts in the source, that follows ``last``: its pts in ticks."""
        return self._reencoder.ticks(pts + self._offset, time_base, last)

    @property
    def offset(self) -> Fraction:
        """Seconds added to all times of the source."""
        return self._offset * self._first.time_base

    @property
    def tick(self) -> Fraction:
        """Time base of the packets, in seconds."""
        return self._reencoder.tick

    @property
    def extradata(self) -> bytes:
        """The encoder's header."""
        return bytes(self._coloured.codec_context.extradata or b"")

    def write_coded(self, packet: Packet[Stream]) -> None:
        """Mux a packet of the coloured picture that was encoded before."""
        with mapped_errors(self._target):
            packet.stream = self._coloured
            self._remuxer.write_video([packet])

    def end(self) -> None:
        """Finish the other tracks and close the container; the picture is complete."""
        with mapped_errors(self._target):
            self._remuxer.finish()
            film_limits.say_delay(self.muxer, self._remuxer.earliest)
            self.silent = self._remuxer.silent
            self.close()
            if self._seekable and self._place is None:
                mend_file(self.muxer, self._address.removeprefix("file:"), self._first.aspect)

    def finish(self) -> None:
        """Flush the encoders and close the container."""
        with mapped_errors(self._target):
            self._remuxer.write_video(self.flush())
        self.end()

    def rehearse(self) -> None:
        """Write the header: what the container refuses is then known before the work."""
        with mapped_errors(self._target):
            self._remuxer.start()

    def abandon(self) -> None:
        """Close after a failure: what the reader of a pipe has got so far stays playable."""
        try:
            self.close()
        except (OSError, av.FFmpegError) as error:
            if not isinstance(error, FileNotFoundError):  # which it is where nothing was begun
                log.debug("closing the unfinished output: %s", error)

    def close(self) -> None:
        """Close the output if it is open; harmless a second time."""
        output, self._output = self._output, None
        if output is not None:
            output.close()
        if self._sink is not None:
            self._sink.close()
