"""Names that are two here and one there: file systems of Windows and macOS do not tell ``A`` from ``a``.

Those of macOS do not tell an accented letter from a letter and an accent either.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable
from pathlib import Path


def folded(name: str) -> str:
    """The same for all names that some file system takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def same_file(one: Path, other: Path) -> bool:
    """Whether two names lead to one file, or folder, that is there."""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False


def first_alike(names: Iterable[str]) -> tuple[str, str] | None:
    """Two of the names that are one to this system's own file systems; None where there are none."""
    known: dict[str, str] = {}
    for name in names:
        key = folded(name) if sys.platform in ("win32", "darwin") else name
        if key in known:
            return known[key], name
        known[key] = name
    return None
