"""How a segment ends: its encoder is emptied and it is kept, while the next one is begun where that pays."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from av.packet import Packet
from av.stream import Stream

from vidcolor.encoding import Encoding, Part
from vidcolor.frames import Codes, Frame
from vidcolor.framesource import luma_check
from vidcolor.packing import Coded, Place, Seen, Segment


class SegmentWriter:
    """The pipeline's writer: encodes a segment and keeps its packets.

    Args:
        encoding: of the film.
        part: encodes this segment.

    Attributes:
        seen: its frames so far.
    """

    def __init__(self, encoding: Encoding, part: Part) -> None:
        self._part = part
        self.colour = encoding.colour
        self._packets: list[Packet[Stream]] = []
        self.seen: list[Seen] = []

    def begin(self, first: Frame) -> None:
        """The encoder is open already."""

    def write_packet(self, packet: Packet[Stream]) -> None:
        """Other tracks are read anew when the film is put together."""

    def write_frame(self, frame: Frame, cb: Codes, cr: Codes) -> None:
        """Encode a frame."""
        self.seen.append(Seen(pts=frame.pts, time_base=frame.time_base, luma=luma_check(frame)))
        self._packets += self._part.encode(frame, cb, cr)

    def finish(self) -> None:
        """The encoder is emptied by :meth:`end`, when the pipeline has gone on."""

    def abandon(self) -> None:
        """Close the encoder as it is: the segment is not wanted."""
        self._part.close()

    def end(self, number: int, after: Place) -> Segment:
        """Empty the encoder and close it; returns the segment of that number, which ends there."""
        try:
            packets = [p for p in (*self._packets, *self._part.flush()) if p.size]
            coded = Coded(
                data=tuple(map(memoryview, packets)),
                pts=tuple(int(p.pts or 0) for p in packets),
                durations=tuple(int(p.duration or 0) for p in packets),
                keys=tuple(bool(p.is_keyframe) for p in packets),
                extradata=self._part.extradata,
            )
        finally:
            self._part.close()
        return Segment(number=number, frames=len(self.seen), delay=coded.delay, coded=coded, after=after)


class Endings:
    """Ends segments, one at a time, so that two encoders are open at most.

    Leaving ``with`` waits for the last of them: after an interruption it is kept, too.

    Args:
        found: files of finished segments by number; what ends is added.
        beside: in a thread of its own, beside what follows. With a GPU, only encoders load the processors,
            and none would be at work while one is emptied; on a CPU the second one would take its memory
            (0.4 GB at 1080p) for no gain.
    """

    def __init__(self, found: dict[int, Path], *, beside: bool) -> None:
        self._found, self._beside = found, beside
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vidcolor-ending")
        self._ending: Future[None] | None = None

    def add(self, number: int, end: Callable[[], Path]) -> None:
        """Have ``end`` called, which gives the file of the segment of that number.

        Raises:
            Exception: what the one before raised, if it did; ``end`` is then not called.
        """
        self.wait()
        self._ending = self._thread.submit(self._end, number, end)
        if not self._beside:
            self.wait()

    def _end(self, number: int, end: Callable[[], Path]) -> None:
        self._found[number] = end()

    def check(self) -> None:
        """Raise what went wrong so far, if anything did."""
        if self._ending is not None and self._ending.done():
            self._ending.result()

    def wait(self) -> None:
        """Wait until what was added has ended; raises what that raised."""
        if self._ending is not None:
            self._ending.result()

    def __enter__(self) -> Endings:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()
        if kind is None:
            self.wait()
