"""How far the job of a target is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vidcolor.errors import InputError
from vidcolor.finished import frames_marked
from vidcolor.manifest import Manifest
from vidcolor.result import clock, frame_count, share_done
from vidcolor.segments import SegmentStore, count_frames, up_to_first_missing
from vidcolor.workplace import Workplace


@dataclass(frozen=True, kw_only=True)
class Status:
    """State of a job.

    Attributes:
        state: ``done``, ``running``, ``stopped``, or ``unmarked``: a file without vidcolor's mark and without
            a job, made by others, or in a container that has no place for the mark.
        frames: finished so far, wherever in the film.
        total: frames in all, as far as is known; else 0.
        position: seconds of the source up to which all frames are finished; 0 where the film is done.
    """

    target: str
    state: str
    frames: int = 0
    total: int = 0
    position: float = 0.0

    def __str__(self) -> str:
        """One line for people."""
        if self.state == "done":
            return f"{self.target}: done"
        if self.state == "unmarked":
            return f"{self.target}: there is no job for it, and it bears no mark of vidcolor"
        share = share_done(self.frames, self.total)
        finished = frame_count(self.frames)
        return f"{self.target}: {self.state} at {clock(self.position)}{share}, {finished} finished"


def job_status(target: str, work_dir: str | None = None) -> Status:
    """Look at the work folder of ``target``; nothing is changed.

    Raises:
        InputError: there is neither a job nor a film, or it cannot be told.
        ResumeMismatch: the job is of another version.
    """
    try:
        try:
            return _status(target, work_dir)
        except FileNotFoundError:  # the job was tidied up while it was looked at
            return _status(target, work_dir)
    except OSError as error:  # a folder that may not be entered, a name too long
        raise InputError(f"{target}: cannot be looked at ({error.strerror})") from error


def _status(target: str, work_dir: str | None) -> Status:
    final = Path(target)
    if final.is_dir():
        raise InputError(f"{target}: is a folder; name the films in it")
    work = Workplace(final, work_dir)
    manifest = Manifest.read(work.manifest_path)
    if manifest is None:
        if os.path.isfile(final):
            with open(final, "rb"):  # have the system say why its mark cannot be read
                pass
            frames = frames_marked(target)
            return Status(target=target, state="done" if frames else "unmarked", frames=frames, total=frames)
        raise InputError(f"{target}: there is no such film, and no job for it")
    seen = SegmentStore(work.folder, target).glance()
    segments = up_to_first_missing(seen)
    return Status(
        target=target,
        state="running" if work.busy() else "stopped",
        frames=count_frames(seen),
        total=manifest.total,
        position=segments[-1].seconds if segments else 0.0,
    )
