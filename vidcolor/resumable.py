"""A film that goes to a file, in segments: what is finished stays, the same command goes on from there."""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vidcolor.assembly import assemble
from vidcolor.errors import Interrupted, OutputError, ResumeMismatch
from vidcolor.film import Film, rehearse
from vidcolor.frames import Frame
from vidcolor.framesource import AHEAD, FrameSource, PipeSource
from vidcolor.logs import silenced
from vidcolor.making import Maker, Order, Tools
from vidcolor.manifest import PROCESSORS, Manifest, identify_pipe, refuse_drift
from vidcolor.marks import losses_of, mark_text
from vidcolor.media.opening import reads_once
from vidcolor.media.processors import goes_anywhere
from vidcolor.media.quality import LOSSLESS
from vidcolor.options import ONNX_RUNTIME
from vidcolor.packing import Coded, Place
from vidcolor.reading import nothing_decodes
from vidcolor.result import Counts, clock, share_done
from vidcolor.segments import FinishedSegments, SegmentStore, count_frames, up_to_first_missing
from vidcolor.spool import Spool
from vidcolor.stages.predict import engines_installed
from vidcolor.torchthreads import torch_threads
from vidcolor.workplace import Workplace, part_of

log = logging.getLogger(__name__)

_MOST_FRAMES, _FEWEST_FRAMES = 240, 16
_SEGMENT_BYTES = 768 << 20
"""Luma and chroma, before compression, that a segment holds at most."""


def frames_a_segment(first: Frame) -> int:
    """How many frames of this size make a segment."""
    frames = max(_FEWEST_FRAMES, min(_MOST_FRAMES, _SEGMENT_BYTES // max(1, first.luma.nbytes * 3)))
    return frames & ~1  # H.264 numbers key frames in turns of two: neighbours at a join must differ


@dataclass(kw_only=True)
class ResumableJob:
    """One film, made in segments that are kept until it is whole."""

    order: Order
    tools: Tools
    wanted: Manifest
    """The manifest with which it would begin now, but for what the first frame tells."""
    _begun: bool = False
    """Whether anything of it is made, or what was there before cleared away."""

    def run(self) -> tuple[Counts, str]:
        """Make the film; what became of its source, and the encoder's name.

        Raises:
            VidcolorError: nothing finished is lost.
        """
        final = self.order.target.final
        if final is None:
            raise ValueError("only a file of its own can be made in segments")
        work, beside = Workplace(final, self.order.options.work_dir), Workplace(final)
        with ExitStack() as locks:
            locks.enter_context(work.held())
            if work.folder != beside.folder:  # others may work elsewhere on the same target
                try:
                    locks.enter_context(beside.held())
                except BaseException:
                    work.remove_if_empty()
                    raise
                locks.callback(beside.remove_if_empty)
            try:
                self.order.target.require_free()
                made = self._make(work)
            except BaseException as error:
                self.order.target.discard()
                unwanted = self.order.target.aside or (self._begun and not self.order.options.resume)
                if unwanted or work.empty:
                    work.remove()
                elif isinstance(error, Interrupted):
                    self._say_stopped(work)
                raise
            work.remove()
        return made

    def _say_stopped(self, work: Workplace) -> None:
        try:
            segments = up_to_first_missing(SegmentStore(work.folder, self.order.target.name).glance())
        except OSError as error:
            log.debug("%s: cannot be listed: %r", work.folder, error)
            return
        at = clock(segments[-1].seconds) if segments else "the beginning"
        again = self.order.options.again
        log.info("%s: stopped; %s goes on from %s", self.order.target.name, again, at)

    def _make(self, work: Workplace) -> tuple[Counts, str]:
        with ExitStack() as resources:
            given = self.tools.open_it, self.order.settings, AHEAD, self.tools.cancel
            source = FrameSource(*given)
            if reads_once(self.order.name):
                source = PipeSource(*given, resources.enter_context(Spool(work.folder)))
            return self._make_of(source, work)

    def _make_of(self, source: FrameSource, work: Workplace) -> tuple[Counts, str]:
        first, reading = source.first(), source.reading
        if first is None:
            reading.end(whole=False)
            raise nothing_decodes(self.order.name, self.order.options, reading)
        self.tools.meter.container, self.tools.meter.stream = reading.container, reading.stream
        self._warn_of_room(work, first)
        manifest, found = self._manifests(work, source, first)
        with torch_threads(int(manifest.machine["torch threads"])):
            maker = Maker(
                order=self.order, tools=self.tools, work=work, source=source, first=first, manifest=manifest
            )
            rehearse(reading.container, maker.encoding)
            codec = maker.encoding.plan.codec
            self._require_processors(manifest, codec)
            self._begun = True  # nothing is cleared away for what cannot be made
            if found is None:
                work.clear()
            if manifest != found:
                manifest.write(work.manifest_path)
            self._find_finished(maker.finished)
            self._have_workers_make(maker)
            paths, last = maker.make_all()
            if isinstance(source, PipeSource):
                self._require_the_end(source, paths, last)
                source.read_on()
        silent = self._put_together(maker, paths, last)
        return Counts(frames=last.frames, lost=last.lost, damaged=last.damaged, silent=silent), codec

    def _have_workers_make(self, maker: Maker) -> None:
        """Have all of it made by several, if that is asked for."""
        if self.order.options.ray is not None:
            from vidcolor.cluster import make_on_cluster  # with torch, which one alone may do without

            make_on_cluster(maker)
        elif len(self.order.options.devices) > 1:
            from vidcolor.processes import make_in_processes

            make_in_processes(maker)

    def _find_finished(self, finished: FinishedSegments) -> None:
        """Look for finished segments, and say from where the job goes on, if there are any."""
        finished.find()
        if finished.files:
            seen = {number: SegmentStore.describe(path) for number, path in finished.files.items()}
            begun = up_to_first_missing(seen)  # workers may have made others after a missing one
            share = share_done(count_frames(seen), self.tools.meter.total())
            at = clock(begun[-1].seconds if begun else 0.0)
            log.info("%s: resuming at %s%s", self.order.target.name, at, share)

    def _require_processors(self, manifest: Manifest, codec: str) -> None:
        """Refuse other processors than those on which it was begun where its encoder depends on them."""
        options = self.order.options
        if not (options.accept_drift or goes_anywhere(codec, options.encoder_options)):
            here = {key: self.wanted.machine[key] for key in PROCESSORS}
            now = replace(manifest, machine=manifest.machine | here)
            refuse_drift(self.order.target.name, manifest.differences(now, drift=False))

    def _require_the_end(self, source: PipeSource, paths: list[Path], last: Place) -> None:
        """Where all segments were there: is it the same film that comes through the pipe, and as long?"""
        source.go_to(len(paths), last, last=True)
        if source.goes_on():
            beyond = 0  # frames after the segment: with too few, it had less to look at than it has now
            for path in reversed(paths):
                if beyond >= source.ahead:
                    break
                beyond += SegmentStore.describe(path).frames
                path.unlink()
            raise ResumeMismatch(
                f"{self.order.name}: goes on after {clock(last.seconds)}, where it ended before; run the "
                "same command again, and it is coloured to its end"
            )

    def _warn_of_room(self, work: Workplace, first: Frame) -> None:
        """Say at the start if the disk will hardly hold the segments and the film."""
        options, frames = self.order.options, self.tools.meter.total()
        if not os.path.isfile(self.order.name):
            return  # how large the film will be is anybody's guess
        lossless = options.crf == 0 or options.codec in LOSSLESS
        shown = 2 if options.compare == "side" else 1
        raw = first.luma.nbytes * 3 // 2 * frames
        film = shown * (raw // 2 if lossless else os.stat(self.order.name).st_size)
        needed, free = 2 * film - self._bytes_taken(work), work.free_bytes()
        if free < needed:
            kept = f"; if they do not do, what is finished is kept, and {options.again} goes on"
            log.warning(
                "%s: about %d MB may be needed for segments and film, and %d MB are free%s",
                self.order.target.name,
                -(-needed >> 20),
                free >> 20,
                kept if options.resume else "",
            )

    def _bytes_taken(self, work: Workplace) -> int:
        """What finished segments take already."""
        if work.empty or self.order.options.restart or not self.order.options.resume:
            return 0
        taken = 0
        for path in SegmentStore(work.folder, self.order.target.name).listed():
            with suppress(OSError):  # one that leads to a disk that is gone is named when all are looked for
                taken += path.stat().st_size
        return taken

    def _manifests(
        self, work: Workplace, source: FrameSource, first: Frame
    ) -> tuple[Manifest, Manifest | None]:
        """The one to work by, and that of the unfinished job, if there is one that is wanted and fits."""
        options = self.order.options
        total = self.tools.meter.total()
        wanted = replace(self.wanted, segment_frames=frames_a_segment(first), total=total)
        if isinstance(source, PipeSource):
            wanted = replace(wanted, source=identify_pipe(source.reading.container, first))
        if work.empty or options.restart or not options.resume:
            return wanted, None
        found = Manifest.read(work.manifest_path)
        if found is None:
            if SegmentStore(work.folder, self.order.target.name).listed():
                log.warning("%s: the manifest in %s is lost: begun anew", self.order.target.name, work.folder)
            return wanted, None
        wanted = replace(wanted, machine=wanted.machine | self._settle_auto(found.machine))
        settled = ("torch threads", *PROCESSORS, *(() if options.batch_size else ("batch size",)))
        wanted = replace(wanted, machine=wanted.machine | {key: found.machine[key] for key in settled})
        return found.accept(wanted, self.order.target.name, drift=options.accept_drift), found

    def _settle_auto(self, begun: dict[str, Any]) -> dict[str, Any]:
        """Have ``auto`` mean what it meant where the job was begun, if it can here.

        Returns:
            Engine and precision that the job then has, as a manifest names them.
        """
        options, predictor = self.order.options, self.tools.predictor
        if predictor.device.type == begun["device"] == "cpu":
            if options.precision == "auto" and options.engine != ONNX_RUNTIME:  # which has one alone
                predictor.precision = begun["precision"]
            if options.engine == "auto" and begun["engine"] in engines_installed():
                predictor.engine = begun["engine"]
        return {"engine": predictor.engine, "precision": predictor.precision}

    def _put_together(self, maker: Maker, paths: list[Path], last: Place) -> int:
        """Returns how many tracks of sound were lost."""
        target = self.order.target
        assert target.final is not None
        target.create(part_of(target.final, target.name))
        described = replace(self.wanted, source=maker.manifest.source)  # as who looks for it will do
        mark = mark_text(described.fingerprint, last.frames)
        delay = max(SegmentStore.describe(path).delay for path in paths)
        with maker.source.others() as (container, others):
            try:
                with silenced():
                    film = Film(container, maker.encoding, mark=mark + losses_of(last.lost, 0))
                with closing(film):
                    assemble(film, (self._coded(path) for path in paths), delay, others)
            except OutputError as error:
                if not self.order.options.resume:
                    raise
                again = self.order.options.again
                raise OutputError(
                    f"{error}; all frames are kept in {paths[0].parent}: run {again} again when that is "
                    "mended"
                ) from error
        target.commit(mark + losses_of(last.lost, film.silent))
        return film.silent

    def _coded(self, path: Path) -> Coded:
        if self.tools.cancel.is_set():
            raise Interrupted
        return SegmentStore.read(path).coded
