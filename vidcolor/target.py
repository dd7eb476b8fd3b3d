"""Where a film goes: refused early where it would fail late, written beside, renamed when whole."""

from __future__ import annotations

import errno
import itertools
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vidcolor.errors import InputError, OutputError, UsageError
from vidcolor.media.encoders import muxer_for
from vidcolor.media.names import folded, same_file
from vidcolor.media.opening import NUMBER, STDIN, refuse_directory, sequence_address
from vidcolor.media.sourcefiles import files_of, first_part, is_part_of
from vidcolor.media.traits import traits_of
from vidcolor.options import Options
from vidcolor.writing import followed, keep_private, mark, sync_folder

STDOUT = "-"
_OUTPUT = re.compile(r"/dev/stdout|/dev/fd/1|/proc/self/fd/1")
_MOST_LINKS = 40


@dataclass(kw_only=True)
class Target:
    """Where the film is written, and where it belongs when it is whole.

    ``overwrite`` says whether what has come to be there meanwhile is replaced, ``aside`` that it was not.
    """

    name: str
    address: str
    muxer: str
    final: Path | None = None
    working: Path | None = None
    seekable: bool = True
    overwrite: bool = True
    aside: bool = False

    @property
    def is_film(self) -> bool:
        """Whether it is a file of its own, that can be put together when all of it is known."""
        return self.final is not None and self.in_segments

    @property
    def in_segments(self) -> bool:
        """Whether its picture can be encoded in parts: not where an encoder's own count and header run on."""
        return traits_of(self.muxer).in_parts

    def require_free(self) -> None:
        """Refuse a name that has been taken since, where nothing is to be overwritten.

        Raises:
            OutputError: it exists now.
        """
        if self.final is not None and not self.overwrite and os.path.lexists(self.final):
            raise OutputError(f"{self.name}: exists already; -y overwrites it")

    def create(self, working: Path | None = None) -> None:
        """Make the working file, in the target's folder, so that the final rename stays on one file system.

        Args:
            working: its name; by default one that nobody else has.

        Raises:
            OutputError: it cannot be made.
        """
        if self.final is None:
            return
        try:
            if working is None:
                name = f".vidcolor-{secrets.token_hex(4)}{Path(self.name).suffix}"
                working = self.final.with_name(name)
            else:
                working.unlink(missing_ok=True)  # which may be a second name of a finished film
            working.touch(exist_ok=False)  # its mode is the system's: by the umask, or the folder's ACL
            keep_private(working, self.final)
            self.working, self.address = working, f"file:{working}"
        except OSError as error:
            raise OutputError(f"{self.name}: cannot be created ({error.strerror})") from error

    def commit(self, mark_text: str = "") -> None:
        """Give the finished file its name; it is on disk before it has it.

        Args:
            mark_text: noted about the file, too, for containers that have no place for a mark.

        Raises:
            OutputError: the disk refuses, or something has that name by now.
        """
        if self.working is None or self.final is None:
            return
        try:
            with open(self.working, "rb+") as file:
                if mark_text:
                    mark(self.working, mark_text)
                os.fsync(file.fileno())
            if self.overwrite:
                os.replace(self.working, self.final)
            else:
                self._name_new(self.working, self.final)
            sync_folder(self.final.parent)
        except FileExistsError as error:
            try:
                aside = self._put_aside()
            except OSError as other:
                raise OutputError(f"{self.name}: cannot be finished ({other.strerror})") from other
            raise OutputError(
                f"{self.name}: has come to be there while it was made; the finished film is {aside}"
            ) from error
        except OSError as error:
            raise OutputError(f"{self.name}: cannot be finished ({error.strerror})") from error

    def _put_aside(self) -> Path:
        """Give the finished file the first name beside the target that is free."""
        working, final = self.working, self.final
        assert working is not None and final is not None
        for number in itertools.count(2):
            aside = final.with_name(f"{final.stem}-{number}{final.suffix}")
            with suppress(FileExistsError):
                self._name_new(working, aside)
                self.working, self.aside = None, True
                return aside
        raise AssertionError("numbers end")

    @staticmethod
    def _name_new(working: Path, final: Path) -> None:
        """Give a file another name that nothing has; where there are no links, that is tried before."""
        try:
            os.link(working, final)
        except FileExistsError:
            if not os.path.samefile(working, final):  # over a network an answer may be lost
                raise
            working.unlink()
        except OSError:  # a file system without links
            if os.path.lexists(final):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
            os.replace(working, final)
        else:
            working.unlink()

    def discard(self) -> None:
        """Remove what is unfinished, where the disk lets it: what ended the work is what has to be said."""
        if self.working is not None:
            with suppress(OSError):
                self.working.unlink(missing_ok=True)


def prepare_target(source: str, target: str, options: Options, output_fd: int) -> Target:
    """Refuse early what would fail late; nothing is created yet.

    Raises:
        InputError: the source is a directory, after which a target in a folder would be named.
        OutputError: the target exists, is the source, or cannot be created.
        UsageError: its suffix names no container.
    """
    refuse_directory(source)
    muxer = muxer_for(target, options.format)
    if source == STDIN or target == STDOUT:
        file, goal = 0 if source == STDIN else source, output_fd if target == STDOUT else target
        same = _same_file(file, goal)
    else:
        same = is_part_of(Path(target), source)
    if same:
        which = "standard output" if target == STDOUT else target
        raise OutputError(f"{which}: is the source itself, or a part of it; choose another name")
    if muxer == "apng" and (target == STDOUT or (os.path.exists(target) and not os.path.isfile(target))):
        raise UsageError(f"{target}: an APNG, whose count of frames comes first, has to go to a file")
    if target == STDOUT:
        return Target(name="standard output", address=f"pipe:{output_fd}", muxer=muxer, seekable=False)
    final = Path(target)
    _require_place(target, final)
    if final.exists() and not final.is_file():
        # a device or named pipe is written in place
        return Target(name=target, address=f"file:{target}", muxer=muxer, seekable=False)
    if is_sequence(target, muxer):
        if _writes_over(source, final):
            raise OutputError(f"{target}: are the source's own pictures; choose another name")
        if not options.overwrite and (taken := _first_taken(final)):
            raise OutputError(f"{target}: {taken.name} exists already; -y overwrites such files")
        if options.overwrite and (linked := _first_linked(source, final)):
            raise OutputError(f"{target}: {linked.name} is a picture of the source; choose another name")
        return Target(name=target, address=f"file:{_sequence(target)}", muxer=muxer)
    if os.path.lexists(final) and not options.overwrite:
        raise OutputError(f"{target}: exists already; -y overwrites it")
    _require_ours(target, followed(final))
    real, address = followed(final), f"file:{target}"
    return Target(name=target, address=address, muxer=muxer, final=real, overwrite=options.overwrite)


def _require_ours(target: str, final: Path) -> None:
    """In a sticky folder, such as /tmp, nobody else's file can be replaced."""
    if not hasattr(os, "geteuid") or not final.exists():
        return
    folder, user = final.parent.stat(), os.geteuid()
    if folder.st_mode & stat.S_ISVTX and user not in (0, folder.st_uid, final.stat().st_uid):
        raise OutputError(
            f"{target}: belongs to another user, in a folder where only owners replace their files; choose "
            "another name"
        )


def as_dash(target: str) -> str:
    """``-`` where a name, or what it links to, means standard output (``/dev/stdout``); else the name."""
    name = target
    for _ in range(_MOST_LINKS):
        if _OUTPUT.fullmatch(name):
            return STDOUT
        if not os.path.islink(name):
            break
        name = os.path.join(os.path.dirname(name), os.readlink(name))
    return target


def _require_place(target: str, final: Path) -> None:
    try:
        if final.is_dir():
            raise OutputError(f"{target}: is a directory")
        if not final.parent.is_dir():
            raise OutputError(f"{target}: there is no folder {final.parent}")
        os.lstat(final)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise OutputError(f"{target}: cannot be created ({getattr(error, 'strerror', error)})") from error


def is_sequence(target: str, muxer: str) -> bool:
    """Whether the target is one picture for each frame (``scan_%05d.png``)."""
    return muxer == "image2" and NUMBER.search(Path(target).name) is not None


def holds_one(target: str, muxer: str) -> bool:
    """Whether the target is a single picture, which a second frame would write over."""
    return muxer == "image2" and not is_sequence(target, muxer)


def _sequence(target: str) -> str:
    try:
        return sequence_address(Path(target))
    except InputError:  # two numbers, which FFmpeg fills in both
        return target


def pictures_of(final: Path, files: Iterable[Path]) -> Iterator[Path]:
    """Those of the files in a sequence's folder that are its pictures, or would be written over by them."""
    before, after = NUMBER.split(final.name, maxsplit=1)
    shape = re.compile(re.escape(folded(before)) + r"(\d+)" + re.escape(folded(after)))
    for path in files:
        match = shape.fullmatch(folded(path.name))
        if match is not None:
            picture = f"{before}{match[1]}{after}"
            if picture == path.name or same_file(path, final.with_name(picture)):
                yield path


def _writes_over(source: str, final: Path) -> bool:
    """Whether a sequence may write over pictures of its source."""
    files = files_of(source)
    folders = {folder for folder in {p.parent for p in files} if same_file(folder, final.parent)}
    return any(pictures_of(final, (p for p in files if p.parent in folders)))


def _first_linked(source: str, final: Path) -> Path | None:
    """A file that a sequence would overwrite and that is, by a link, a picture of its source."""
    try:
        taken = sorted(pictures_of(final, final.parent.iterdir()))
    except OSError:  # -y writes them all the same
        return None
    return first_part(taken, source)


def _first_taken(final: Path) -> Path | None:
    """A file that a sequence would overwrite.

    Raises:
        OutputError: that cannot be told.
    """
    try:
        return next(pictures_of(final, sorted(final.parent.iterdir())), None)
    except OSError as error:
        raise OutputError(
            f"{final}: whether there are such pictures already cannot be seen ({error.strerror}); -y writes "
            "them all the same"
        ) from error


def _same_file(source: str | int, target: str | int) -> bool:
    """Whether a standard stream and a file, or both of them, are the same; not /dev/null, nor a pipe."""
    try:
        return os.path.isfile(target) and os.path.samefile(source, target)
    except (OSError, ValueError):
        return False
