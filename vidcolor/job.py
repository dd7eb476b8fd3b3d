"""One job from source to target: checks first, works beside the target, renames at the end."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from vidcolor.checkpoint import load_generator
from vidcolor.errors import EXIT_DONE, EXIT_LOSSES, InputError, Interrupted, UsageError
from vidcolor.film import Film
from vidcolor.frames import Frame
from vidcolor.media.opening import STDIN, open_source, pick_video
from vidcolor.media.repair import DecodeReport
from vidcolor.options import Options
from vidcolor.pipeline import Colouring, run
from vidcolor.scan import scan_source
from vidcolor.stages.decode import DecodeSettings, decode
from vidcolor.stages.predict import Predictor, choose_batch_size, resolve_device, resolve_precision
from vidcolor.target import Target, prepare_target
from vidcolor.temporal import Anchor, Key
from vidcolor.threads import unless_cancelled

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a job is.

    Attributes:
        frames: coloured so far.
        total: frames in all, where the source says or lets guess; else None.
        position: seconds of the source at the last coloured frame.
        duration: seconds of the source, where known.
        fps: frames a second of work so far.
    """

    frames: int
    total: int | None
    position: float
    duration: float | None
    fps: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a finished job has done.

    Attributes:
        frames: coloured frames in the target.
        lost: frames of the source that could not be decoded.
        damaged: frames that decoded with visible damage.
        seconds: of work.
        device, precision: what the generator ran on.
        codec: the encoder's name.
    """

    source: str
    target: str
    frames: int
    lost: int
    damaged: int
    seconds: float
    device: str
    precision: str
    codec: str

    @property
    def exit_code(self) -> int:
        """0, or 7 where frames were lost."""
        return EXIT_LOSSES if self.lost else EXIT_DONE


def colorize(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    options: Options | None = None,
    progress: Callable[[Progress], None] | None = None,
    *,
    cancel: threading.Event | None = None,
    output_fd: int = 1,
) -> Result:
    """Colour one film.

    Args:
        source: a file, ``-`` for standard input, an image, or an image sequence (``scan_%05d.png``).
        target: a file, whose suffix names the container, or ``-``.
        options: see :class:`vidcolor.options.Options`.
        progress: called now and then from the calling thread.
        cancel: set it (from a signal handler, say) to end the job early and cleanly.
        output_fd: file descriptor that the target ``-`` stands for.

    Raises:
        VidcolorError: one of :mod:`vidcolor.errors`; nothing is then left under the target's name,
            and what was there before still is.
    """
    options = options or Options()
    cancel = cancel or threading.Event()
    name = os.fspath(source)
    place = prepare_target(name, os.fspath(target), options, output_fd)
    try:
        return _colorize(name, place, options, progress, cancel)
    except BaseException:
        place.discard()
        raise


def _colorize(
    name: str,
    place: Target,
    options: Options,
    progress: Callable[[Progress], None] | None,
    cancel: threading.Event,
) -> Result:
    device = resolve_device(options.device)
    dtype = resolve_precision(options.precision, device)
    predictor = Predictor(load_generator(options.weights), device, dtype)

    def open_it() -> InputContainer:
        return open_source(
            name,
            allow_references=options.allow_references,
            allow_network=options.allow_network,
            framerate=options.framerate,
        )

    container = unless_cancelled("vidcolor-open", open_it, cancel)
    if container is None:
        raise Interrupted(signal.SIGINT)
    stream = pick_video(container, name)
    stream.thread_type = "AUTO"
    job = _Job(name, container, stream, place, options, predictor, progress, open_it)
    result = job.run(cancel, device_name=str(device), precision=str(dtype).removeprefix("torch."))
    container.close()
    return result


@dataclass
class _Job:
    name: str
    container: InputContainer
    stream: VideoStream
    place: Target
    options: Options
    predictor: Predictor
    progress: Callable[[Progress], None] | None
    reopen: Callable[[], InputContainer]
    started: float = field(default_factory=time.monotonic)

    def run(self, cancel: threading.Event, *, device_name: str, precision: str) -> Result:
        options = _on_its_clock(self.options, self.container)
        start, duration = options.start, options.duration
        settings = DecodeSettings(
            start=start,
            end=None if duration is None else (start or Fraction(0)) + duration,
            deinterlace=options.deinterlace,
            name=self.name,
            seekable=self.name != STDIN and not Path(self.name).is_fifo(),
        )
        anchors = self._anchors(settings, cancel)
        report = DecodeReport(video_index=self.stream.index)
        place = self.place
        film = Film(
            self.container,
            self.stream,
            place.address,
            place.name,
            place.muxer,
            options,
            seekable=place.seekable,
        )
        device = self.predictor.device
        colouring = Colouring(
            predictor=self.predictor,
            temporal=options.temporal,
            smoothing=options.smoothing,
            anchors=anchors,
            render_size=options.render_size,
            batch_size=lambda shape: choose_batch_size(options.batch_size, shape, device),
            progress=self._tell,
            cancel=cancel,
            flush_on_cancel=place.working is None,
        )
        items = decode(self.container, self.stream, settings, report)
        try:
            frames = run(items, colouring, film)
        except BaseException:
            _close_quietly(film)
            raise
        if cancel.is_set():
            raise Interrupted(signal.SIGINT)
        self._check(frames, report, settings.end)
        self.place.commit()
        return Result(
            source=self.name,
            target=self.place.name,
            frames=frames,
            lost=report.lost,
            damaged=report.damaged,
            seconds=time.monotonic() - self.started,
            device=device_name,
            precision=precision,
            codec=film.codec,
        )

    def _anchors(self, settings: DecodeSettings, cancel: threading.Event) -> Mapping[Key, Anchor]:
        if not self.options.match_shots:
            return {}
        if not settings.seekable:
            raise UsageError(f"{self.name}: --match-shots reads its source twice; a pipe cannot be")
        table = scan_source(self.reopen, settings, self.options.render_size, self.predictor, cancel)
        return table.anchors

    def _check(self, frames: int, report: DecodeReport, end: Fraction | None) -> None:
        whole = self.options.start is None and end is None
        report.close(self.container, self.stream, whole=whole, end=end)
        if frames == 0:
            if self.options.start is not None and report.video_packets:
                raise InputError(f"{self.name}: ends before --start")
            hint = "; from a pipe an mp4 needs its index at the front (+faststart)" * (self.name == STDIN)
            raise InputError(f"{self.name}: no frame of it decodes{hint}")
        if report.lost:
            log.warning("%s: %d frames could not be decoded; the rest is coloured", self.name, report.lost)
        if report.damaged:
            log.warning("%s: %d frames decoded with damage", self.name, report.damaged)

    def _tell(self, last: Frame, count: int) -> None:
        if self.progress is None:
            return
        duration = _duration(self.container, self.stream, self.options)
        rate = self.stream.average_rate
        whole = self.options.start is None and self.options.duration is None
        counted = self.stream.frames if whole else 0
        total = counted or (round(duration * float(rate)) if duration and rate else 0)
        spent = max(time.monotonic() - self.started, 1e-6)
        self.progress(
            Progress(
                frames=count,
                total=max(total, count) or None,
                position=float(last.seconds),
                duration=duration,
                fps=count / spent,
            )
        )


def _on_its_clock(options: Options, container: InputContainer) -> Options:
    """Count --start from where the source begins: broadcasts begin hours after zero."""
    begin = max(container.start_time or 0, 0)
    if not begin or (options.start is None and options.duration is None):
        return options
    return replace(options, start=(options.start or Fraction(0)) + Fraction(begin, av.time_base))


def _duration(container: InputContainer, stream: VideoStream, options: Options) -> float | None:
    if options.duration is not None:
        return float(options.duration)
    if stream.duration and stream.time_base:
        whole = float(stream.duration * stream.time_base)
    elif container.duration:
        whole = container.duration / av.time_base
    else:
        return None
    return max(0.0, whole - float(options.start or 0))


def _close_quietly(film: Film) -> None:
    """Close after a failure: what the reader of a pipe has got so far stays playable."""
    try:
        film.close()
    except (OSError, av.FFmpegError) as error:
        log.debug("closing the unfinished output: %s", error)
