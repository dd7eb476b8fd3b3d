"""What a job tells while it works and when it is done."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

from av.container import InputContainer
from av.video.stream import VideoStream

from vidcolor.errors import EXIT_DONE, EXIT_LOSSES
from vidcolor.frames import Frame
from vidcolor.media.losses import counted_frames
from vidcolor.media.streams import beginning, sane_rate, shown_length
from vidcolor.options import TORCH, Options


def clock(seconds: float) -> str:
    """Time for people: ``hh:mm:ss``."""
    whole = max(0, int(seconds))
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def frame_count(count: int) -> str:
    """``1 frame``, ``2 frames``."""
    return f"{count} frame" if count == 1 else f"{count} frames"


def share_done(frames: int, total: int) -> str:
    """``, 62 % done``; nothing where the total is not known."""
    return f", {min(100, 100 * frames // total)} % done" if total else ""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a job is.

    Attributes:
        frames: coloured so far, by earlier runs of the same job, too.
        total: frames in all, where the source says or lets guess; else None.
        position: seconds of the source at the last coloured frame.
        duration: seconds of the source, where known.
        fps: frames a second of this run's work so far.
    """

    frames: int
    total: int | None
    position: float
    duration: float | None
    fps: float


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What became of a source.

    Attributes:
        frames: coloured frames in the target.
        lost: frames of the source that could not be decoded.
        damaged: frames that decoded with visible damage.
        silent: tracks of sound of which nothing could be decoded.
    """

    frames: int
    lost: int
    damaged: int
    silent: int = 0


@dataclass(frozen=True, kw_only=True)
class Result(Counts):
    """What a finished job has done.

    Attributes:
        source, target: names, as they were given.
        seconds: of work, of this run.
        device, precision, engine: what the generator ran on, and what computed it.
        codec: the encoder's name.
        already: the target was there, made from the same source with the same options; nothing was done,
            and seconds, device, precision, engine and codec are empty.
    """

    source: str
    target: str
    seconds: float = 0.0
    device: str = ""
    precision: str = ""
    engine: str = ""
    codec: str = ""
    already: bool = False

    @property
    def machine(self) -> str:
        """Device, precision and, if it is not torch, engine."""
        return f"{self.device} ({self.precision}{'' if self.engine == TORCH else f', {self.engine}'})"

    @property
    def exit_code(self) -> int:
        """What the command ends with: 0, or 7 where frames, or all of a track of sound, were lost."""
        return EXIT_LOSSES if self.lost or self.silent else EXIT_DONE


@dataclass(kw_only=True)
class Meter:
    """Turns counts of frames into progress.

    Attributes:
        before: frames of the film before those that are being coloured.
    """

    container: InputContainer
    stream: VideoStream
    options: Options
    callback: Callable[[Progress], None] | None
    before: int = 0
    started: float = field(default_factory=time.monotonic)
    _made: int = 0
    _count: int = 0

    def go_to(self, before: int) -> None:
        """Count from there on: ``before`` frames of the film are done."""
        self._made += self._count
        self.before, self._count = before, 0

    @property
    def spent(self) -> float:
        """Seconds since the job began."""
        return time.monotonic() - self.started

    def total(self) -> int:
        """Frames in all, as far as is known; else 0."""
        duration = self.duration()
        whole = self.options.start is None and self.options.duration is None
        counted = counted_frames(self.stream) if whole else 0
        return counted or (round(duration * float(sane_rate(self.stream))) if duration else 0)

    def tell(self, last: Frame, count: int) -> None:
        """Pass on that ``count`` frames after ``before`` are done, ``last`` the last of them."""
        self._count = count
        if self.callback is None:
            return
        done = self.before + count
        self.callback(
            Progress(
                frames=done,
                total=max(self.total(), done) or None,
                position=float(last.seconds),
                duration=self.duration(),
                fps=(self._made + count) / max(self.spent, 1e-6),
            )
        )

    def tell_of(self, done: int, total: int, duration: float | None) -> None:
        """Pass on that ``done`` frames of the film are done, wherever in it; the source is not asked."""
        if self.callback is None:
            return
        total = max(total, done) if total else 0
        position = (duration or 0.0) * done / total if total else 0.0
        fps = (done - self.before) / max(self.spent, 1e-6)
        self.callback(
            Progress(frames=done, total=total or None, position=position, duration=duration, fps=fps)
        )

    def duration(self) -> float | None:
        """Seconds of the source that are wanted, where known."""
        whole, wanted = shown_length(self.container, self.stream), self.options.duration
        if whole is None:
            return None if wanted is None else float(wanted)
        start = self.options.start
        skipped = Fraction(0) if start is None else start - beginning(self.container, self.stream)
        left = max(0.0, float(whole - skipped))
        return left if wanted is None else min(left, float(wanted))
