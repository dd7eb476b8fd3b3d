"""Makes the segments of a film that are missing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from av.container import InputContainer

from vidcolor.batches import Span
from vidcolor.encoding import Encoding, SegmentEncoder
from vidcolor.ending import Endings, SegmentWriter
from vidcolor.errors import InputError, Interrupted
from vidcolor.frames import Frame
from vidcolor.framesource import FrameSource
from vidcolor.manifest import Manifest
from vidcolor.options import Options
from vidcolor.packing import Place
from vidcolor.pipeline import Colouring, run
from vidcolor.result import Meter
from vidcolor.segments import FinishedSegments, SegmentStore
from vidcolor.sharing import PredictThread
from vidcolor.stages.decode import DecodeSettings
from vidcolor.stages.predict import Predictor
from vidcolor.target import Target
from vidcolor.temporal import Anchor, Key
from vidcolor.watching import Watch
from vidcolor.workplace import Workplace


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be made, of what, for whoever works on it, here or elsewhere.

    Attributes:
        settings: which frames of the source are wanted.
        weights: the generator's file.
    """

    name: str
    target: Target
    options: Options
    settings: DecodeSettings
    weights: Path


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What one process works on an order with.

    Attributes:
        open_it: opens the source anew.
        anchors: gives the table of shots that come back; it is made when it is asked for first.
    """

    predictor: Predictor
    open_it: Callable[[], InputContainer]
    anchors: Callable[[], Mapping[Key, Anchor]]
    meter: Meter
    cancel: threading.Event
    predict_thread: PredictThread = field(default_factory=PredictThread)

    def colouring(
        self, options: Options, batch_size: int, progress: Callable[[Frame, int], None], **given: Any
    ) -> Colouring:
        """What the pipeline needs; what is ``given`` besides goes to it as it is."""
        return Colouring(
            predictor=self.predictor,
            temporal=options.temporal,
            smoothing=options.smoothing,
            anchors=self.anchors(),
            render_size=options.render_size,
            batch_size=batch_size,
            predict_thread=self.predict_thread,
            every_frame=options.every_frame,
            progress=progress,
            cancel=self.cancel,
            **given,
        )


@dataclass(kw_only=True)
class Maker:
    """Makes the segments that are missing."""

    order: Order
    tools: Tools
    work: Workplace
    source: FrameSource
    first: Frame
    manifest: Manifest
    finished: FinishedSegments = field(init=False)
    encoding: Encoding = field(init=False)
    _said: set[str] = field(init=False, default_factory=set)
    _watches: dict[int, Watch] = field(init=False, default_factory=dict)
    """What has looked at the frames before the next segment to be made: some lines rest on many of them."""

    def __post_init__(self) -> None:
        target, options = self.order.target, self.order.options
        store = SegmentStore(self.work.folder, target.name, self.manifest.fingerprint, options)
        self.finished = FinishedSegments(store=store, cancel=self.tools.cancel)
        processors = int(self.manifest.machine["processors"])
        self.encoding = Encoding(self.source.reading, self.first, target, options, processors)

    def make_all(self) -> tuple[list[Path], Place]:
        """Files of all segments, in order, and where the last of them ends."""
        number, place = 0, None
        with self._endings() as endings:
            while place is None or place.state is not None:
                place = self.finished.after(number, place) or self.make(number, place, endings)
                number += 1
        return [self.finished.files[n] for n in range(number)], place

    def make_shot(self, number: int, place: Place | None) -> None:
        """Make those missing of the segments from there on, up to the first that ends with a shot."""
        with self._endings() as endings:
            while True:
                place = self.finished.after(number, place) or self.make(number, place, endings)
                number += 1
                if place.state is None or place.independent:
                    return

    def _endings(self) -> Endings:
        return Endings(self.finished.files, two_encoders=self.tools.predictor.device.type != "cpu")

    def span_from(self, place: Place | None) -> Span:
        """What of the film is made at once from there on."""
        most = self.manifest.segment_frames
        return Span(frames=most, least=most // 2, start=place.state if place else None)

    def make(self, number: int, place: Place | None, endings: Endings) -> Place:
        """Colour and encode the segment from there on; again with a smaller batch where memory runs out."""
        predictor = self.tools.predictor
        self.tools.meter.go_to(0 if place is None else place.frames)
        while True:
            predictor.limit = self.manifest.batch_limit
            writer, after = self._colour(number, place, endings)
            if predictor.limit == self.manifest.batch_limit:
                break
            self.manifest = replace(self.manifest, batch_limit=predictor.limit)
            self.manifest.write(self.work.manifest_path)
            if not self.source.comes_again:
                break
            writer.abandon()
        endings.add(number, lambda: self.finished.store.write(writer.end(number, after)))
        return after

    def _colour(self, number: int, place: Place | None, endings: Endings) -> tuple[SegmentWriter, Place]:
        """All of a segment but its end; returns its writer, and where it ends."""
        source, tools, meter = self.source, self.tools, self.tools.meter
        source.go_to(number, place, last=number > max(self.finished.files, default=-1))
        meter.container, meter.stream = source.reading.container, source.reading.stream
        watch = self._watches.pop(number, None) or self.encoding.watch()
        watch.said, watch.written = self._said, place.frames if place else 0

        def opened() -> SegmentEncoder:
            endings.make_room()
            return SegmentEncoder(self.encoding, watch, place.ticks if place else None)

        writer = SegmentWriter(self.encoding, opened)
        span = self.span_from(place)
        try:
            run(source.span(span.frames), self._colouring(endings), writer, span)
            if tools.cancel.is_set():
                raise Interrupted
            if not writer.seen:
                raise InputError(f"{self.order.name}: no frame of it decodes any more")
            source.finish_span(number, len(writer.seen))
            self._watches = {number + 1: watch}
        except BaseException:
            writer.abandon()
            raise
        return writer, source.place_after(place, writer.seen, self.encoding.ticks, span.end)

    def _colouring(self, endings: Endings) -> Colouring:
        def progress(last: Frame, frames: int) -> None:
            endings.check()
            self.tools.meter.tell(last, frames)

        batch = int(self.manifest.machine["batch size"])
        return self.tools.colouring(self.order.options, batch, progress, flush_on_cancel=False)
