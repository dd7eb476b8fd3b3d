"""A source as a job asks for it: opened, read once, with what could not be decoded of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction

from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from vidcolor.errors import InputError, UsageError
from vidcolor.frames import Frame
from vidcolor.media.losses import DecodeReport
from vidcolor.media.opening import open_source, reads_once
from vidcolor.media.streams import beginning, pick_video
from vidcolor.options import Options
from vidcolor.packing import Place
from vidcolor.stages.decode import DecodeSettings, decode


def open_as_asked(name: str, options: Options) -> InputContainer:
    """Open a source as far as the options trust it."""
    return open_source(
        name,
        allow_references=options.allow_references,
        allow_network=options.allow_network,
        framerate=options.framerate,
    )


def on_its_clock(options: Options, container: InputContainer, name: str) -> Options:
    """Count --start from where the source begins.

    Raises:
        UsageError: it is negative.
    """
    if options.start is not None and options.start < 0:
        raise UsageError(f"start {float(options.start):g}: not before 0")
    begin = beginning(container, pick_video(container, name))
    if not begin or (options.start is None and options.duration is None):
        return options
    return replace(options, start=(options.start or Fraction(0)) + begin)


class Reading:
    """Reads a source to its end, from its beginning or from where the settings say.

    Attributes:
        container, stream: as opened.
        items: frames, and packets of other tracks; for whoever does not read ``frames``.
        report: what went wrong since it was opened, or since :meth:`count_from`.
        last: pts of the frame that came last.
    """

    def __init__(self, container: InputContainer, settings: DecodeSettings) -> None:
        self.container, self.stream = container, pick_video(container, settings.name)
        self.stream.thread_type = "AUTO"
        self.report = DecodeReport(video_index=self.stream.index)
        self.items = decode(container, self.stream, settings, self.report)
        self.last: int | None = None
        self._end, self._whole = settings.end, settings.start is None and settings.end is None
        self._before = (0, 0)
        self._losses: deque[tuple[int, int, int]] = deque()  # as each frame came that is not passed yet

    def frames(self, keep: Callable[[Packet[Stream]], None]) -> Iterator[Frame]:
        """Frames alone; ``keep`` takes the packets of other tracks."""
        for item in self.items:
            if isinstance(item, Frame):
                self._losses.append((item.pts, self.report.lost, self.report.damaged))
                self.last = item.pts
                yield item
            else:
                keep(item)

    def end(self, *, whole: bool = True) -> None:
        """There are no more frames: add to the report what is missing, of a ``whole`` film by its packets."""
        self.report.close(self.container, self.stream, whole=whole and self._whole, end=self._end)

    def count_from(self, place: Place) -> None:
        """Take the losses before the place from there."""
        self.report.lost = self.report.damaged = 0
        self._losses.clear()
        self._before = place.lost, place.damaged
        self._whole = False

    def has_lost(self, place: Place) -> bool:
        """Whether as much was lost as at that place when its frame came, and that is not nothing."""
        as_much = (place.last, place.lost, place.damaged) in self._losses
        return as_much and place.lost + place.damaged > 0

    def losses(self, last: int | None) -> tuple[int, int]:
        """Frames that did not decode, and those that decoded badly, from the film's beginning on.

        Later ones are counted again by whoever goes on from there.

        Args:
            last: pts of the frame up to whose coming they count; None: to the end.
        """
        lost, damaged = self.report.lost, self.report.damaged
        while self._losses and last is not None and self._losses[0][0] < last:
            self._losses.popleft()
        if self._losses and last is not None:
            _, lost, damaged = self._losses[0]
        return lost + self._before[0], damaged + self._before[1]


def nothing_decodes(name: str, options: Options, reading: Reading) -> InputError:
    """The error of a source without a frame, which says why if it can."""
    report, format = reading.report, reading.container.format.name
    said = "no frame of it decodes" + "; FFmpeg decodes no animated WebP" * (format == "webp_pipe")
    said += "; in a pipe mp4 needs its index first (+faststart)" * (reads_once(name) and "mp4" in format)
    if report.video_packets and (options.start, options.duration) != (None, None):
        late = options.duration is None or report.last_seen <= (options.start or 0)
        said = "nothing to colour: it ends before --start" if late else f"{said} within the span"
    return InputError(f"{name}: {said}")
