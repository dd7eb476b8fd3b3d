"""Frames of a source from any place in it on, found again exactly."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import ClassVar

from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from vidcolor.errors import Interrupted, ResumeMismatch
from vidcolor.frames import Frame
from vidcolor.media.streams import pick_video, sane_rate
from vidcolor.packing import Place, Seen, luma_check
from vidcolor.reading import Reading
from vidcolor.sparse import BEYOND
from vidcolor.spool import Spool
from vidcolor.stages.decode import DecodeSettings, other_packets
from vidcolor.stages.propagate import LOOKAHEAD
from vidcolor.stages.shots import LOOKAHEAD as SHOT_LOOKAHEAD
from vidcolor.temporal import TemporalState
from vidcolor.threads import unless_cancelled

log = logging.getLogger(__name__)

AHEAD = LOOKAHEAD + BEYOND + SHOT_LOOKAHEAD
"""Pictures that are looked at after a segment."""
WITNESSES = 8
"""Frames whose luma has to be that of the place which is sought."""
_GUESSED_TIMES = "avi"
_BEFORE = 1
"""Seconds before that place where reading begins at the latest, so that the witnesses come by."""


@dataclass(eq=False)
class FrameSource:
    """Reads a source in spans that overlap: what is looked at after one span begins the next.

    Args:
        open_it: opens the source anew.
        settings: which frames are wanted.
        ahead: pictures that are looked at after a span.
        cancel: set it, and the search for a place ends.

    Attributes:
        comes_again: whether it can be read more than once.
        reading: of the source as opened last; there after :meth:`first`.
    """

    open_it: Callable[[], InputContainer]
    settings: DecodeSettings
    ahead: int
    cancel: threading.Event
    reading: Reading = field(init=False)
    comes_again: ClassVar[bool] = True
    _base: Fraction = field(init=False, default=Fraction(1))
    _done: int | None = field(init=False, default=None)
    """How many spans, where the last of them has been read to its end."""
    _upcoming: deque[Frame] = field(init=False, default_factory=deque)
    """Frames that have been read, and come again."""
    _frames: Iterator[Frame] = field(init=False)
    _recent: deque[Frame] = field(init=False)
    _count: int = field(init=False, default=0)
    """Frames that have come with the span."""

    def __post_init__(self) -> None:
        self._recent = deque(maxlen=self.ahead + 1)

    def first(self) -> Frame | None:
        """The first wanted frame of the source; None where there is none.

        Raises:
            Interrupted: told to stop while it was waited for.
        """
        if not unless_cancelled("vidcolor-first", lambda: self._open(None), self.cancel):
            return None
        frame = self._upcoming[0]
        self._base, self._done = frame.time_base, 0
        self.settings = replace(self.settings, orientation=frame.orientation)
        return frame

    def go_to(self, number: int, before: Place | None, *, last: bool = False) -> None:
        """Make ready to read the span of that number, which begins at the place ``before``.

        Args:
            last: whether no later span is finished.

        Raises:
            ResumeMismatch: the frame that it has to follow is not in the source.
            Interrupted: told to stop meanwhile.
        """
        if self._done == number:
            return
        unless_cancelled("vidcolor-seek", lambda: self._start(before, last), self.cancel)
        self._done = number

    def span(self, frames: int) -> Iterator[Frame]:
        """The next ``frames`` frames, then those that are only looked at and come again with the next span.

        Whoever takes them may stop early; at most :attr:`ahead` of those taken may be left out of the number
        that :meth:`finish_span` is told.
        """
        self._recent.clear()
        self._done = None  # until it has been read to its end
        self._count = pictures = 0
        for frame in self._coming():
            pictures += frame.fields if self._count >= frames else 0
            self._count += 1
            self._recent.append(frame)
            yield frame
            if pictures >= self.ahead:
                break

    def finish_span(self, number: int, frames: int) -> None:
        """Note that the span of that number is done, with so many frames."""
        for _ in range(self._count - frames):
            self._upcoming.appendleft(self._recent.pop())
        self._recent.clear()
        more = self._more()
        self._done = number + 1
        if not more:
            self.reading.end()

    def place_after(
        self,
        before: Place | None,
        seen: Sequence[Seen],
        ticks: Callable[[int, Fraction, int | None], int],
        state: TemporalState | None,
    ) -> Place:
        """Where the span ends that was finished last, and began at ``before``.

        Args:
            seen: its frames.
            ticks: see :meth:`~vidcolor.encoding.Encoding.ticks`.
            state: to go on from if the film does.
        """
        last, at = seen[-1], before.ticks if before else None
        for one in seen:
            at = ticks(one.pts, one.time_base, at)
        lost, damaged = self.reading.losses(last.pts if self._upcoming else None)
        return Place(
            frames=len(seen) + (before.frames if before else 0),
            last=last.pts,
            lumas=tuple(one.luma for one in seen[-WITNESSES:]),
            seconds=float(last.pts * last.time_base),
            lost=lost,
            damaged=damaged,
            ticks=at or 0,
            state=state if self._upcoming else None,
        )

    @contextmanager
    def others(self) -> Iterator[tuple[InputContainer, Iterator[Packet[Stream]]]]:
        """What a film takes over from its source: the source itself, and packets of its other tracks."""
        self.close()
        with self.open_it() as container, self.open_it() as again:
            coloured = pick_video(again, self.settings.name).index
            yield container, other_packets(again, coloured, self.settings.end)

    def close(self) -> None:
        """Close the source."""
        self.reading.container.close()

    def _more(self) -> bool:
        """Whether another frame follows; it is read then."""
        if not self._upcoming:
            self._upcoming.extend(frame for frame in [next(self._frames, None)] if frame is not None)
        return bool(self._upcoming)

    def _coming(self) -> Iterator[Frame]:
        while self._more():
            yield self._upcoming.popleft()

    def _keep(self, packet: Packet[Stream]) -> None:
        """Take a packet of another track: they come again when the film is put together."""

    def _open(self, seek: Fraction | None) -> bool:
        """Begin a reading; whether there is a frame."""
        self._upcoming.clear()
        self.reading = Reading(self.open_it(), replace(self.settings, seek=seek))
        self._frames = self.reading.frames(self._keep)
        return self._more()

    def _start(self, before: Place | None, last: bool) -> None:
        if before is None:
            self.close()
            self._open(None)
            return
        # times that are guessed differ after seeking, and of a picture that stands still no frame is known
        blindly = _GUESSED_TIMES in self.reading.container.format.name or len(set(before.lumas)) == 1
        lies_ahead = self.reading.last is not None and self.reading.last < before.last
        if blindly and lies_ahead and self._skip_to(before, exactly=False, last=False):
            return
        ahead = max(Fraction(_BEFORE), (WITNESSES + 1) / sane_rate(self.reading.stream))
        place = max(before.last * self._base - ahead, Fraction(0))
        for seek in (None,) if blindly else (place, None):
            self.close()
            self._open(seek)
            if self._skip_to(before, exactly=seek is not None, last=last):
                return
            log.debug("%s: the place to go on from is not found by seeking", self.settings.name)
        raise self._gone(before)

    def _gone(self, before: Place) -> ResumeMismatch:
        return ResumeMismatch(
            f"{self.settings.name}: the frame at {before.seconds:.3f} s, after which the job goes on, is "
            "not there any more; begin anew with --restart"
        )

    def _skip_to(self, place: Place, *, exactly: bool, last: bool) -> bool:
        """Read up to the frame before the place; False where it does not come.

        After seeking it is believed only if the frames before it come by as well, and are not all alike.
        Else, for the ``last``, also where as much damage has come by, which FFmpeg's threads conceal another
        way each time (H.264, MPEG-2, ProRes): a file is known by its fingerprint, a pipe by one such frame.
        """
        seen: deque[int] = deque(maxlen=len(place.lumas))
        for frame in self._coming():
            if self.cancel.is_set():
                raise Interrupted
            seen.append(luma_check(frame))
            if frame.pts >= place.last:
                break
            self.reading.losses(frame.pts)  # what is counted before it plays no part any more
        else:
            return False
        if frame.pts > place.last:
            return False
        found = tuple(seen) == place.lumas
        known = self.comes_again or not set(seen).isdisjoint(place.lumas)
        if exactly:
            found = found and len(set(seen)) > 1
        elif last and known and self.reading.has_lost(place):
            found = True
        if found:
            self.reading.count_from(place)
        return found


@dataclass(eq=False)
class PipeSource(FrameSource):
    """A source that can be read once only: it does not go back; the spool takes packets of other tracks."""

    spool: Spool
    comes_again: ClassVar[bool] = False

    def goes_on(self) -> bool:
        """Whether another frame follows.

        Raises:
            Interrupted: told to stop meanwhile.
        """
        return unless_cancelled("vidcolor-next", self._more, self.cancel)

    def read_on(self) -> None:
        """Have the spool take what is left of the other tracks, now that the picture is made.

        Raises:
            Interrupted: told to stop meanwhile.
        """
        unless_cancelled("vidcolor-spool", self._spool_rest, self.cancel)

    def _spool_rest(self) -> None:
        if self.settings.end is not None:
            deque(self._frames, maxlen=0)  # which ends a little beyond that, whatever may still come
            return
        for packet in other_packets(self.reading.container, self.reading.stream.index, None):
            if self.cancel.is_set():
                return
            self.spool.keep(packet)

    @contextmanager
    def others(self) -> Iterator[tuple[InputContainer, Iterator[Packet[Stream]]]]:
        """The same, of which the packets have been kept."""
        yield self.reading.container, self.spool.packets(self.reading.container)
        self.close()

    def _keep(self, packet: Packet[Stream]) -> None:
        self.spool.keep(packet)

    def _start(self, before: Place | None, last: bool) -> None:
        if before is not None and not self._skip_to(before, exactly=False, last=last):
            raise self._gone(before)
