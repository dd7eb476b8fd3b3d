"""How a segment ends: its encoder is emptied and it is kept, while the next one is begun."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from av.packet import Packet
from av.stream import Stream

from vidcolor.encoding import Encoding, SegmentEncoder
from vidcolor.frames import Codes, Frame
from vidcolor.packing import Coded, Place, Seen, Segment


class SegmentWriter:
    """The pipeline's writer: encodes a segment and keeps its packets.

    Args:
        encoding: of the film.
        open_encoder: opens what encodes this segment; called when its first frame has been coloured.

    Attributes:
        seen: its frames so far.
    """

    def __init__(self, encoding: Encoding, open_encoder: Callable[[], SegmentEncoder]) -> None:
        self._open_encoder = open_encoder
        self._encoder: SegmentEncoder | None = None
        self.colour = encoding.colour
        self._packets: list[Packet[Stream]] = []
        self.seen: list[Seen] = []

    def begin(self, first: Frame) -> None:
        """The encoder is opened later: that of the segment before may still be at work."""

    def write_packet(self, packet: Packet[Stream]) -> None:
        """Other tracks are read anew when the film is put together."""

    def write_frame(self, frame: Frame, cb: Codes, cr: Codes) -> None:
        """Encode a frame."""
        self.seen.append(Seen.of(frame))
        if self._encoder is None:
            self._encoder = self._open_encoder()
        self._packets += self._encoder.encode(frame, cb, cr)

    def finish(self) -> None:
        """The encoder is emptied by :meth:`end`, when the pipeline has gone on."""

    def abandon(self) -> None:
        """Close the encoder as it is, if it is open: the segment is not wanted."""
        if self._encoder is not None:
            self._encoder.close()

    def end(self, number: int, after: Place) -> Segment:
        """Empty the encoder and close it; returns the segment of that number, which ends there."""
        # whoever waits for the end wants the encoder's memory, and packets keep that, too
        encoder, self._encoder = self._encoder, None
        begun, self._packets = self._packets, []
        assert encoder is not None  # there is no segment without frames
        try:
            packets = [p for p in (*begun, *encoder.flush()) if p.size]
            coded = Coded(
                data=tuple(map(memoryview, packets)),
                pts=tuple(int(p.pts or 0) for p in packets),
                durations=tuple(int(p.duration or 0) for p in packets),
                keys=tuple(bool(p.is_keyframe) for p in packets),
                extradata=encoder.extradata,
            )
        finally:
            encoder.close()
        return Segment(number=number, frames=len(self.seen), delay=coded.delay, coded=coded, after=after)


class Endings:
    """Ends segments, one at a time, in a thread of its own, beside what follows.

    Leaving ``with`` waits for the last of them: after an interruption it is kept, too.

    Args:
        found: files of finished segments by number; what ends is added.
        two_encoders: whether the next segment's encoder is open meanwhile. With a GPU, only encoders load the
            processors, and none would be at work while one is emptied; on a CPU the second one would take its
            memory (0.4 GB at 1080p) for no gain.
    """

    def __init__(self, found: dict[int, Path], *, two_encoders: bool) -> None:
        self._found, self._two_encoders = found, two_encoders
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vidcolor-ending")
        self._ending: Future[None] | None = None

    def add(self, number: int, end: Callable[[], Path]) -> None:
        """Have ``end`` called, which gives the file of the segment of that number.

        Raises:
            Exception: what the one before raised, if it did; ``end`` is then not called.
        """
        self.wait()
        self._ending = self._thread.submit(self._end, number, end)

    def make_room(self) -> None:
        """Wait until another encoder may be opened; in any thread.

        Raises:
            Exception: what went wrong with the segment before.
        """
        if not self._two_encoders:
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
