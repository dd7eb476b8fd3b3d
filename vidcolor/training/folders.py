"""What lies below a folder of pictures and films, and which of it cannot be read."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from vidcolor.errors import InputError
from vidcolor.training.records import CURVES, METRICS, SAMPLES

_NO_TARGET = "a link that leads nowhere"
_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def files_below(folder: Path) -> list[tuple[Path, str]]:
    """Files below a folder, but what is hidden and what a training run has drawn there, by name.

    Beside each stands why it cannot be read, if so: folders that may not be listed or entered, and links to
    nothing.

    Raises:
        InputError: the folder itself may not be listed.
    """
    found = sorted(_walked(folder))
    runs = {path.parent for path, _ in found if path.name == METRICS}
    drawn = {run / CURVES for run in runs} | {path for run in runs for path in run.glob(SAMPLES)}
    return [
        (path, problem)
        for path, problem in found
        if path not in drawn
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and (problem or path.is_file())
    ]


def _walked(folder: Path) -> Iterator[tuple[Path, str]]:
    """All that lies below a folder, also where a link leads to another, each folder once."""
    seen: set[str] = set()
    closed: list[OSError] = []
    for root, folders, names in os.walk(folder, followlinks=True, onerror=closed.append):
        where = os.path.realpath(root)
        if where in seen:
            folders.clear()
            continue
        seen.add(where)
        # sorted, so that of two ways to a folder always the same is taken
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(root, name) for name in names):
            yield path, _problem(path)
    for error in closed:
        path = Path(error.filename)
        if path == folder:
            raise InputError(f"{folder}: cannot be read ({error.strerror})") from error
        yield path, f"a folder that cannot be read ({error.strerror})"


def _problem(path: Path) -> str:
    """Why nothing can be known of a file; empty where something is."""
    try:
        path.stat()
    except OSError as error:
        if error.errno in _NOWHERE:
            return _NO_TARGET
        return f"a file that cannot be looked at ({error.strerror})"
    return ""
