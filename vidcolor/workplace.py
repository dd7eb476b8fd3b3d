"""The folder in which a job keeps what is finished, and the lock that keeps others out of it."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import copy
from pathlib import Path

from filelock import FileLock, Timeout

from vidcolor.errors import OutputError
from vidcolor.segments import SUFFIX
from vidcolor.writing import followed

_LOCK, _MANIFEST = "lock", "manifest.json"
_TRIES = 20
_LONGEST_NAME = 200


def _is_held(path: Path) -> bool:
    """Whether somebody has the lock ``path``, for who may only read the file; yes if it cannot be told."""
    try:
        import fcntl  # which Windows lacks

        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return True
    return False


def hidden_name(final: Path, ending: str) -> str:
    """A name for something that belongs to ``final``, as long as file systems allow."""
    name = f".{final.name}{ending}"
    if len(os.fsencode(name)) <= _LONGEST_NAME:
        return name
    return f".{hashlib.sha256(os.fsencode(final.name)).hexdigest()[:32]}{ending}"


def part_of(final: Path, name: str) -> Path:
    """What a film is called while it is put together.

    Args:
        final: where it will be.
        name: as it was asked for; FFmpeg looks at its suffix, for .m2ts.
    """
    return final.with_name(hidden_name(final, f".vidcolor-part{Path(name).suffix}"))


class Workplace:
    """The work folder of the film ``final`` (of what that links to): beside it, hidden, or in ``parent``."""

    def __init__(self, final: Path, parent: str | None = None) -> None:
        final = followed(final)
        if parent is None:
            self.folder = final.parent / hidden_name(final, ".vidcolor")
        else:  # films of the same name may come from several folders
            digest = hashlib.sha256(os.fsencode(os.path.abspath(final))).hexdigest()[:8]
            self.folder = Path(parent) / hidden_name(final, f"-{digest}.vidcolor")
        self._name = str(final)

    def absolute(self) -> Workplace:
        """The same, for a process with another current folder."""
        same = copy(self)
        same.folder = self.folder.absolute()
        return same

    @property
    def manifest_path(self) -> Path:
        """File of the job's manifest."""
        return self.folder / _MANIFEST

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder and keep others out of it; a crash does not leave the lock behind.

        Raises:
            OutputError: another process is at work there, or the folder cannot be made.
        """
        lock = self._acquire()
        try:
            yield
        finally:
            lock.release()
            with suppress(OSError):  # Windows takes no lock away that is held, nor the folder around it
                self.folder.rmdir()  # which is empty then, or stays

    def _acquire(self) -> FileLock:
        for _ in range(_TRIES):
            try:
                self.folder.mkdir(parents=False, exist_ok=True)
                lock = FileLock(self.folder / _LOCK)
                lock.acquire(timeout=0)
            except Timeout as error:
                raise OutputError(
                    f"{self._name}: another vidcolor is making it; wait for that, or stop it"
                ) from error
            except FileNotFoundError as error:
                if not self.folder.parent.is_dir():
                    raise OutputError(f"{self._name}: there is no folder {self.folder.parent}") from error
                continue  # who had it has just finished, and taken the folder away
            except (OSError, NotImplementedError) as error:
                with suppress(OSError):  # where names in it are too long, it is empty
                    self.folder.rmdir()
                reason = getattr(error, "strerror", None) or str(error)
                raise OutputError(f"{self._name}: {self.folder} cannot be used ({reason})") from error
            if (self.folder / _LOCK).exists():
                return lock
            lock.release()
        raise OutputError(f"{self._name}: {self.folder} keeps vanishing")

    def busy(self) -> bool:
        """Whether another process is at work there."""
        path = self.folder / _LOCK
        if not path.exists():
            return False
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except OSError:  # it is another user's, or the file system may only be read
            return _is_held(path)
        lock.release()
        return False

    def clear(self) -> None:
        """Forget what is finished; the lock stays.

        Raises:
            OutputError: the disk refuses.
        """
        try:
            for path in self.folder.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.name != _LOCK:
                    path.unlink()
        except OSError as error:
            raise OutputError(f"{self._name}: {self.folder} cannot be cleared ({error.strerror})") from error

    def remove(self) -> None:
        """Take the folder away: segments first, since the manifest says whose they are, and the lock last."""
        with suppress(OSError):
            found = self.folder.iterdir()
            for path in sorted(found, key=lambda p: (p.name == _LOCK, p.suffix != SUFFIX)):
                path.unlink()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def empty(self) -> bool:
        """Whether nothing is finished in it; not where that cannot be told."""
        try:
            return not any(self.folder.glob(f"*{SUFFIX}"))
        except OSError:
            return False

    def remove_if_empty(self) -> None:
        """Take the folder away unless something is kept in it."""
        if self.empty:
            self.remove()

    def free_bytes(self) -> int:
        """Room on its disk."""
        return shutil.disk_usage(self.folder if self.folder.exists() else self.folder.parent).free
