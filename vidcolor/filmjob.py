"""One film from source to target: works beside the target, renames at the end."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from av.container import InputContainer

from vidcolor.devices import Device, model_of, resolve_device
from vidcolor.encoding import Encoding
from vidcolor.errors import InputError, Interrupted, UsageError
from vidcolor.film import rehearse
from vidcolor.finished import can_resume
from vidcolor.framesource import AHEAD, FrameSource
from vidcolor.logs import silenced
from vidcolor.machine import describe_machine
from vidcolor.making import Order, Tools
from vidcolor.manifest import Manifest, describe_options, digest_weights, identify
from vidcolor.media.opening import is_picture, reads_once
from vidcolor.media.streams import pick_video
from vidcolor.options import Options
from vidcolor.pipeline import run
from vidcolor.predictors import cached_predictor, make_predictor, predictor_without_torch
from vidcolor.reading import Reading, nothing_decodes, on_its_clock, open_as_asked
from vidcolor.result import Counts, Meter, Progress, Result, frame_count
from vidcolor.resumable import ResumableJob, frames_a_segment
from vidcolor.scan import scan_source
from vidcolor.stages.decode import DecodeSettings
from vidcolor.stages.predict import Predictor, choose_batch_size, resolve_precision
from vidcolor.streaming import FilmInOnePiece, StreamedFilm
from vidcolor.target import Target, holds_one
from vidcolor.temporal import Anchor, Key
from vidcolor.threads import unless_cancelled
from vidcolor.writing import stamp

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class FilmJob:
    """One call of :func:`~vidcolor.job.colorize`, its target prepared.

    Attributes:
        weights: the generator's file.
        identity: by which the source's file is known to have stayed the same; empty before it is opened.
    """

    name: str
    target: Target
    options: Options
    weights: Path
    progress: Callable[[Progress], None] | None
    cancel: threading.Event
    identity: tuple[int, ...] = ()

    def run(self) -> Result:
        """Colour the film.

        Raises:
            VidcolorError: one of :mod:`vidcolor.errors`.
        """
        if len(self.options.devices) > 1 and self.options.ray is None:
            from vidcolor.processes import refuse_daemon  # here, because one process has no use for it

            refuse_daemon()
        predictor = self._predictor()
        container = unless_cancelled("vidcolor-open", self.open, self.cancel)
        stream = pick_video(container, self.name)
        options = on_its_clock(self.options, container, self.name)
        settings = DecodeSettings(
            start=options.start,
            end=options.end,
            deinterlace=options.deinterlace,
            name=self.name,
            seekable=not reads_once(self.name),
        )
        meter = Meter(container=container, stream=stream, options=options, callback=self.progress)
        order = Order(
            name=self.name, target=self.target, options=options, settings=settings, weights=self.weights
        )
        tools = Tools(
            predictor=predictor,
            open_it=(lambda: container) if reads_once(self.name) else self.open,
            anchors=cache(lambda: self._anchors(settings, predictor)),
            meter=meter,
            cancel=self.cancel,
        )
        if self.target.is_film and can_resume(self.name):
            if not reads_once(self.name):
                container.close()
            counts, codec = self._in_segments(order, tools)
        else:
            counts, codec = self._in_one_go(order, tools)
            container.close()
        if counts.lost:
            lost = frame_count(counts.lost)
            log.warning("%s: %s could not be decoded; the rest is coloured", self.name, lost)
        if counts.damaged:
            log.warning("%s: %s decoded with damage", self.name, frame_count(counts.damaged))
        return Result(
            source=self.name,
            target=self.target.name,
            **vars(counts),
            seconds=meter.spent,
            device=str(predictor.device),
            precision=predictor.precision,
            engine=predictor.engine,
            codec=codec,
        )

    def _predictor(self) -> Predictor:
        single, weights = self._is_single, self.weights
        if not single:  # it may wait for another process
            find = partial(predictor_without_torch, weights, self.options)
            found = unless_cancelled("vidcolor-load", find, self.cancel)
            if found is not None:
                return found
        device = self._device()
        precision = resolve_precision(self.options.precision, device, self.options.engine)
        make = cached_predictor if single and not self.target.is_film else partial(make_predictor, few=single)
        return make(weights, device, precision, self.options.engine)

    def _device(self) -> Device:
        """The first of the devices, which are alike."""
        asked = self.options.device
        devices = [resolve_device(name) for name in self.options.devices]
        if len({one.type for one in devices}) > 1:
            raise UsageError(f"--device {asked}: all have to be of one kind; colours would differ")
        models = list(dict.fromkeys(map(model_of, devices)))
        if len(models) > 1 and not self.options.accept_drift:
            raise UsageError(
                f"--device {asked}: the last digits of {' and '.join(models)} differ; name GPUs of one "
                "model, or take it with --accept-drift"
            )
        return devices[0]

    def open(self) -> InputContainer:
        """The source, opened anew.

        Raises:
            InputError: it cannot be, or is not what it was the first time.
        """
        self._require_the_same_source()
        return open_as_asked(self.name, self.options)

    def _require_the_same_source(self) -> None:
        """Picture and sound are read one after the other: they have to be those of one film."""
        if not os.path.isfile(self.name):
            return
        now = stamp(self.name)
        self.identity = self.identity or now
        if now != self.identity:
            raise InputError(
                f"{self.name}: has changed while it was coloured; when it is whole, begin anew with --restart"
            )

    def _anchors(self, settings: DecodeSettings, predictor: Predictor) -> Mapping[Key, Anchor]:
        if not self.options.match_shots:
            return {}
        size = self.options.render_size
        # a source that hangs must not keep a signal from ending the job
        table = unless_cancelled(
            "vidcolor-scan",
            lambda: scan_source(self.open, settings, size, predictor, self.cancel),
            self.cancel,
        )
        return table.anchors

    def _batch_size(self, predictor: Predictor) -> int:
        """Pictures a batch, whatever their shape: the same for a film in a file and through a pipe."""
        if self._is_single:
            return 1
        size = self.options.render_size
        return choose_batch_size(self.options.batch_size, (size, size * 16 // 9), predictor.device)

    @property
    def _is_single(self) -> bool:
        """Whether one picture is all that there is to colour."""
        return is_picture(self.name) or holds_one(self.target.name, self.target.muxer)

    def _in_segments(self, order: Order, tools: Tools) -> tuple[Counts, str]:
        predictor = tools.predictor
        batch = self._batch_size(predictor)
        wanted = Manifest(
            source=identify(self.name),
            options=describe_options(self.options),
            weights=digest_weights(order.weights),
            machine=describe_machine(predictor.device, predictor.precision, predictor.engine, batch),
            segment_frames=0,
        )
        return ResumableJob(order=order, tools=tools, wanted=wanted).run()

    def _rehearse(self, order: Order) -> None:
        """Refuse before a scan, which takes long, what the target cannot be."""
        source = FrameSource(self.open, order.settings, AHEAD, self.cancel)
        with silenced():
            first = source.first()
            with source.reading.container as container:
                if first is not None:  # else the scan will say so
                    rehearse(container, Encoding(source.reading, first, order.target, order.options))

    def _in_one_go(self, order: Order, tools: Tools) -> tuple[Counts, str]:
        """To a pipe or to pictures, or from the network: nothing is kept if it ends early."""
        options, target = order.options, self.target
        container = tools.meter.container
        if options.match_shots:
            self._rehearse(order)
        tools.anchors()  # before there is a target
        target.create()
        reading = Reading(container, order.settings)
        if options.start is not None and target.in_segments and container.streams.subtitles:
            log.warning("subtitles that begin before --start may be missing from a film that is not kept")
        colouring = tools.colouring(
            options,
            self._batch_size(tools.predictor),
            tools.meter.tell,
            segment_frames=frames_a_segment if target.in_segments else None,
            flush_on_cancel=target.working is None,
        )
        kind: type[StreamedFilm | FilmInOnePiece] = StreamedFilm if target.in_segments else FilmInOnePiece
        with kind(reading, target, options) as writer:
            frames = run(reading.items, colouring, writer)
            if self.cancel.is_set():
                raise Interrupted
        reading.end()
        if frames == 0:
            raise nothing_decodes(self.name, options, reading)
        target.commit()
        report, silent = reading.report, writer.film.silent
        counts = Counts(frames=frames, lost=report.lost, damaged=report.damaged, silent=silent)
        return counts, writer.encoding.plan.codec
