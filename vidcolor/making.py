"""Makes the segments of a film that are missing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from av.container import InputContainer

from vidcolor.batches import Span
from vidcolor.encoding import Encoding, Part
from vidcolor.ending import Endings, SegmentWriter
from vidcolor.errors import InputError, Interrupted, UsageError
from vidcolor.frames import Frame
from vidcolor.framesource import FrameSource
from vidcolor.manifest import Manifest
from vidcolor.media.opening import beginning, open_source, pick_video, reads_once
from vidcolor.media.repair import DecodeReport
from vidcolor.options import Options
from vidcolor.packing import Place
from vidcolor.pipeline import Colouring, run
from vidcolor.result import Meter, clock, share_done
from vidcolor.segments import SegmentStore, finished_segments, frames_in
from vidcolor.stages.decode import DecodeSettings
from vidcolor.stages.predict import Predictor
from vidcolor.target import Target
from vidcolor.temporal import Anchor, Key
from vidcolor.watching import Pace
from vidcolor.workplace import Workplace

log = logging.getLogger(__name__)


def open_as_asked(name: str, options: Options) -> InputContainer:
    """Open a source as far as the options trust it."""
    return open_source(
        name,
        allow_references=options.allow_references,
        allow_network=options.allow_network,
        framerate=options.framerate,
    )


def on_its_clock(options: Options, container: InputContainer, name: str) -> Options:
    """Count --start from where the source begins.

    Raises:
        UsageError: it is negative.
    """
    if options.start is not None and options.start < 0:
        raise UsageError(f"start {float(options.start):g}: not before 0")
    begin = beginning(container, pick_video(container, name))
    if not begin or (options.start is None and options.duration is None):
        return options
    return replace(options, start=(options.start or Fraction(0)) + begin)


def nothing_decodes(name: str, options: Options, report: DecodeReport, format: str) -> InputError:
    """The error of a source of FFmpeg's ``format`` without a frame, which says why if it can."""
    said = "no frame of it decodes" + "; FFmpeg decodes no animated WebP" * (format == "webp_pipe")
    said += "; in a pipe mp4 needs its index first (+faststart)" * (reads_once(name) and "mp4" in format)
    if report.video_packets and (options.start, options.duration) != (None, None):
        late = options.duration is None or report.last_seen <= (options.start or 0)
        said = "nothing to colour: it ends before --start" if late else f"{said} within the span"
    return InputError(f"{name}: {said}")


@dataclass(kw_only=True)
class Order:
    """What is to be made, of what, and how.

    Attributes:
        open_it: opens the source anew.
        settings: which frames of it are wanted.
        wanted: the terms on which the job would begin now; its number of frames a segment is filled in here.
        anchors: makes the table of shots that come back.
        weights: the generator's file.
    """

    name: str
    place: Target
    options: Options
    predictor: Predictor
    open_it: Callable[[], InputContainer]
    settings: DecodeSettings
    wanted: Manifest
    anchors: Callable[[], Mapping[Key, Anchor]]
    weights: Path
    meter: Meter
    cancel: threading.Event


@dataclass(kw_only=True)
class Maker:
    """Makes the segments that are missing."""

    order: Order
    work: Workplace
    source: FrameSource
    encoding: Encoding
    terms: Manifest
    said: set[str] = field(default_factory=set)
    found: dict[int, Path] = field(default_factory=dict)
    unread: bool = False
    """Whether those found have to be checked when they are wanted."""
    anchors: Mapping[Key, Anchor] | None = None
    pace: dict[int, Pace] = field(default_factory=dict)
    """How evenly frames came before the next segment to be made."""

    @property
    def store(self) -> SegmentStore:
        """Where segments are kept."""
        return SegmentStore(self.work.folder, self.order.place.name, self.terms.fingerprint)

    def find(self) -> None:
        """Look again which segments are finished; Interrupted if told to stop meanwhile."""
        self.found = self.store.find(self.order.cancel)

    def make_all(self) -> tuple[list[Path], Place]:
        """Files of all segments, in order, and where the last of them ends."""
        number, place = 0, None
        with self._endings() as endings:
            while place is None or place.state is not None:
                place = self._read_or_make(number, place, endings)
                number += 1
        return [self.found[n] for n in range(number)], place

    def make_shot(self, number: int, place: Place | None) -> None:
        """Make those missing of the segments from there on, up to the first that ends with a shot."""
        with self._endings() as endings:
            while True:
                place = self._read_or_make(number, place, endings)
                number += 1
                if place.state is None or place.independent:
                    return

    def _endings(self) -> Endings:
        return Endings(self.found, beside=self.order.predictor.device.type != "cpu")

    def _read_or_make(self, number: int, place: Place | None, endings: Endings) -> Place:
        """Where the segment of that number ends, which begins at ``place``."""
        return self.kept(number, place) or self.make(number, place, endings)

    def kept(self, number: int, place: Place | None) -> Place | None:
        """Where the finished segment of that number ends, if there is one that begins at ``place``.

        One that does not, by the count of frames, is removed.

        Raises:
            Interrupted: told to stop.
        """
        path = self.found.get(number)
        if path is None:
            return None
        if self.order.cancel.is_set():
            raise Interrupted
        if self.unread and self.store.wrong(path, self.order.cancel):
            return None
        frames, after = self.store.end_of(path)
        if after.frames - frames == (place.frames if place else 0):
            return after
        # it followed another one, that was lost and has come out longer or shorter when it was made again
        log.warning("%s: segment %d does not follow on: it is made anew", self.order.place.name, number)
        path.unlink(missing_ok=True)
        del self.found[number]
        return None

    def take_up(self) -> None:
        """Look for what is finished; one line for who runs the command again."""
        self.find()
        if self.found:
            seen = {number: self.store.describe(path) for number, path in self.found.items()}
            kept = finished_segments(seen)  # workers may have made others after a missing one
            share = share_done(frames_in(seen), self.order.meter.total())
            at = clock(kept[-1].seconds if kept else 0.0)
            log.info("%s: resuming at %s%s", self.order.place.name, at, share)

    def make(self, number: int, place: Place | None, endings: Endings) -> Place:
        """Colour and encode the segment from there on; again with a smaller batch where memory runs out."""
        predictor = self.order.predictor
        self.order.meter.go_to(0 if place is None else place.frames)
        while True:
            predictor.limit = self.terms.batch_limit
            writer, after = self._colour(number, place, endings)
            if predictor.limit == self.terms.batch_limit:
                break
            self.terms = replace(self.terms, batch_limit=predictor.limit)
            self.terms.write(self.work.manifest)
            if self.source.spool is not None:
                break  # its frames do not come again
            writer.abandon()
        endings.add(number, lambda: self.store.write(writer.end(number, after)))
        return after

    def _colour(self, number: int, place: Place | None, endings: Endings) -> tuple[SegmentWriter, Place]:
        """All of a segment but its end; returns its writer, and where it ends."""
        source, order, meter = self.source, self.order, self.order.meter
        source.go_to(number, place, last=number > max(self.found, default=-1))
        meter.container, meter.stream = source.container, source.stream
        frames, ticks = (place.frames, place.ticks) if place else (0, None)
        watch = self.encoding.watch(self.said, frames, self.pace.get(number))
        writer = SegmentWriter(self.encoding, Part(self.encoding, watch, ticks))
        most = self.terms.segment_frames
        span = Span(frames=most, least=most // 2, start=place.state if place else None)
        try:
            run(source.span(span.frames), self._colouring(meter, endings), writer, span)
            if order.cancel.is_set():
                raise Interrupted
            last = writer.last
            if last is None:
                raise InputError(f"{order.name}: no frame of it decodes any more")
            source.finish_span(number, writer.frames)
            self.pace = {number + 1: watch.pace}
        except BaseException:
            writer.abandon()
            raise
        lost, damaged = source.losses(last.pts)
        after = Place(
            frames=writer.frames + frames,
            last=last.pts,
            lumas=tuple(writer.lumas),
            seconds=float(last.seconds),
            lost=lost,
            damaged=damaged,
            ticks=writer.ticks,
            state=None if source.ended else span.end,
        )
        return writer, after

    def _colouring(self, meter: Meter, endings: Endings) -> Colouring:
        options, order = self.order.options, self.order
        if self.anchors is None:
            self.anchors = order.anchors()

        def progress(last: Frame, frames: int) -> None:
            endings.check()
            meter.tell(last, frames)

        return Colouring(
            predictor=order.predictor,
            temporal=options.temporal,
            smoothing=options.smoothing,
            anchors=self.anchors,
            render_size=options.render_size,
            batch_size=int(self.terms.machine["batch size"]),
            progress=progress,
            cancel=order.cancel,
            flush_on_cancel=False,
        )
