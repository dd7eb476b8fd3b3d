"""Where segments begin that can be made apart from those before: found by decoding alone, without colours."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from vidcolor.batches import Batcher
from vidcolor.errors import Interrupted
from vidcolor.making import Maker
from vidcolor.packing import Place, Seen
from vidcolor.stages.luminance import luminance
from vidcolor.temporal import Linker


@dataclass(kw_only=True)
class Planner:
    """Reads on from a place and cuts the film as those who make its segments will.

    Attributes:
        maker: whose segments they are.
        cancel: set it, and the reading ends.
    """

    maker: Maker
    cancel: threading.Event

    def beginnings(self, number: int, place: Place | None) -> Iterator[tuple[int, Place]]:
        """Numbers and places, beyond the given one, of segments before which a shot ends.

        Raises:
            VidcolorError: the source cannot be read; or the search was cancelled.
        """
        while True:
            self.maker.source.go_to(number, place)
            place, cut = self._read_segment(number, place)
            number += 1
            if place.state is None:
                return
            if cut:
                yield number, place

    def _read_segment(self, number: int, place: Place | None) -> tuple[Place, bool]:
        """Where the segment ends, and whether a shot does."""
        source, options = self.maker.source, self.maker.order.options
        span = self.maker.span_from(place)
        # where a shot begins nothing has moved yet: motion would be sought in vain
        mode = "average" if options.smoothing > 0.0 and options.temporal != "off" else "off"
        linker = Linker(mode, state=span.start.linker if span.start else None)
        batcher = Batcher(linker, 1, span)
        seen: list[Seen] = []
        for frame in source.span(span.frames):
            if self.cancel.is_set():
                raise Interrupted
            if len(seen) < span.frames:
                seen.append(Seen.of(frame))
            batcher.push(frame, [luminance(frame, luma, options.render_size) for luma in frame.pictures()])
            if batcher.complete:
                break
        batcher.finish()
        del seen[batcher.decided :]
        source.finish_span(number, len(seen))
        span.close(None)
        return source.place_after(place, seen, self.maker.encoding.ticks, span.end), span.cut
