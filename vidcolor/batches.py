"""Frames on their way through the generator: gathered into batches, let go when their colours are certain."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from vidcolor.bars import predict_within
from vidcolor.frames import Floats, Frame, Picture
from vidcolor.sharing import Submit
from vidcolor.sparse import Sparse
from vidcolor.stages.predict import Predictor
from vidcolor.stages.propagate import PropagationState, Propagator
from vidcolor.temporal import Link, Linker, LinkerState, TemporalState


@dataclass(kw_only=True)
class _Frames:
    """Frames, with one picture for each frame or field."""

    frames: list[Frame] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        """Memory that they take, with what the generator sees of them and the pictures' ab."""
        pictures = sum(4 * picture.grey.nbytes for picture in self.pictures)
        return sum(frame.luma.nbytes * 3 // 2 for frame in self.frames) + pictures


@dataclass(kw_only=True)
class Batch(_Frames):
    """Frames that are predicted together, with the links of their pictures."""

    links: list[Link] = field(default_factory=list)


@dataclass(kw_only=True)
class Span:
    """A part of a film, and what goes over its ends.

    Attributes:
        frames: how many belong to it at most; those that are read beyond them are only looked at.
        least: after so many it may end before, where a shot begins; None: it may not.
        cut: filled in: whether it ended so, and nothing goes over its end.
        start: state after the picture before it; None at the start of the film.
        end: filled in: the state after its last picture; None where the film ended before.
        linker: the part of ``end`` that the reader knows first.
    """

    frames: int
    least: int | None = None
    start: TemporalState | None = None
    end: TemporalState | None = None
    linker: LinkerState | None = None
    cut: bool = False

    def may_end(self, frames: int) -> bool:
        """Whether it may end after so many frames, where the next one begins a shot.

        After an even number only: of two key frames that meet at a join, H.264 takes those for one picture
        whose numbers are alike, and it numbers them in turns of two.
        """
        return self.least is not None and self.least <= frames <= self.frames and frames % 2 == 0

    def close(self, marked: PropagationState | None) -> None:
        """Fill in the end."""
        if self.linker is not None:
            self.end = TemporalState(linker=self.linker, filter=None if self.cut else marked)


@dataclass(kw_only=True)
class Coloured(_Frames):
    """Frames with the smoothed ab of their pictures."""

    abs_: list[Floats] = field(default_factory=list)


class Batcher:
    """Makes batches of the frames whose pictures are linked.

    Args:
        linker: finds shots and motion.
        batch_size: pictures a batch.
        span: is told the linker's state after its last frame, and how many frames it has.
        segment_frames: without a span, called with the first frame: gives frames a segment at most, and where
            segments would begin is noted in the frames.

    Attributes:
        complete: whether the span has ended where a shot begins, and no more frames are wanted.
        decided: frames that have gone into batches.
    """

    def __init__(
        self,
        linker: Linker,
        batch_size: int,
        span: Span | None = None,
        segment_frames: Callable[[Frame], int] | None = None,
    ) -> None:
        self._segment_frames, self._segment = segment_frames, Span(frames=0)
        self._since = 0  # frames that have gone into batches since a segment began
        self._linker = linker
        self._span = span
        self._count = 0
        self._size = batch_size
        self._undecided: deque[tuple[Frame, list[Picture]]] = deque()
        self._links: deque[Link] = deque()
        self._open = Batch()
        self.complete = False
        self.decided = 0
        self._states: deque[LinkerState] = deque()  # after each frame that is not decided yet

    def push(self, frame: Frame, pictures: list[Picture]) -> list[Batch]:
        """Take the next frame; returns the batches that are now full, one at most but where sizes change.

        The pictures are given from the upper field to the lower.
        """
        pictures = frame.in_time(pictures)
        self._undecided.append((frame, pictures))
        for field_number, picture in enumerate(pictures):
            self._links.extend(self._linker.push(picture.grey, (frame.pts, field_number)))
        self._count += 1
        if self._span is not None and self._count == self._span.frames:
            self._span.linker = self._linker.state
        if self._span is not None and self._span.least is not None and self._count >= self._span.least:
            self._states.append(self._linker.state)
        return self._gather()

    def finish(self) -> list[Batch]:
        """The frames that still wait, at the end of the film."""
        if not self.complete:
            self._links.extend(self._linker.finish())
        return [*self._gather(), *self._close()]

    def _gather(self) -> list[Batch]:
        full: list[Batch] = []
        while self._undecided and len(self._undecided[0][1]) <= len(self._links):
            if self._ends_here():
                return [*full, *self._close()]
            self.decided += 1
            frame, pictures = self._undecided.popleft()
            frame.opens = self._opens(frame)
            changes = self._open.pictures and self._open.pictures[0].grey.shape != pictures[0].grey.shape
            if frame.opens or changes:
                full += self._close()
            self._open.frames.append(frame)
            self._open.pictures.extend(pictures)
            self._open.links.extend(self._links.popleft() for _ in pictures)
            if len(self._open.pictures) >= self._size:
                full += self._close()
        return full

    def _opens(self, frame: Frame) -> bool:
        """Whether a segment would begin with the frame whose links are the next, by the rules of spans."""
        if self._segment_frames is None:
            return False
        if not self._segment.frames:
            most = self._segment_frames(frame)
            self._segment = Span(frames=most, least=most // 2)
        begins = self._links[0].begins and self._segment.may_end(self._since)
        opens = begins or self._since == self._segment.frames
        self._since = 1 if opens else self._since + 1
        return opens

    def _ends_here(self) -> bool:
        """End the span before the oldest frame that waits, if a shot begins with that."""
        span = self._span
        if span is None or span.least is None or self.decided < span.least:
            return False
        state = self._states.popleft()
        if not (self._links[0].begins and span.may_end(self.decided)):
            return False
        span.cut, span.linker = True, replace(state, previous=None)
        self._undecided.clear()
        self.complete = True
        return True

    def _close(self) -> list[Batch]:
        batch, self._open = self._open, Batch()
        return [batch] if batch.frames else []


class Painter:
    """Predicts and smooths; frames come out when the pictures after them that bear on them have gone in.

    Args:
        submit: has the predictor work.
        batch_size: pictures that it gets at once.
        every: whether the generator colours every picture.
    """

    def __init__(
        self,
        predictor: Predictor,
        propagator: Propagator,
        submit: Submit,
        batch_size: int,
        span: Span | None = None,
        *,
        every: bool = False,
    ) -> None:
        self._propagator = propagator
        self._size = batch_size
        self._segment = self._left = span.frames if span is not None else None
        self._to_see = self._left
        self._seen = self._count = 0
        # no method of its own: what refers to itself would keep generator and frames until it is collected
        self._sparse: Sparse[Picture] = Sparse(
            lambda asked: submit(_predict, predictor, batch_size, asked), batch_size, every=every
        )
        self._frames: deque[Frame] = deque()
        self._pictures: deque[Picture] = deque()
        self._done: deque[Floats] = deque()

    def paint(self, batch: Batch) -> list[Coloured]:
        """Take a batch; returns the frames that are now certain, ``batch_size`` at once."""
        self._note(batch.frames)
        self._frames.extend(batch.frames)
        self._pictures.extend(batch.pictures)
        opens = [begins for frame in batch.frames for begins in self._openings(frame)]
        for picture, link, begins in zip(batch.pictures, batch.links, opens, strict=True):
            self._smooth(self._sparse.push(picture, link, opens=begins))
        return self._whole_frames()

    def finish(self) -> list[Coloured]:
        """The frames that still wait, at the end of the film."""
        self._smooth(self._sparse.finish())
        self._done.extend(self._propagator.finish())
        return self._whole_frames()

    @property
    def complete(self) -> bool:
        """Whether all frames of the span have come out."""
        return self._left == 0

    def _openings(self, frame: Frame) -> list[bool]:
        """Of each of a frame's pictures, whether a segment begins with it."""
        opens = frame.opens or (self._segment is not None and self._count % self._segment == 0)
        self._count += 1
        return [opens, *[False] * (frame.fields - 1)]

    def _smooth(self, settled: list[tuple[Link, Floats]]) -> None:
        for link, ab in settled:
            self._done.extend(link.apply(self._propagator, ab))

    def _note(self, frames: list[Frame]) -> None:
        """Let the filter keep its state after the span's last picture."""
        for frame in frames:
            if not self._to_see:
                return
            self._seen += frame.fields
            self._to_see -= 1
            if self._to_see == 0:
                self._propagator.mark = self._seen

    def _whole_frames(self) -> list[Coloured]:
        parts: list[Coloured] = []
        while self._frames and self._frames[0].fields <= len(self._done) and not self.complete:
            if not parts or len(parts[-1].frames) == self._size:
                parts.append(Coloured())
            frame, part = self._frames.popleft(), parts[-1]
            self._left = None if self._left is None else self._left - 1
            part.frames.append(frame)
            part.pictures += frame.in_time([self._pictures.popleft() for _ in range(frame.fields)])
            part.abs_ += frame.in_time([self._done.popleft() for _ in range(frame.fields)])
        return parts


def _predict(predictor: Predictor, batch_size: int, asked: Sequence[tuple[Picture, Link]]) -> list[Floats]:
    """The ab of pictures, within their bars."""
    found: list[Floats] = []
    for _, group in groupby(asked, lambda one: one[0].luminance.shape):
        predictor.expect(batch_size)
        pictures, links = zip(*group, strict=True)
        planes, areas = [picture.luminance for picture in pictures], [link.area for link in links]
        found += predict_within(predictor, planes, areas)
    return found
