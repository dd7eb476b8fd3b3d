"""Calls the command inside the test's own process, with the generator of :mod:`quick`."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import av
from quick import quickly

from vidcolor.cli import main
from vidcolor.media.priority import _scheduling


@contextlib.contextmanager
def log_as_it_was() -> Iterator[None]:
    """A command sets up the log; what is tested next finds it as it was before."""
    log = logging.getLogger("vidcolor")
    handlers, propagate, level = log.handlers[:], log.propagate, log.level
    try:
        yield
    finally:
        log.handlers, log.propagate = handlers, propagate
        log.setLevel(level)


def policies() -> list[int]:
    """Scheduling policy of each thread of this process (``os.SCHED_OTHER`` …); empty where none is known."""
    return [policy for _, (policy, _) in _scheduling()]


def call(*arguments: str | Path) -> int:
    """Run ``vidcolor ARGUMENTS``; its exit code. What it says goes to the test's standard error."""
    codes: list[int] = []
    given = ["vidcolor", "--render-size", "32", "--precision", "fp32", *map(str, arguments)]
    with (
        quickly(path=__file__),
        mock.patch("vidcolor.cli._leave", codes.append),
        mock.patch.object(sys, "argv", given),
        log_as_it_was(),
    ):
        main()
    return codes[-1]


def one_line(said: str) -> str:
    """What a refusal said; it has to be a single line that is no traceback."""
    lines = said.strip().splitlines()
    assert len(lines) == 1, said
    assert lines[0].startswith("vidcolor: ")
    return lines[0]


def frames_in(blob: bytes, format: str | None = None) -> list[av.VideoFrame]:
    """The frames that a player of the stream gets to see."""
    frames = []
    with av.open(io.BytesIO(blob), format=format) as container, contextlib.suppress(av.FFmpegError):
        for frame in container.decode(video=0):
            frames.append(frame)
    return frames
