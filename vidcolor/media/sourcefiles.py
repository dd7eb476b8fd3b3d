"""The files that a source consists of: nothing may be written over them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from vidcolor.errors import InputError
from vidcolor.media.opening import STDIN, is_image_sequence, sequence_files

_PLAYLISTS = (b"ffconcat", b"#EXTM3U", b"<?xml", b"<MPD")
_LONGEST = 1 << 20


def files_of(source: str) -> list[Path]:
    """A source's own file, all pictures of a sequence, or a playlist and the files that it names."""
    if source == STDIN:
        return []
    if is_image_sequence(source):
        try:
            return list(sequence_files(source).values())
        except InputError:  # reading it will say so
            return []
    path = Path(source)
    try:
        if not path.is_file():
            return [path]
        with open(path, "rb") as file:
            head = file.read(_LONGEST)
            return [path, *(named_in(head, path.parent) if is_playlist(head) else [])]
    except (OSError, ValueError):
        return [path]


def is_playlist(head: bytes) -> bool:
    """Whether a file that begins so names others."""
    return head.lstrip().startswith(_PLAYLISTS)


def named_in(head: bytes, folder: Path) -> list[Path]:
    """The files in ``folder`` that a playlist names whose beginning is ``head``."""
    text = os.fsdecode(head)
    quoted = re.findall(r"'([^']+)'|\"([^\"]+)\"|([^\s<>'\"]+)", text)
    names = {name for group in quoted for name in group if name} | {
        line.strip() for line in text.splitlines()
    }
    found = []
    for path in sorted(folder / name for name in names if name and "\0" not in name):
        try:
            if path.is_file():
                found.append(path)
        except OSError:  # most words are no names of files, and some are too long for one
            continue
    return found


def is_part_of(target: Path, source: str) -> bool:
    """Whether a name, by whatever way it leads there, means a file that a source consists of."""
    try:
        if not os.path.exists(target):
            return source != STDIN and os.path.realpath(target) == os.path.realpath(source)
    except (OSError, ValueError):  # a name that no system takes
        return False
    return first_part([target], source) is not None


def first_part(targets: Sequence[Path], source: str) -> Path | None:
    """The first of many names that means a file of the source, by whatever way; None where none does."""
    own = {_identity(path) for path in files_of(source)} - {None} if targets else set()
    return next((path for path in targets if _identity(path) in own), None)


def _identity(path: Path) -> tuple[int, int] | None:
    """The same for all names of one file; None where there is none."""
    try:
        there = os.stat(path)
    except (OSError, ValueError):  # the latter: a name that no system takes
        return None
    return there.st_dev, there.st_ino
