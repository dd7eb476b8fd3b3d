"""The finished film as it is written: the coloured picture and all else of its source on one output."""

from __future__ import annotations

import io
import logging
import math
import os
from contextlib import closing, suppress
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from vidcolor.encoding import Encoding
from vidcolor.film_times import first_number
from vidcolor.frames import Frame
from vidcolor.media.containers import label
from vidcolor.media.failures import mapped_errors
from vidcolor.media.headers import make_room, mend_file, with_aspect
from vidcolor.media.traits import traits_of
from vidcolor.sink import Sink
from vidcolor.stages.remux import Remuxer, RemuxSettings
from vidcolor.target import Target, holds_one, is_sequence, pictures_of

log = logging.getLogger(__name__)

_FINEST_TIMESCALE = 10_000_000
_UNSEEN = Fraction(1, 2000)
"""Seconds by which a move would be said to be none."""
_FRAGMENTS = "frag_keyframe+empty_moov+delay_moov+default_base_moof"


class Film:
    """Muxes one film, open from the beginning.

    Args:
        source: the open source.
        encoding: of the picture; says where it goes, too.
        rehearsed: write into memory, for :func:`rehearse`.
        mark: goes into the metadata, see :mod:`vidcolor.marks`.

    Attributes:
        encoding: as given.
        picture: the output's stream of the coloured picture.

    Raises:
        VidcolorError: the target cannot be opened, or be what was asked for.
    """

    def __init__(
        self,
        source: InputContainer,
        encoding: Encoding,
        *,
        rehearsed: bool = False,
        mark: str | None = None,
    ) -> None:
        first, target, muxer = encoding.first, encoding.target, encoding.target.muxer
        self.encoding, self._target = encoding, target
        options = _container_options(target, first, source)
        self._sink: Sink | None = None
        with mapped_errors(target.name):
            if not target.seekable and not rehearsed:
                self._sink = Sink(target.address, lambda data: with_aspect(muxer, data, first.aspect))
            file = io.BytesIO() if rehearsed else self._sink or target.address
            # FFmpeg's image2 opens files by their names alone: without one it makes a file called <none>
            form = "image2pipe" if self._sink is not None and muxer == "image2" else muxer
            self._output = av.open(file, "w", format=form, options=options)
        try:
            settings = RemuxSettings(
                audio=encoding.options.audio,
                offset=encoding.offset,
                start=encoding.options.start,
                end=encoding.options.end,
                first=first.seconds,
                suffix=os.path.splitext(target.name)[1],
            )
            coloured = source.streams[encoding.coloured]
            assert isinstance(coloured, VideoStream)
            self._remuxer = Remuxer(source, self._output, coloured, settings)
            with mapped_errors(target.name):
                self.picture = self._remuxer.add_streams(lambda: encoding.add_stream(self._output))
                make_room(muxer, self.picture, first.aspect)
            if mark is not None:
                _mark_film(self._output, mark)
        except BaseException:
            self.close()
            raise

    @property
    def silent(self) -> int:
        """Tracks of sound that were lost whole."""
        return self._remuxer.silent

    def write_packet(self, packet: Packet[Stream]) -> None:
        """Pass a packet of another track on."""
        with mapped_errors(self._target.name):
            self._remuxer.write(packet)

    def write_coded(self, *packets: Packet[Stream]) -> None:
        """Mux packets of the coloured picture, whichever encoder they are from."""
        with mapped_errors(self._target.name):
            for packet in packets:
                packet.stream = self.picture
            self._remuxer.write_video(packets)

    def start(self) -> None:
        """Write the header, which the container may refuse."""
        with mapped_errors(self._target.name):
            self._remuxer.start()

    def end(self) -> None:
        """Finish the other tracks and close the container; the picture is complete."""
        target = self._target
        with mapped_errors(target.name):
            self._remuxer.finish()
            _say_delay(target.muxer, self._remuxer.earliest)
            self._close()
            if target.seekable:
                mend_file(target.muxer, target.address.removeprefix("file:"), self.encoding.first.aspect)

    def close(self) -> None:
        """Close it, whole or not: what the reader of a pipe has got so far stays playable."""
        try:
            self._close()
        except (OSError, av.FFmpegError) as error:
            if not isinstance(error, FileNotFoundError):  # which it is where nothing was begun
                log.debug("closing the unfinished output: %s", error)
        if is_sequence(self._target.name, self._target.muxer):
            half = Path(f"{self._target.name}.tmp")
            with suppress(OSError):  # a folder may be written to and not be read
                for path in pictures_of(half, half.parent.iterdir()):
                    path.unlink()

    def _close(self) -> None:
        try:
            self._output.close()
        finally:
            if self._sink is not None:
                self._sink.close()


def rehearse(source: InputContainer, encoding: Encoding) -> None:
    """Refuse what the target cannot be, before the work: the film is begun in memory, up to its header.

    Raises:
        VidcolorError: it cannot be what was asked for.
    """
    with closing(Film(source, encoding, rehearsed=True)) as film:
        film.start()


def _mark_film(output: OutputContainer, mark: str) -> None:
    """Put a mark where the container keeps the name of the program, or where else it has room for it.

    FFmpeg itself fills in the usual place in some. A comment of the source stays.
    """
    key = traits_of(output.format.name).mark
    if key != "comment" or key not in map(str.lower, output.metadata):  # Matroska's names are in capitals
        output.metadata[key] = mark


def _container_options(target: Target, first: Frame, source: InputContainer) -> dict[str, str]:
    """Options with which the target is opened."""
    muxer = target.muxer
    options = dict(traits_of(muxer).options)
    if traits_of(muxer).is_mov:
        options["movflags"] = "faststart" if target.seekable else _FRAGMENTS
        options["movie_timescale"] = str(_movie_timescale(first, source))
    if not target.seekable:
        options["flush_packets"] = "1"
    if holds_one(target.name, muxer) and target.seekable:
        options["update"] = "1"
    if is_sequence(target.name, muxer):
        options["atomic_writing"] = "1"  # under another name until it is whole
    if first_number(source, target) is not None:
        options["frame_pts"] = "1"
    return options


def _say_delay(muxer: str, earliest: Fraction) -> None:
    """Say that all tracks are moved: B-frames and the priming of sound need times before zero.

    Args:
        muxer: some have no such times.
        earliest: seconds at which the first packet is due.
    """
    if earliest < -_UNSEEN and traits_of(muxer).from_zero:
        log.warning(
            "%s begins at zero at the earliest: all tracks are %.3f s later", label(muxer), float(-earliest)
        )


def _movie_timescale(first: Frame, source: InputContainer) -> int:
    """Ticks a second of edit lists, which place the beginnings of tracks: exact for picture and sound."""
    scale = first.time_base.denominator
    for sound in source.streams.audio:
        if sound.codec_context is not None and sound.codec_context.sample_rate:
            scale = math.lcm(scale, sound.codec_context.sample_rate)
    return scale if scale <= _FINEST_TIMESCALE else 90_000
