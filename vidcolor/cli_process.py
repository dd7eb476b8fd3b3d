"""What the command does to its own process: signals, and a standard output that carries only the film."""

from __future__ import annotations

import io
import logging
import os
import re
import select
import signal
import sys
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidcolor.errors import (
    EXIT_BUG,
    Interrupted,
    OutputError,
    ReaderClosed,
    UsageError,
    VidcolorError,
    fault,
)
from vidcolor.memory import keep_freed_memory

log = logging.getLogger("vidcolor")


class Lines(logging.Formatter):
    """``vidcolor: …`` on standard error.

    Attributes:
        program: what stands before each line.
        about: names of the film at work, where there are several films: a line that has none of them in it
            is given the first.
    """

    about: tuple[str, ...] = ()

    def __init__(self, program: str = "vidcolor") -> None:
        super().__init__()
        self.program = program

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line of a record: one, whatever names hold; control characters are not for the terminal."""
        text = super().formatMessage(record)
        named = not self.about or any(name in text for name in self.about)
        return printable(f"{self.program}: {text if named else f'{self.about[0]}: {text}'}")


def printable(text: str) -> str:
    """``text`` in one line for a terminal: blanks for control characters, U+FFFD for what is no letter."""
    kinds = ((char, unicodedata.category(char)) for char in " ".join(text.splitlines()))
    return "".join({"Cc": " ", "Cs": "\N{REPLACEMENT CHARACTER}"}.get(kind, char) for char, kind in kinds)


def set_up_log(quiet: bool, verbose: bool) -> Lines:
    """Have what is logged stand on standard error; gives what writes the lines."""
    handler, lines = logging.StreamHandler(), Lines()
    handler.setFormatter(lines)
    log.handlers = [handler]
    log.propagate = False
    log.setLevel(logging.DEBUG if verbose else logging.INFO)
    handler.setLevel(logging.ERROR if quiet else logging.NOTSET)  # a report hears warnings all the same
    return lines


def log_all_as(program: str, level: int, *, alone: bool = False) -> None:
    """Have all that is logged from ``level`` on stand on standard error.

    Args:
        program: what stands before each line.
        alone: also where somebody else takes it already, who then gets it no more.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(Lines(program))
    logging.basicConfig(handlers=[handler], level=level, force=alone)


def complain(message: str, debug: bool = False) -> None:
    """Say an error in one line; with ``debug`` its traceback follows."""
    log.error("%s", " ".join(message.split()), exc_info=debug)


def complain_of(error: Exception, debug: bool = False, name: str = "") -> int:
    """Say what ended the work, unless that was a signal or the reader of a pipe; returns the exit code.

    Args:
        error: the exception that is being handled.
        debug: whether its traceback follows.
        name: the film at work, which stands before a fault of vidcolor itself.
    """
    if isinstance(error, VidcolorError):
        if not isinstance(error, (Interrupted, ReaderClosed)):
            complain(str(error), debug)
        return error.exit_code
    complain(f"{name}: {fault(error)}" if name else fault(error), debug)
    return EXIT_BUG


class Caught:
    """The signal that came, if one did."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.signal: int | None = None

    def handle(self, number: int, _: object) -> None:
        if self.signal is not None:
            os._exit(128 + number)  # asked a second time: at once
        self.signal = number
        self.event.set()


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How the command goes about each of its films.

    Attributes:
        progress: how it is shown, see :class:`~vidcolor.cli_progress.Display`.
        report: the page to make about the film, if one is wanted.
        debug: whether an error is followed by its traceback.
        cancel: set by the first signal.
    """

    progress: str
    report: Path | None
    debug: bool
    cancel: threading.Event


def prepare_process() -> None:
    """What has to be so before anything is opened or made."""
    os.environ.setdefault("SVT_LOG", "1")  # errors only
    # frames are shared among threads, not their lines: on 16 cores OpenCV's and torch's took 40 % of CPU time
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
    secure_standard_streams()
    keep_freed_memory()


def arguments() -> list[str]:
    """What the command was given; on Windows, where shells do not, with names for ``*`` and ``?``.

    Brackets, ``$`` and ``%`` stand for themselves, unlike with click: names of files have such signs.
    """
    given = sys.argv[1:]
    if os.name == "posix":
        return given
    from glob import glob

    found: list[str] = []
    for name in given:
        name = os.path.expanduser(name) if re.match(r"~[/\\]", name) else name
        there = glob(name.replace("[", "[[]"), recursive=True) if re.search(r"[*?]", name) else []
        found += sorted(there) or [name]
    return found


def require_a_folder() -> None:
    """Some libraries end the process where there is no current folder.

    Raises:
        UsageError: it is gone, or its path too long.
    """
    try:
        os.stat(os.getcwd())  # which the system tells of paths that it does not take
    except OSError as error:
        said = "is gone" if isinstance(error, FileNotFoundError) else "cannot be used"
        raise UsageError(f"the folder that vidcolor was started in {said} ({error.strerror})") from error


class _Unheard(io.FileIO):
    """Standard error; that nobody takes what is said any more is no reason to give up what is at work."""

    def write(self, data: Any) -> int:
        """Write, waiting for room where that is needed; what cannot be written is dropped."""
        try:
            while (written := super().write(data)) is None:  # who started this process has set it so
                room = select.poll()
                room.register(self.fileno(), select.POLLOUT)
                room.poll()
        except OSError:
            return len(memoryview(data).cast("B"))
        return written


def secure_standard_streams() -> None:
    """Standard error may be closed, its reader gone or its disk full: what is said is lost, and no more.

    Nothing that is opened later becomes standard input, output or error where one is closed.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    given = sys.__stderr__
    # Windows has consoles of its own kind
    console = given is not None and os.name != "posix" and given.isatty()
    if given is None or (sys.stderr is given and not console):
        letters = ("utf-8", "replace") if given is None else (given.encoding, given.errors)
        sys.stderr = io.TextIOWrapper(io.BufferedWriter(_standard_error()), *letters, line_buffering=True)


def _standard_error() -> io.FileIO:
    try:
        return _Unheard(2, "w", closefd=False)
    except OSError:  # Windows gives a program without a console none, nor lets another file take its number
        return io.FileIO(os.devnull, "w")


@contextmanager
def cancelled_by_signals() -> Iterator[Caught]:
    """A first signal sets the event, for a clean end; a second one ends the process at once.

    Raises:
        Interrupted: after a signal, in place of the error with which the work ended.
    """
    caught = Caught()
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup's work stays
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, caught.handle) for number in numbers}
    try:
        yield caught
    except VidcolorError as error:
        if caught.signal is None:
            raise
        raise Interrupted(caught.signal) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def film_output(target: str) -> Iterator[int]:
    """The descriptor for the film; what libraries print goes to standard error while it is open."""
    from vidcolor.target import as_dash

    if as_dash(target) != "-":
        yield 1
        return
    if sys.stdout is None:
        raise OutputError("standard output is closed; redirect it, or name a file")
    if os.isatty(1):
        raise UsageError("the film would go to the terminal; redirect it, or name a file")
    sys.stdout.flush()
    film = os.dup(1)
    try:
        _silence_standard_output()
        yield film
    finally:
        sys.stdout.flush()  # what a library printed into Python's buffer is no part of the film either
        os.dup2(film, 1)
        os.close(film)


def _silence_standard_output() -> None:
    """Have what is written there go to standard error; nowhere if there is none."""
    try:
        os.dup2(2, 1)
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
