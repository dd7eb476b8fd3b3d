"""Finished films that are asked for again."""

from __future__ import annotations

import os
import re
import threading
from contextlib import suppress
from pathlib import Path

import av
from av.container import InputContainer

from vidcolor.errors import ResumeMismatch, VidcolorError
from vidcolor.manifest import Manifest, describe_options, digest_weights, fingerprint, identify
from vidcolor.marks import KEYS, mark_text
from vidcolor.media.opening import is_image_sequence, open_source, reads_once
from vidcolor.media.streams import pick_video
from vidcolor.options import Options
from vidcolor.result import Result
from vidcolor.weightfiles import find_weights
from vidcolor.workplace import Workplace, part_of
from vidcolor.writing import followed, mark_of

_MARK = re.compile(r"vidcolor [0-9a-f]{32} (\d+)")


def can_resume(name: str) -> bool:
    """Whether a job of this source, where it goes to a film in a file, goes on when it is run again."""
    return os.path.isfile(name) or is_image_sequence(name) or reads_once(name)


def marks_of(target: str, container: InputContainer) -> list[str]:
    """What vidcolor noted about a film that it finished; empty for those of others."""
    marks = [mark_of(Path(target)), *(container.metadata.get(key, "") for key in KEYS)]
    return [mark for mark in marks if mark.startswith("vidcolor ")]


def frames_marked(target: str) -> int:
    """Frames of a film that vidcolor finished, by its mark; 0 without one, for which some have no place."""
    try:
        with open_source(target) as container:
            marks = map(_MARK.match, marks_of(target, container))
            return next((int(mark[1]) for mark in marks if mark), 0)
    except (VidcolorError, OSError, ValueError, av.FFmpegError):
        return 0


def _is_of(left: Workplace, own_print: str) -> bool:
    """Whether what is left of a job is of that film, and not of another under the same name."""
    try:
        manifest = Manifest.read(left.manifest_path)
    except ResumeMismatch:
        return False
    return left.empty if manifest is None else manifest.fingerprint == own_print


def _tidy_up(target: str, left: Workplace, own_print: str) -> None:
    """Take away what is left of a job that was ended between giving the film its name and tidying up."""
    places = [left, Workplace(Path(target))]  # one that works elsewhere has a lock beside the target, too
    if any(place.busy() for place in places):
        return
    for place in places:
        if place.folder.is_dir() and _is_of(place, own_print):
            with suppress(OSError):  # first, for the folder says that it is there
                part_of(followed(Path(target)), target).unlink(missing_ok=True)
            place.remove()


def already_done(
    name: str, target: str, options: Options, cancel: threading.Event | None = None
) -> Result | None:
    """What is known of a finished target that was made from the same source with the same options.

    What came through a pipe is known only where its job had no time to tidy up. Nothing is known of anything
    once ``cancel`` is set: all of the target has to be read.
    """
    if options.overwrite or options.restart:
        return None
    left = Workplace(Path(target), options.work_dir)
    try:
        if not (os.path.isfile(target) and can_resume(name)):
            return None
        manifest = Manifest.read(left.manifest_path) if reads_once(name) else None
        if reads_once(name) and manifest is None:
            return None
        with open_source(target) as container:
            marks = marks_of(target, container)
            if not marks:
                return None
            # the whole file is read only where there is reason to: it may have been cut off since
            stream = pick_video(container, target)
            frames = 0
            for packet in container.demux(stream):
                if cancel is not None and cancel.is_set():
                    return None
                frames += packet.size > 0
    except (VidcolorError, OSError, ValueError, av.FFmpegError):
        return None
    weights = digest_weights(find_weights(options.weights))
    source = manifest.source if manifest is not None else identify(name)
    own_print = fingerprint(source, describe_options(options), weights)
    own = mark_text(own_print, frames)
    losses = re.compile(re.escape(own) + r"(?: lost (\d+))?(?: silent (\d+))?")
    found = next(filter(None, map(losses.fullmatch, marks)), None)
    if found is None:
        return None
    _tidy_up(target, left, own_print)
    return Result(
        source=name,
        target=target,
        frames=frames,
        lost=int(found[1] or 0),
        silent=int(found[2] or 0),
        damaged=0,
        already=True,
    )
