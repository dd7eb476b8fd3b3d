"""Files that are either whole or not there."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from vidcolor.errors import OutputError

_MARK = "user.vidcolor"


def followed(path: Path) -> Path:
    """What a symbolic link leads to, be it there or not; any other path, and a link in a circle, as it is."""
    if not os.path.islink(path):  # which takes any name for none, where Path's own method fails
        return path
    real = Path(os.path.realpath(path))
    return path if os.path.islink(real) else real


def check_writable(path: Path) -> None:
    """Find out before the work, not after it, that ``path``, or what a link leads to, cannot be written.

    Raises:
        OutputError: its folder is missing or closed to us.
    """
    path = followed(path)
    folder = path.parent
    try:
        os.lstat(path.with_name(path.name + ".part"))
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:  # a name too long, a folder that may not be entered
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
    if not folder.is_dir():
        raise OutputError(f"{path}: cannot be written, there is no folder {folder}")
    if path.is_dir():
        raise OutputError(f"{path}: cannot be written, it is a folder")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"{path}: cannot be written, {folder} is not writable")


def keep_private(new: Path, old: Path) -> None:
    """Allow others nothing with ``new`` that the file whose place it is to take, if there is one, did not."""
    with suppress(OSError):
        allowed = os.stat(old).st_mode | stat.S_IRWXU
        os.chmod(new, os.stat(new).st_mode & allowed & 0o777)


def write_whole(path: Path, write: Callable[[IO[bytes]], Any], *, alone: bool = True) -> None:
    """Have ``write`` fill a file beside ``path``, then move it there; a device or pipe is written itself.

    Args:
        alone: whether nobody else writes the same at the same time.

    Raises:
        OutputError: it cannot be written.
    """
    path = followed(path)
    part = path.with_name(path.name + ("" if alone else f".{secrets.token_hex(4)}") + ".part")
    special = path.exists() and not path.is_file()
    try:
        with open(path if special else part, "wb") as file:
            if not special:
                keep_private(part, path)
            write(file)
            if not special:
                file.flush()
                os.fsync(file.fileno())
        if not special:
            os.replace(part, path)
            sync_folder(path.parent)
    except BaseException as error:
        if not special:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
        raise


def mark(path: Path, text: str) -> None:
    """Note something about a file, in an extended attribute of it, where its file system has room for that.

    It holds as long as the file is what it is now: its size and its time of change are noted, too.
    """
    if hasattr(os, "setxattr"):
        status = os.stat(path)
        with suppress(OSError):
            os.setxattr(path, _MARK, f"{status.st_size} {status.st_mtime_ns} {text}".encode())


def mark_of(path: Path) -> str:
    """What :func:`mark` has noted about a file that has not changed since; else nothing."""
    try:
        status, noted = os.stat(path), os.getxattr(path, _MARK).decode("utf-8", "replace")
    except (OSError, AttributeError):
        return ""
    size, changed, text = [*noted.split(" ", 2), "", "", ""][:3]
    return text if (size, changed) == (str(status.st_size), str(status.st_mtime_ns)) else ""


def stamp(path: str | Path) -> tuple[int, ...]:
    """Device, inode, size and time of change: others where it is another file, or has been written to."""
    status = os.stat(path)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def sync_folder(folder: Path) -> None:
    """Bring a rename to disk; where folders cannot be synced, the system has to be trusted."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)
