"""Frames of a source from any place in it on, found again exactly."""

from __future__ import annotations

import logging
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import TypeVar

from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from vidcolor.errors import Interrupted, ResumeMismatch
from vidcolor.frames import Frame
from vidcolor.media.opening import pick_video, sane_rate
from vidcolor.media.repair import DecodeReport
from vidcolor.packing import Place
from vidcolor.spool import Spool
from vidcolor.stages.decode import DecodeSettings, decode, other_packets
from vidcolor.threads import unless_cancelled

log = logging.getLogger(__name__)

T = TypeVar("T")
WITNESSES = 8
"""Frames whose luma has to be that of the place which is sought."""
_GUESSED_TIMES = "avi"
_BEFORE = 1
"""Seconds before that place where reading begins at the latest, so that the witnesses come by."""


class FrameSource:
    """Reads a source in spans that overlap: what is looked at after one span begins the next.

    Args:
        open_it: opens the source anew.
        settings: which frames are wanted.
        ahead: pictures that are looked at after a span.
        cancel: set it, and the search for a place ends.
        spool: of a source that can be read once only: takes the packets of its other tracks.

    Attributes:
        container, stream: as opened last.
        report: what went wrong since reading began or went on.
        sought: whether reading began in mid-film, so that the report is not of all of it.
        ended: whether there is no frame left after the span that was read last.
    """

    container: InputContainer
    stream: VideoStream
    report: DecodeReport

    def __init__(
        self,
        open_it: Callable[[], InputContainer],
        settings: DecodeSettings,
        ahead: int,
        cancel: threading.Event,
        spool: Spool | None = None,
    ) -> None:
        self._cancel = cancel
        self.spool = spool
        self._open_it = open_it
        self._settings = settings
        self.ahead = ahead
        self._base = Fraction(1)
        self._done: int | None = None
        self._carried, self._given = deque[Frame](), deque[Frame]()
        self._recent: deque[Frame] = deque(maxlen=ahead + 1)
        self._count = 0
        self.sought = self.ended = self._opened = False
        self._before: Place | None = None
        self._last: int | None = None  # pts of the frame that was read last
        self._losses: deque[tuple[int, int, int]] = deque()

    def losses(self, last: int) -> tuple[int, int]:
        """Frames that did not decode, or not well, from the film's beginning to the coming of that pts.

        With the source's last frame it is all of them. Later ones come again with whoever goes on there.
        """
        lost, damaged = self.report.lost, self.report.damaged
        while self._losses and self._losses[0][0] < last:
            self._losses.popleft()
        if self._losses and not self.ended:
            _, lost, damaged = self._losses[0]
        before = self._before
        return lost + (before.lost if before else 0), damaged + (before.damaged if before else 0)

    def first(self) -> Frame | None:
        """The first wanted frame of the source; None where there is none.

        Raises:
            Interrupted: told to stop while it was waited for.
        """
        return self._unless_cancelled("vidcolor-first", self._first)

    def _first(self) -> Frame | None:
        self._open(None)
        frame = next(self._frames, None)
        if frame is not None:
            self._carried.append(frame)
            self._base, self._done = frame.time_base, 0
            self._settings = replace(self._settings, orientation=frame.orientation)
        return frame

    def go_to(self, number: int, before: Place | None, *, last: bool = False) -> None:
        """Make ready to read the span of that number, which begins at the place ``before``.

        A source that can be read once only does not go back. ``last``: no later span is finished.

        Raises:
            ResumeMismatch: the frame that it has to follow is not in the source.
            Interrupted: told to stop meanwhile.
        """
        if self._done == number:
            return
        self._unless_cancelled("vidcolor-seek", lambda: self._start(before, last))
        self._done = number

    def span(self, frames: int) -> Iterator[Frame]:
        """The next frames, and after these the ones to look at, which come again with the next span.

        It may be left early, by as many frames as are looked at.
        """
        self._given, self._carried = self._carried, deque()
        self._recent.clear()
        self._done = None  # until it has been read to its end
        pictures = 0
        for count, frame in enumerate(self._chained(self._given)):
            self._recent.append(frame)
            self._count = count + 1
            pictures += frame.fields if count >= frames else 0
            yield frame
            if pictures >= self.ahead:
                break

    def finish_span(self, number: int, frames: int) -> None:
        """Note that the span of that number is done, with so many frames; ``ended`` is known from here on."""
        beyond = self._count - frames
        if beyond > 0:
            self._carried.extend(list(self._recent)[-beyond:])
        self._recent.clear()
        self._carried.extend(self._given)
        self._given.clear()
        if not self._carried:
            self._carried.extend(frame for frame in [next(self._frames, None)] if frame is not None)
        self.ended = not self._carried
        self._done = number + 1
        if self.ended:
            whole = self._settings.start is None and self._settings.end is None and not self.sought
            self.report.close(self.container, self.stream, whole=whole, end=self._settings.end)

    def goes_on(self) -> bool:
        """Whether another frame follows.

        Raises:
            Interrupted: told to stop meanwhile.
        """
        if not self._carried:
            following = self._unless_cancelled("vidcolor-next", lambda: next(self._frames, None))
            self._carried.extend(frame for frame in [following] if frame is not None)
        return bool(self._carried)

    def read_on(self) -> None:
        """Have the spool take what is left of the other tracks, now that the picture is made.

        Raises:
            Interrupted: told to stop meanwhile.
        """
        if self.spool is not None:
            self._unless_cancelled("vidcolor-spool", self._spool_rest)

    def _spool_rest(self) -> None:
        assert self.spool is not None
        if self._settings.end is not None:
            deque(self._frames, maxlen=0)  # which ends a little beyond that, whatever else may still come
            return
        for packet in other_packets(self.container, self.stream.index, None):
            if self._cancel.is_set():
                return
            self.spool.keep(packet)

    def _unless_cancelled(self, name: str, work: Callable[[], T]) -> T:
        """In a thread of its own: a read that hangs must not keep a signal from ending the job."""
        return unless_cancelled(name, work, self._cancel)

    def close(self) -> None:
        """Close the source."""
        if self._opened:
            self.container.close()
            self._opened = False

    def _chained(self, kept: deque[Frame]) -> Iterator[Frame]:
        while kept:
            yield kept.popleft()
        for frame in self._frames:  # noqa: UP028  # yield from would close it together with the span
            yield frame

    def _start(self, before: Place | None, last: bool) -> None:
        self._before = before
        if self.spool is not None:
            if before is not None:
                if not self._skip_to(before, exactly=False, last=last):
                    raise self._gone(before)
                self._count_from_here()
            return
        if before is None:
            self._open(None)
            return
        # times that are guessed differ after seeking, and of a picture that stands still no frame is known
        blindly = _GUESSED_TIMES in self.container.format.name or len(set(before.lumas)) == 1
        lies_ahead = self._last is not None and self._last < before.last
        if blindly and lies_ahead and self._skip_to(before, exactly=False, last=False):
            self._count_from_here()
            return
        ahead = max(Fraction(_BEFORE), (WITNESSES + 1) / sane_rate(self.stream))
        place = max(before.last * self._base - ahead, Fraction(0))
        for seek in (None,) if blindly else (place, None):
            self._open(seek)
            if self._skip_to(before, exactly=seek is not None, last=last):
                self._count_from_here()
                return
            log.debug("%s: the place to go on from is not found by seeking", self._settings.name)
        raise self._gone(before)

    def _count_from_here(self) -> None:
        self.report.lost = self.report.damaged = 0
        self._losses.clear()
        self.sought = True

    def _gone(self, before: Place) -> ResumeMismatch:
        return ResumeMismatch(
            f"{self._settings.name}: the frame at {before.seconds:.3f} s, after which the job goes on, is "
            "not there any more; begin anew with --restart"
        )

    def _open(self, seek: Fraction | None) -> None:
        self.close()
        self.container = self._open_it()
        self._opened = True
        self.stream = pick_video(self.container, self._settings.name)
        self.stream.thread_type = "AUTO"
        self.report = DecodeReport(video_index=self.stream.index)
        for kept in (self._carried, self._given, self._recent, self._losses):
            kept.clear()
        self.sought = self.ended = False
        self._last = None
        settings = replace(self._settings, seek=seek)
        self._frames = self._only_frames(decode(self.container, self.stream, settings, self.report))

    def _only_frames(self, items: Iterator[Frame | Packet[Stream]]) -> Iterator[Frame]:
        for item in items:
            if isinstance(item, Frame):
                self._losses.append((item.pts, self.report.lost, self.report.damaged))
                self._last = item.pts
                yield item
            elif self.spool is not None:
                self.spool.keep(item)

    def _skip_to(self, place: Place, *, exactly: bool, last: bool) -> bool:
        """Read up to the frame before the place; False where it does not come.

        After seeking it is believed only if the frames before it come by as well, and are not all alike.
        Else, for the ``last``, also where as much damage has come by, which FFmpeg's threads conceal another
        way each time (H.264, MPEG-2, ProRes): a file is known by its fingerprint, a pipe by one such frame.
        """
        seen: deque[int] = deque(maxlen=len(place.lumas))
        for frame in self._chained(self._carried):
            if self._cancel.is_set():
                raise Interrupted
            seen.append(luma_check(frame))
            if frame.pts == place.last:
                if exactly or tuple(seen) == place.lumas:
                    return tuple(seen) == place.lumas and (len(set(seen)) > 1 or not exactly)
                known = self.spool is None or not set(seen).isdisjoint(place.lumas)
                as_much = (place.last, place.lost, place.damaged) in self._losses
                return last and known and as_much and place.lost + place.damaged > 0
            if frame.pts > place.last:
                return False
            self.losses(frame.pts)  # what is counted before it plays no part any more
        return False


def luma_check(frame: Frame) -> int:
    """CRC-32 of a frame's luma codes."""
    return zlib.crc32(frame.luma.tobytes())
