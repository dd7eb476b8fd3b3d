"""Makes the segments of a film that are missing."""

from __future__ import annotations

import io
import logging
import signal
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from vidcolor.batches import Span
from vidcolor.errors import InputError, Interrupted
from vidcolor.film import Film
from vidcolor.frames import Codes, Floats, Frame, Picture
from vidcolor.framesource import WITNESSES, FrameSource, luma_check
from vidcolor.hearing import hushed
from vidcolor.manifest import Manifest
from vidcolor.media.opening import open_source, pick_video
from vidcolor.options import Options
from vidcolor.pipeline import Colouring, run
from vidcolor.result import Meter, clock, share_done
from vidcolor.segments import Coded, Place, Segment, SegmentStore, finished_segments
from vidcolor.stages.decode import DecodeSettings
from vidcolor.stages.predict import Predictor
from vidcolor.target import Target
from vidcolor.temporal import Anchor, Key
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


def on_its_clock(options: Options, container: InputContainer) -> Options:
    """Count --start from where the source begins: broadcasts begin hours after zero."""
    begin = max(container.start_time or 0, 0)
    if not begin or (options.start is None and options.duration is None):
        return options
    return replace(options, start=(options.start or Fraction(0)) + Fraction(begin, av.time_base))


class _Discard(io.RawIOBase):
    """Takes what is written, and keeps nothing: encoders need a container to be made for."""

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, data: object) -> int:
        return len(data)  # type: ignore[arg-type]


class _SegmentWriter:
    """The pipeline's writer: encodes a segment and keeps its packets."""

    def __init__(self, film: Film, before: int | None) -> None:
        self._film = film
        self._packets: list[Packet[Stream]] = []
        self.frames = 0
        self.last: Frame | None = None
        self.lumas: deque[int] = deque(maxlen=WITNESSES)
        self.ticks = before

    def begin(self, first: Frame) -> None:
        """The film knows its first frame already."""

    def write_packet(self, packet: Packet[Stream]) -> None:
        """Other tracks are read anew when the film is put together."""

    def colour(self, frame: Frame, pictures: list[Picture], abs_: list[Floats]) -> tuple[Codes, Codes]:
        """Chroma planes of a frame."""
        return self._film.colour(frame, pictures, abs_)

    def write_frame(self, frame: Frame, cb: Codes, cr: Codes) -> None:
        """Encode a frame."""
        self.lumas.append(luma_check(frame))
        self._packets += self._film.encode(frame, cb, cr)
        self.ticks = self._film.ticks(frame.pts, frame.time_base, self.ticks)
        self.frames += 1
        self.last = frame

    def finish(self) -> None:
        """Empty the encoder."""
        self._packets += self._film.flush()

    def coded(self) -> Coded:
        """What has been encoded."""
        packets = [p for p in self._packets if p.size]
        return Coded(
            data=tuple(bytes(p) for p in packets),
            pts=tuple(int(p.pts or 0) for p in packets),
            durations=tuple(int(p.duration or 0) for p in packets),
            keys=tuple(bool(p.is_keyframe) for p in packets),
            extradata=self._film.extradata,
        )


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
    codec: str = field(default="", init=False)
    processors: int | None = field(default=None, init=False)

    def film(self, container: InputContainer, place: object = None, label: str | None = None) -> Film:
        """The film as it is going to be; with a ``place``, written to that."""
        return Film(
            container,
            pick_video(container, self.name),
            self.place.address,
            self.place.name,
            self.place.muxer,
            self.options,
            place=place,
            label=label,
            processors=self.processors,
        )


@dataclass(kw_only=True)
class Maker:
    """Makes the segments that are missing."""

    order: Order
    work: Workplace
    source: FrameSource
    first: Frame
    terms: Manifest
    said: set[str] = field(default_factory=set)
    found: dict[int, Path] = field(default_factory=dict)
    anchors: Mapping[Key, Anchor] | None = None

    def __post_init__(self) -> None:
        """Have the encoder work as it did where the job was begun."""
        self.order.processors = int(self.terms.machine["processors"])

    @property
    def store(self) -> SegmentStore:
        """Where segments are kept."""
        return SegmentStore(self.work.folder, self.order.place.name)

    def find(self) -> None:
        """Look again which segments are finished."""
        self.found = self.store.find()

    def make_all(self) -> tuple[list[Path], Place]:
        """Files of all segments, in order, and where the last of them ends."""
        found, paths = self.found, list[Path]()
        place: Place | None = None
        while place is None or place.state is not None:
            number = len(paths)
            if number not in found:
                found[number] = self.store.write(self.make(number, place))
            place = self.store.read(found[number]).after
            paths.append(found[number])
        return paths, place

    def make_shot(self, number: int, place: Place | None) -> None:
        """Make those missing of the segments from there on, up to the first that ends with a shot."""
        while True:
            if number in self.found:
                segment = self.store.read(self.found[number])
            else:
                segment = self.make(number, place)
                self.found[number] = self.store.write(segment)
            number, place = number + 1, segment.after
            if place.state is None or place.independent:
                return

    def rehearse(self) -> Film:
        """Refuse now what the target cannot be; one line for who runs the command again.

        Returns:
            The film as it is going to be, closed; it still knows when frames are shown.
        """
        self.find()
        film = self.order.film(self.source.container, io.BytesIO())
        try:
            film.begin(self.first)
            self.order.codec = film.codec
            film.rehearse()
        finally:
            film.abandon()
        kept = finished_segments(self.found)
        if kept:
            share = share_done(sum(s.frames for s in kept), self.order.meter.total())
            log.info("%s: resuming at %s%s", self.order.place.name, clock(kept[-1].seconds), share)
        return film

    def make(self, number: int, place: Place | None) -> Segment:
        """Colour and encode the segment from there on; again with a smaller batch where memory runs out."""
        predictor = self.order.predictor
        self.order.meter.before = 0 if place is None else place.frames
        while True:
            predictor.limit = self.terms.batch_limit
            segment = self._try(number, place)
            if predictor.limit == self.terms.batch_limit:
                return segment
            self.terms = replace(self.terms, batch_limit=predictor.limit)
            self.terms.write(self.work.manifest)
            if self.source.spool is not None:
                return segment  # its frames do not come again

    def _try(self, number: int, place: Place | None) -> Segment:
        source, order, meter = self.source, self.order, self.order.meter
        source.go_to(number, place)
        meter.container, meter.stream = source.container, source.stream
        film = order.film(source.container, _Discard())
        with hushed():
            film.begin(self.first)
        film.said = self.said
        if place is not None:
            film.go_on(place.frames, place.ticks)
        writer = _SegmentWriter(film, place.ticks if place else None)
        most = self.terms.segment_frames
        span = Span(frames=most, least=most // 2, start=place.state if place else None)
        try:
            run(source.span(span.frames), self._colouring(meter), writer, span)
        finally:
            film.abandon()
        if order.cancel.is_set():
            raise Interrupted(signal.SIGINT)
        last = writer.last
        if last is None:
            raise InputError(f"{order.name}: no frame of it decodes any more")
        source.finish_span(number, writer.frames)
        coded = writer.coded()
        after = Place(
            frames=writer.frames + (place.frames if place else 0),
            last=last.pts,
            lumas=tuple(writer.lumas),
            seconds=float(last.seconds),
            lost=source.lost,
            damaged=source.damaged,
            ticks=writer.ticks or 0,
            state=None if source.ended else span.end,
        )
        return Segment(number=number, frames=writer.frames, delay=coded.delay, coded=coded, after=after)

    def _colouring(self, meter: Meter) -> Colouring:
        options, order = self.order.options, self.order
        if self.anchors is None:
            self.anchors = order.anchors()
        batch = int(self.terms.machine["batch size"])
        return Colouring(
            predictor=order.predictor,
            temporal=options.temporal,
            smoothing=options.smoothing,
            anchors=self.anchors,
            render_size=options.render_size,
            batch_size=lambda shape: batch,
            progress=meter.tell,
            cancel=order.cancel,
            flush_on_cancel=False,
        )
