"""Decoded pictures on disk: R'G'B' bytes and an index beside them, made once, whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vidcolor.errors import OutputError
from vidcolor.media.processors import processors
from vidcolor.training.screening import DAMAGED, Print, Report, Seen, colourless, print_of
from vidcolor.training.sources import Entry, count, decode_rgb, entries, state_of

log = logging.getLogger(__name__)
Progress = Callable[[int, "int | None"], None]
_FORMAT = 3
"""Raised whenever the same sources would give another cache."""
_MOST_WORKERS = 16
"""Threads that decode, where there are as many processors."""
_AHEAD = 4
"""Pictures in work for each thread."""
_WAITING = "%s: another process is decoding; waiting for it"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a cache is made from; each field changes what is in it.

    Attributes:
        sources: absolute paths of files and folders, in the order in which they are read.
        largest: short side to which bigger pictures are reduced, pixels.
        each_shot: frames taken from each shot of a film.
        gap_seconds: least distance of two frames of a shot.
    """

    sources: tuple[str, ...]
    largest: int
    each_shot: int
    gap_seconds: str
    format: int = _FORMAT

    @property
    def key(self) -> str:
        """A name for the request's files, 16 hexadecimal digits."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:16]

    @property
    def paths(self) -> list[Path]:
        """The sources."""
        return [Path(source) for source in self.sources]


@dataclass(frozen=True, kw_only=True)
class Index:
    """What ``photos-KEY.json`` says.

    Attributes:
        state: of the sources when they were read.
        pixels: name of the file of R'G'B' bytes, which lies in the same folder.
        pictures: name, SHA-256 of the content, height and width of each, in the order of their bytes.
        superseded: places among these of pictures that came again larger.
        left_out, names: as of a :class:`~vidcolor.training.screening.Report`.
    """

    state: str
    pixels: str
    pictures: list[tuple[str, str, int, int]]
    superseded: list[int]
    left_out: dict[str, int]
    names: dict[str, list[str]]

    @property
    def size(self) -> int:
        """Bytes of all pictures."""
        return sum(height * width * 3 for _, _, height, width in self.pictures)


def read_index(path: Path) -> Index | None:
    """The index at ``path`` where it and its pixels are there and whole, else None."""
    try:
        index = Index(**json.loads(path.read_text(encoding="utf-8")))
        whole = (path.parent / index.pixels).stat().st_size == index.size
        fits = all(0 <= place < len(index.pictures) for place in index.superseded)
        told = isinstance(index.left_out, dict) and isinstance(index.names, dict)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return index if whole and fits and told else None


def cached(request: Request, folder: Path, progress: Progress | None) -> tuple[Path, Index]:
    """Path and content of the request's index in ``folder``; decodes where it is missing or out of date.

    Several processes may ask at once: one decodes, the others wait for it.

    Raises:
        InputError: a source cannot be read.
        OutputError: the folder cannot be written, or its disk is full.
    """
    path = folder / f"photos-{request.key}.json"
    state = state_of(request.paths)
    index = read_index(path)
    if index is not None and index.state == state:
        return path, index
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / "lock"):
            index = read_index(path)
            if index is None or index.state != state:
                for left in folder.glob("photos-*.part"):
                    left.unlink()
                index = _build(request, state, path, progress)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return path, index


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the folder's lock, which ends with the process."""
    try:
        import fcntl
    except ImportError:
        with _file_lock(path):
            yield
        return
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.warning(_WAITING, path.parent)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    """The same where there are no POSIX locks, as on Windows."""
    from filelock import FileLock, Timeout  # the command alone needs it

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.warning(_WAITING, path.parent)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _build(request: Request, state: str, path: Path, progress: Progress | None) -> Index:
    total = count(request.paths)
    report, seen, pictures = Report(), Seen(), []
    part = path.with_suffix(".rgb.part")
    written = done = 0
    try:
        with open(part, "wb") as out, warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")  # of odd EXIF and the like, for each file
            for done, picture in enumerate(_screened(request, seen, report), 1):
                if picture is not None:
                    rgb, name, content = picture
                    out.write(rgb.tobytes())
                    written += rgb.size
                    pictures.append((name, content, rgb.shape[0], rgb.shape[1]))
                if progress:
                    progress(done, total)
            _flush(out)
        pixels = f"photos-{request.key}-{_digest(pictures)[:16]}.rgb"
        index = Index(
            state=state,
            pixels=pixels,
            pictures=pictures,
            superseded=sorted(seen.superseded),
            left_out=report.left_out,
            names=report.names,
        )
        _publish(part, path, index)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise OutputError(_no_room(path.parent, written, done, total)) from error
        raise
    finally:
        part.unlink(missing_ok=True)
        path.with_suffix(".json.part").unlink(missing_ok=True)
    for old in path.parent.glob(f"photos-{request.key}-*.rgb"):
        if old.name != pixels:
            with suppress(PermissionError):  # Windows, where a run has it mapped; the next one takes it away
                old.unlink(missing_ok=True)
    return index


def _publish(part: Path, path: Path, index: Index) -> None:
    """Give the pixels their name, then the index, which alone makes them a cache."""
    text = path.with_suffix(".json.part")
    with open(text, "w", encoding="utf-8") as out:
        json.dump(asdict(index), out)
        out.flush()
        os.fsync(out.fileno())
    pixels = path.parent / index.pixels
    try:
        os.replace(part, pixels)
    except PermissionError:  # Windows, where a run has mapped what is there: the same, if it is whole
        if not pixels.is_file() or pixels.stat().st_size != index.size:
            raise
    os.replace(text, path)


def _flush(out: BinaryIO) -> None:
    out.flush()
    os.fsync(out.fileno())


def _digest(pictures: list[tuple[str, str, int, int]]) -> str:
    return hashlib.sha256(json.dumps(pictures).encode()).hexdigest()


def _no_room(folder: Path, written: int, done: int, total: int | None) -> str:
    free = shutil.disk_usage(folder).free
    if total is None or not done:
        need = f"more than {written / 1e6:.0f} MB"
    else:
        need = f"about {written / done * total / 1e6:.0f} MB"
    return (
        f"{folder}: no room for the decoded pictures: {need} are needed, {free / 1e6:.0f} MB are free; "
        "make room, or name a work folder on another disk"
    )


Picture = tuple[NDArray[np.uint8], str, str]


def _screened(request: Request, seen: Seen, report: Report) -> Iterator[Picture | None]:
    """Pixels, name and content of each picture in order; None for one that is left out."""
    for name, reason, rgb, found in _prepared(request):
        reason = reason or (seen.reason(found) if found else DAMAGED)
        if reason or rgb is None or found is None:
            report.leave_out(reason or DAMAGED, name)
            yield None
        else:
            yield rgb, name, found.content


_Prepared = tuple[str, str | None, "NDArray[np.uint8] | None", "Print | None"]


def _prepared(request: Request) -> Iterator[_Prepared]:
    """Decode in threads (Pillow works outside the interpreter's lock), a few pictures ahead."""
    offered = entries(
        request.paths,
        largest=request.largest,
        each_shot=request.each_shot,
        gap_seconds=Fraction(request.gap_seconds),
    )
    running: deque[Future[_Prepared]] = deque()
    workers = min(processors(), _MOST_WORKERS)
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        for entry in offered:
            running.append(pool.submit(_prepare, entry, request.largest))
            if len(running) >= workers * _AHEAD:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def _prepare(entry: Entry, largest: int) -> _Prepared:
    """Read, decode and look at one picture."""
    if entry.read is None:
        return entry.name, entry.problem, None, None
    try:
        content = entry.read()
    except OSError as error:
        return entry.name, f"unreadable ({error.strerror})", None, None
    rgb = decode_rgb(content, largest) if isinstance(content, bytes) else content
    if rgb is None:
        return entry.name, DAMAGED, None, None
    data: Any = content if isinstance(content, bytes) else content.tobytes()
    return entry.name, colourless(rgb), rgb, print_of(rgb, hashlib.sha256(data).hexdigest())
