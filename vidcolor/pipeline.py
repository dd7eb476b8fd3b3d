"""Composes the stages; owns every thread and queue.

    reader thread: decode, luminance, shots │ caller's thread: interpolate, propagate │ writer thread:
    compare, reencode, remux; more threads: motion, predict for the caller, recolor for the writer

Each bar is a queue bounded in bytes, so that memory depends on the size of a frame, not on their number.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Protocol

from av.packet import Packet
from av.stream import Stream

from vidcolor.batches import Batch, Batcher, Coloured, Painter, Span
from vidcolor.chromatable import tabulated
from vidcolor.errors import Interrupted
from vidcolor.frames import Codes, Floats, Frame, Picture
from vidcolor.sharing import PredictThread
from vidcolor.stages.luminance import luminance
from vidcolor.stages.predict import Predictor
from vidcolor.stages.propagate import Propagator
from vidcolor.temporal import Anchor, Key, Linker
from vidcolor.threads import ByteQueue, Closed, Worker, unless_cancelled

_QUEUED_BATCHES = 1
_PACKET_ROOM = 8 << 20
_MOST_SEARCHERS = 4
_MOST_RECOLORING = 4


class FilmWriter(Protocol):
    """Takes what comes out of the pipeline, in order; called from one thread at a time but for ``colour``."""

    def begin(self, first: Frame) -> None:
        """The first frame is known: sizes, depth, time base."""

    def write_packet(self, packet: Packet[Stream]) -> None:
        """A packet of another track."""

    def colour(self, frame: Frame, pictures: list[Picture], abs_: list[Floats]) -> tuple[Codes, Codes]:
        """Cb and Cr of a frame from the ab of its pictures; called from several threads at once."""

    def write_frame(self, frame: Frame, cb: Codes, cr: Codes) -> None:
        """A frame with its chroma."""

    def finish(self) -> None:
        """Nothing more comes."""


@dataclass(kw_only=True)
class Colouring:
    """What the pipeline needs beside its source and target.

    Attributes:
        temporal, smoothing: how ab is smoothed over time, see :class:`~vidcolor.stages.propagate.Propagator`.
        anchors: colours to begin shots with that come back, see :mod:`vidcolor.matching`.
        batch_size: pictures a batch.
        predict_thread: where the predictor works; whoever colours in several parts gives the same to all.
        every_frame: whether the generator colours every frame, see :class:`~vidcolor.sparse.Sparse`.
        progress: called after each batch with its last frame and the number of frames so far.
        cancel: set it, and the pipeline stops reading, finishes what it has begun and returns.
        segment_frames: called with the first frame of a film without spans; gives frames a segment at most.
        flush_on_cancel: whether the film is finished then, too (a pipe's reader has use for it); if not,
            the writer is left as it is.
    """

    predictor: Predictor
    temporal: str
    smoothing: float
    render_size: int
    batch_size: int
    progress: Callable[[Frame, int], None]
    anchors: Mapping[Key, Anchor] = field(default_factory=dict)
    cancel: threading.Event = field(default_factory=threading.Event)
    predict_thread: PredictThread = field(default_factory=PredictThread)
    every_frame: bool = False
    segment_frames: Callable[[Frame], int] | None = None
    flush_on_cancel: bool = True


def run(
    items: Iterable[Frame | Packet[Stream]],
    colouring: Colouring,
    writer: FilmWriter,
    span: Span | None = None,
) -> int:
    """Colour all frames and hand everything to ``writer``; returns the number of frames.

    With a ``span``, of its frames alone: those after it are only looked at, and its end is filled in.
    Exceptions of any stage are raised here. With no frame at all, ``writer.begin`` is never called.
    After a cancellation the reader may still hang in a blocking read; ``items`` is then not to be closed.
    """
    processors = os.cpu_count() or 1
    searchers, recoloring = min(_MOST_SEARCHERS, processors), max(1, min(_MOST_RECOLORING, processors // 2))
    with (
        ThreadPoolExecutor(searchers, thread_name_prefix="vidcolor-motion") as motion,
        ThreadPoolExecutor(recoloring, thread_name_prefix="vidcolor-recolor") as recolor,
    ):
        source = _Reader(items, colouring, motion, span)
        with Worker("vidcolor-read", source.work, abandon=colouring.cancel) as reader:
            try:
                threads = _RecolorThreads(recolor, recoloring + 1)
                return _colour(source, reader, colouring, writer, span, threads)
            finally:
                source.queue.close()


@dataclass(frozen=True)
class _RecolorThreads:
    """Threads that recolor frames, and how many frames may be on their way through them."""

    threads: Executor
    ahead: int


def _colour(
    source: _Reader,
    reader: Worker,
    colouring: Colouring,
    writer: FilmWriter,
    span: Span | None,
    recolor: _RecolorThreads,
) -> int:
    before: list[Packet[Stream]] = []
    batches, first = source.queue.drain(colouring.cancel), None
    for item in batches:
        if isinstance(item, Batch):
            first = item
            break
        before.append(item)
    if first is None:
        if not colouring.cancel.is_set():
            reader.wait()
        return 0
    begun: list[FilmWriter] = []
    with suppress(Interrupted):  # it may have begun before that
        unless_cancelled("vidcolor-begin", partial(_begin, writer, first, begun), colouring.cancel)
    if not begun:
        return 0
    recolor.threads.submit(tabulated, first.frames[0].signal.matrix)  # while the first colours are predicted
    for packet in before:
        writer.write_packet(packet)
    sink = _Writer(writer, first.nbytes * _QUEUED_BATCHES, recolor)
    with Worker("vidcolor-write", sink.work) as thread:
        try:
            return _predict_all(chain([first], batches), reader, colouring, sink, span)
        except BaseException as error:
            sink.queue.finish()  # what is coloured is written: the reader of a pipe gets it
            if isinstance(error, Closed):
                thread.wait()  # the writer ended first: its error is the cause
            raise


def _begin(writer: FilmWriter, first: Batch, begun: list[FilmWriter]) -> None:
    """Have the writer begin, which may wait for ever for the reader of a named pipe; note that it has."""
    writer.begin(first.frames[0])
    begun.append(writer)


def _predict_all(
    items: Iterator[Batch | Packet[Stream]],
    reader: Worker,
    colouring: Colouring,
    sink: _Writer,
    span: Span | None,
) -> int:
    start = span.start.filter if span is not None and span.start is not None else None
    propagator = Propagator(colouring.temporal, colouring.smoothing, start)
    every, size, count = colouring.every_frame, colouring.batch_size, 0
    with colouring.predict_thread.lent() as submit:
        painter = Painter(colouring.predictor, propagator, submit, size, span, every=every)
        for item in items:
            if isinstance(item, Packet):
                sink.queue.put(item, item.size)
                continue
            count += _send(painter.paint(item), count, colouring, sink)
            if painter.complete:
                break
        if colouring.cancel.is_set() and not colouring.flush_on_cancel:
            sink.drop()
            return count
        if not painter.complete:
            count += _send(painter.finish(), count, colouring, sink)
    if not colouring.cancel.is_set() and not painter.complete:
        reader.wait()
    if span is not None:
        span.close(propagator.marked)
    sink.queue.finish()
    return count


def _send(parts: list[Coloured], before: int, colouring: Colouring, sink: _Writer) -> int:
    """Hand frames on to the writer; returns how many."""
    count = 0
    for coloured in parts:
        last = coloured.frames[-1]
        count += len(coloured.frames)
        sink.queue.put(coloured, coloured.nbytes)
        colouring.progress(last, before + count)
    return count


class _Reader:
    """Gathers frames into batches; packets of other tracks go ahead without waiting for a batch to fill."""

    def __init__(
        self,
        items: Iterable[Frame | Packet[Stream]],
        colouring: Colouring,
        executor: Executor,
        span: Span | None,
    ) -> None:
        self.queue: ByteQueue[Batch | Packet[Stream]] = ByteQueue(_PACKET_ROOM)
        self._items = items
        self._colouring = colouring
        start = span.start.linker if span is not None and span.start is not None else None
        mode = colouring.temporal if colouring.smoothing > 0.0 else "off"
        linker = Linker(mode, executor, colouring.anchors, start)
        segments = colouring.segment_frames if span is None else None
        self._batcher = Batcher(linker, colouring.batch_size, span, segments)

    def work(self) -> None:
        try:
            self._read()
        finally:
            self.queue.finish()

    def _read(self) -> None:
        try:
            for item in self._items:
                if self._colouring.cancel.is_set():
                    break
                if isinstance(item, Packet):
                    self.queue.put(item, item.size)
                    continue
                pictures = [luminance(item, luma, self._colouring.render_size) for luma in item.pictures()]
                self._send(self._batcher.push(item, pictures))
                if self._batcher.complete:
                    break
        finally:
            self._send(self._batcher.finish())  # after a failure too: what came before it is sound

    def _send(self, batches: list[Batch]) -> None:
        for batch in batches:
            self.queue.put(batch, batch.nbytes)


class _Writer:
    """Hands coloured frames and packets to the film, in order."""

    def __init__(self, film: FilmWriter, batch_bytes: int, recolor: _RecolorThreads) -> None:
        self.queue: ByteQueue[Coloured | Packet[Stream]] = ByteQueue(max(batch_bytes, _PACKET_ROOM))
        self._film = film
        self._recolor = recolor
        self._dropped = False

    def drop(self) -> None:
        """End without finishing the film: nobody is going to see it."""
        self._dropped = True
        self.queue.close()

    def work(self) -> None:
        try:
            for item in self.queue.drain():
                if isinstance(item, Packet):
                    self._film.write_packet(item)
                else:
                    self._write_batch(item)
            if not self._dropped:
                self._film.finish()
        finally:
            self.queue.close()

    def _write_batch(self, batch: Coloured) -> None:
        at, begun = 0, deque[tuple[Frame, Future[tuple[Codes, Codes]]]]()
        for index, frame in enumerate(batch.frames):
            until = at + frame.fields
            of_it = batch.pictures[at:until], batch.abs_[at:until]
            begun.append((frame, self._recolor.threads.submit(self._film.colour, frame, *of_it)))
            at = until
            batch.frames[index] = None  # type: ignore[call-overload]  # its planes can go
            if len(begun) == self._recolor.ahead:
                self._write(*begun.popleft())
        while begun:
            self._write(*begun.popleft())

    def _write(self, frame: Frame, chroma: Future[tuple[Codes, Codes]]) -> None:
        self._film.write_frame(frame, *chroma.result())
