"""Measures a pair of films and writes the page."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from pathlib import Path

from vidcolor.errors import OutputError, UsageError
from vidcolor.media.sourcefiles import is_part_of
from vidcolor.options import Options
from vidcolor.report.measure import Measured, measure
from vidcolor.report.page import head_of, page
from vidcolor.result import Progress, clock
from vidcolor.writing import check_writable, write_whole

_HEAD = 4096


def make_report(
    before: str,
    after: str,
    target: Path,
    *,
    facts: Mapping[str, str] | None = None,
    warnings: Iterable[str] = (),
    start: Fraction | None = None,
    overwrite: bool = False,
    cancel: threading.Event | None = None,
    options: Options | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Measured:
    """Write ``target``, a page about what became of ``before``.

    Args:
        before, after: names of the source and of the coloured film; files.
        facts: what is known of the run, shown above all.
        warnings: what the run has said.
        start: seconds of the source at which ``after`` begins, if that is not its beginning.
        overwrite: whether ``target`` may be there already.
        cancel: set it to end early.
        options: as of :func:`.measure.measure`.
        progress: likewise.

    Raises:
        VidcolorError: nothing is then written.
    """
    check_report(before, after, target, overwrite=overwrite)
    found = measure(before, after, start=start, cancel=cancel, options=options, progress=progress)
    frames, shots = len(found.times), len(found.shots)
    # the last frame lasts as long as the others do on average
    seconds = float(found.times[-1] - found.times[0]) * frames / max(1, frames - 1)
    known = {
        "source": Path(before).name,
        "film": Path(after).name,
        "frames": f"{frames}, {clock(round(seconds))}, {shots} shot{'s' * (shots != 1)}",
    }
    text = page(Path(after).name, known | dict(facts or {}), found, warnings)
    write_whole(target, lambda file: file.write(text.encode("utf-8", "replace")))
    return found


def is_about(page: Path, after: str) -> bool:
    """Whether a file is a report on what became the film ``after``."""
    try:
        with open(page, "rb") as file:
            return head_of(Path(after).name).encode("utf-8", "replace") in file.read(_HEAD)
    except OSError:
        return False


def check_report(before: str, after: str, target: Path, *, overwrite: bool) -> None:
    """Refuse early what would fail late.

    Raises:
        UsageError: pipes, or a page that is one of the films.
        OutputError: the page cannot be written, is there already, or is no page.
    """
    if not target.name:
        raise UsageError("report: its name is empty, or that of a folder")
    films = before, after
    others = [one for one in films if os.path.exists(one) and not os.path.isfile(one)]
    others += [one for one in (*films, str(target)) if one == "-"]
    if others:
        raise UsageError(f"{others[0]}: a report reads files and is one; name a file, not a pipe or folder")
    if is_part_of(target, before) or is_part_of(target, after):
        raise UsageError(f"{target}: is one of the films, or a part of one; name another file for the report")
    check_writable(target)
    if target.exists() and not overwrite:
        raise OutputError(f"{target}: exists already; -y overwrites it")
    if target.is_file() and not _is_page(target):
        raise OutputError(f"{target}: is no page, so none takes its place; name another file for the report")


def _is_page(file: Path) -> bool:
    """Whether a file is empty or HTML; the name alone may have been meant for another."""
    try:
        with open(file, "rb") as opened:
            head = opened.read(_HEAD)
    except OSError:
        return False
    return not head or b"<html" in head.lower()
