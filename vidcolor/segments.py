"""Segments: finished parts of a film on disk, each written once, with what the next one begins from.

A segment's file is a safetensors file that is called after its number and the hash of its content. It holds
the packets of a closed stretch of compressed video, in the order of decoding, and the temporal state after
its last picture. It is whole, or it is not there.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import re
import threading
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, takewhile
from pathlib import Path

from safetensors import SafetensorError

from vidcolor.errors import Interrupted, OutputError
from vidcolor.options import Options
from vidcolor.packing import Piece, Place, Segment, Summary, end_of, film_of, pack, read_segment, summary_of
from vidcolor.writing import write_whole

log = logging.getLogger(__name__)

SUFFIX = ".segment"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NAME = re.compile(rf"(\d{{6}})-([0-9a-f]{{32}})\{SUFFIX}")


class SegmentStore:
    """The segments in a folder.

    Args:
        folder: where they are.
        name: of the film that is being made, for messages.
        film: its fingerprint, by which its segments are told from others'; empty takes them as they are.
        options: of the job, for messages.
    """

    def __init__(self, folder: Path, name: str, film: str = "", options: Options | None = None) -> None:
        self._folder = folder
        self.name = name
        self._film = film
        self._options = options or Options()

    def find(self, cancel: threading.Event | None = None) -> dict[int, Path]:
        """Files of the segments by number; what is unfinished, damaged or of another film is removed.

        All of them are read, for minutes where they are large.

        Raises:
            Interrupted: ``cancel`` is set meanwhile.
            OutputError: they cannot be read, or are gone.
        """
        try:
            return self._found(cancel)
        except OSError as error:
            raise OutputError(
                f"{self.name}: what is finished in {self._folder} cannot be read ({error.strerror}); run "
                "the same command again when that is mended"
            ) from error

    def _found(self, cancel: threading.Event | None) -> dict[int, Path]:
        found: dict[int, Path] = {}
        for path in sorted(self._folder.iterdir()):
            match = _NAME.fullmatch(path.name)
            wrong = self.wrong(path, cancel) if match else ""
            if match and not wrong:
                found[int(match[1])] = path
            elif match or path.name.endswith(".part"):
                if match:
                    log.warning("%s: segment %d is %s: it is made anew", self.name, int(match[1]), wrong)
                path.unlink()
        return found

    def wrong(self, path: Path, cancel: threading.Event | None = None) -> str:
        """Why a segment cannot be used: it is not what was written, by the hash in its name, or not of this
        film; empty where it can.
        """
        if _digest_of(path, cancel) != path.stem.split("-")[1]:
            return "damaged"
        try:
            film = film_of(path)
        except (SafetensorError, KeyError, ValueError):
            return "damaged"
        return "of another film" if film and self._film and film != self._film else ""

    def glance(self) -> dict[int, Summary]:
        """What the headers say, by number, of segments that are as long as they should be; the rest of them
        is not read.

        Raises:
            OSError: the folder cannot be listed, or one of them not read, as when it is taken away meanwhile.
        """
        seen: dict[int, Summary] = {}
        for path in self._listed():
            try:
                seen[_number(path)] = self.describe(path)
            except OutputError as error:
                if isinstance(error.__cause__, OSError):
                    raise error.__cause__ from None
        return seen

    def numbered(self) -> dict[int, Path]:
        """Files of segments by number, whether whole or not."""
        return {_number(path): path for path in self.listed()}

    def listed(self) -> list[Path]:
        """Files of segments by their names alone, whether whole or not; none where the folder is gone."""
        try:
            return self._listed()
        except OSError:
            return []

    def _listed(self) -> list[Path]:
        return [path for path in self._folder.iterdir() if _NAME.fullmatch(path.name)]

    def write(self, segment: Segment) -> Path:
        """Add a segment; it is on disk when this returns.

        Raises:
            OutputError: the disk is full or refuses; nothing is lost then but this segment.
        """
        pieces = pack(segment, self._film)
        path = self._folder / f"{segment.number:06d}-{_digest(pieces)}{SUFFIX}"
        try:  # not alone: a worker thought dead may still be writing
            write_whole(path, lambda file: file.writelines(pieces), alone=False)
        except OutputError as error:
            why, number = getattr(error.__cause__, "strerror", error), getattr(error.__cause__, "errno", None)
            mend = "make room and run" if number in _NO_ROOM else "when that is mended, run"
            stays = self._options.resume and self.listed()
            kept = f"; what is finished is kept in {self._folder}" if stays else ""
            raise OutputError(
                f"{self.name}: a segment cannot be written ({why}){kept}: {mend} {self._options.again} again"
            ) from error
        return path

    @staticmethod
    def describe(path: Path) -> Summary:
        """What a segment's header says; its packets stay on disk.

        Raises:
            OutputError: it is damaged, or has become unreadable.
        """
        with _readable(path):
            return summary_of(path)

    @staticmethod
    def end_of(path: Path) -> tuple[int, Place]:
        """Frames of a segment, and the place where it ends; its packets stay on disk.

        Raises:
            OutputError: it has become unreadable since :meth:`find` has named it.
        """
        with _readable(path):
            return end_of(path)

    @staticmethod
    def read(path: Path) -> Segment:
        """Read a segment that :meth:`find` has named.

        Raises:
            OutputError: it has become unreadable since.
        """
        with _readable(path):
            return read_segment(path)


@dataclass(kw_only=True)
class FinishedSegments:
    """Those of a film that is being made.

    Attributes:
        store: where they are.
        cancel: set it, and looking at them ends.
        files: of those known, by number; whoever makes others adds them.
        unread: of these, the numbers of those that nobody has read: they are checked when they are wanted.
    """

    store: SegmentStore
    cancel: threading.Event
    files: dict[int, Path] = field(default_factory=dict)
    unread: Set[int] = frozenset()

    def find(self) -> None:
        """Look again which there are; Interrupted if told to stop meanwhile."""
        self.files = self.store.find(self.cancel)

    def after(self, number: int, place: Place | None) -> Place | None:
        """Where the segment of that number ends, if there is one that begins at ``place``.

        One that does not, by the count of frames, is removed.

        Raises:
            Interrupted: told to stop.
        """
        path = self.files.get(number)
        if path is None:
            return None
        if self.cancel.is_set():
            raise Interrupted
        if number in self.unread and self.store.wrong(path, self.cancel):
            return None
        frames, after = self.store.end_of(path)
        if after.frames - frames == (place.frames if place else 0):
            return after
        # it followed another one, that was lost and has come out longer or shorter when it was made again
        log.warning("%s: segment %d does not follow on: it is made anew", self.store.name, number)
        path.unlink(missing_ok=True)
        del self.files[number]
        return None

    def first_missing(self) -> tuple[int, Place | None]:
        """Number of the first that is not there, and the place where it begins."""
        number, place = 0, None
        while (place is None or place.state is not None) and (after := self.after(number, place)):
            number, place = number + 1, after
        return number, place


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise OutputError(f"{path}: cannot be read ({error}); run the same command again") from error


def _number(path: Path) -> int:
    return int(path.stem.split("-")[0])


def up_to_first_missing(seen: dict[int, Summary]) -> list[Summary]:
    """Those from the beginning on, up to the first that is missing."""
    return [seen[number] for number in takewhile(seen.__contains__, count())]


def count_frames(seen: dict[int, Summary]) -> int:
    """Frames of all of them, also of those after one that is missing."""
    return sum(segment.frames for segment in seen.values())


def _digest_of(path: Path, cancel: threading.Event | None) -> str:
    with open(path, "rb") as file:
        return _digest(iter(lambda: file.read(1 << 20), b""), cancel)


def _digest(pieces: Iterable[Piece], cancel: threading.Event | None = None) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        if cancel is not None and cancel.is_set():
            raise Interrupted
        digest.update(piece)
    return digest.hexdigest()[:32]
