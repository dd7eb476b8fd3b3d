"""Where segments begin that can be made apart from those before: found by decoding alone, without colours."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from vidcolor.batches import Batcher, Span
from vidcolor.errors import Interrupted
from vidcolor.framesource import WITNESSES, FrameSource, luma_check
from vidcolor.packing import Place
from vidcolor.stages.luminance import luminance
from vidcolor.temporal import Linker


@dataclass(frozen=True, kw_only=True)
class _Seen:
    pts: int
    time_base: Fraction
    luma: int


@dataclass(kw_only=True)
class Planner:
    """Reads on from a place and cuts the film as those who make its segments will.

    Attributes:
        source: to read.
        mode: of the temporal filter, as :class:`~vidcolor.temporal.Linker` takes it.
        render_size: as for the colouring, so that the same pictures are looked at.
        frames: a segment has at most.
        ticks: of a frame's pts, its time base and the ticks of the frame before: the time that it will be
            encoded with, in ticks of the encoder.
        cancel: set it, and the reading ends.
    """

    source: FrameSource
    mode: str
    render_size: int
    frames: int
    ticks: Callable[[int, Fraction, int | None], int]
    cancel: threading.Event

    def beginnings(self, number: int, place: Place | None) -> Iterator[tuple[int, Place]]:
        """Numbers and places, beyond the given one, of segments before which a shot ends.

        Raises:
            VidcolorError: the source cannot be read; or the search was cancelled.
        """
        while True:
            self.source.go_to(number, place)
            place, cut = self._read_segment(number, place)
            number += 1
            if place.state is None:
                return
            if cut:
                yield number, place

    def _read_segment(self, number: int, place: Place | None) -> tuple[Place, bool]:
        """Where the segment ends, and whether a shot does."""
        state = place.state if place else None
        span = Span(frames=self.frames, least=self.frames // 2, start=state)
        batcher = Batcher(Linker(self.mode, state=state.linker if state else None), 1, span)
        seen: list[_Seen] = []
        for frame in self.source.span(self.frames):
            if self.cancel.is_set():
                raise Interrupted
            if len(seen) < self.frames:
                seen.append(_Seen(pts=frame.pts, time_base=frame.time_base, luma=luma_check(frame)))
            batcher.push(frame, [luminance(frame, luma, self.render_size) for luma in frame.pictures()])
            if batcher.complete:
                break
        batcher.finish()
        del seen[batcher.decided :]
        self.source.finish_span(number, len(seen))
        span.close(None)
        ticks = place.ticks if place else None
        for one in seen:
            ticks = self.ticks(one.pts, one.time_base, ticks)
        lost, damaged = self.source.losses(seen[-1].pts)
        after = Place(
            frames=len(seen) + (place.frames if place else 0),
            last=seen[-1].pts,
            lumas=tuple(one.luma for one in seen[-WITNESSES:]),
            seconds=float(seen[-1].pts * seen[-1].time_base),
            lost=lost,
            damaged=damaged,
            ticks=ticks or 0,
            state=None if self.source.ended else span.end,
        )
        return after, span.cut
