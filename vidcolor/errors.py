"""Every error that vidcolor raises on purpose, and the exit code of each.

    VidcolorError
    ├── UsageError          2   options that contradict each other or cannot be met
    ├── InputError          3   the source cannot be opened, read or decoded
    ├── WeightsError        4   weights are missing, damaged or of another architecture
    ├── OutputError         5   the target cannot be written
    │   └── ReaderClosed  141   the reader of a pipe went away
    ├── ResumeMismatch      6   an unfinished job does not fit what is asked for
    └── Interrupted       130   SIGINT (143 for SIGTERM, 129 for SIGHUP)

Two codes have no exception: 0 (done) and 7 (finished, but some frames of the source, or all of a track of
sound, could not be decoded: ``Result.exit_code``). 1 is any other exception: a bug.
"""

from __future__ import annotations

import signal

EXIT_DONE = 0
EXIT_BUG = 1
EXIT_LOSSES = 7

_SEVERITY = (0, 7, 2, 3, 4, 6, 5, 1, 141, 129, 143, 130)


class VidcolorError(Exception):
    """Root of the tree. The message says what failed, where, and what to do."""

    exit_code = EXIT_BUG


class UsageError(VidcolorError):
    """Options that contradict each other, or that this machine or container cannot meet."""

    exit_code = 2


class InputError(VidcolorError):
    """The source cannot be opened, is not a video, or stopped being readable."""

    exit_code = 3


class WeightsError(VidcolorError):
    """Weights are missing, damaged, or belong to another architecture."""

    exit_code = 4


class OutputError(VidcolorError):
    """The target exists already, cannot be created, or can no longer be written."""

    exit_code = 5


class ReaderClosed(OutputError):
    """The reader of the output pipe closed it; not a failure of ours."""

    exit_code = 141


class ResumeMismatch(VidcolorError):
    """An unfinished job for this target belongs to other input, options or weights."""

    exit_code = 6


class Interrupted(VidcolorError):
    """A signal ended the job after a clean flush, or the caller's event did, which counts as SIGINT."""

    def __init__(self, signal_number: int = signal.SIGINT) -> None:
        super().__init__(f"interrupted by signal {signal_number}")
        self.exit_code = 128 + signal_number

    def __reduce__(self) -> tuple[type[Interrupted], tuple[int]]:
        return type(self), (self.exit_code - 128,)


def worst(codes: list[int]) -> int:
    """Return the gravest of several exit codes (0 for none): losses, then refusals, then bugs."""
    ranked = sorted(codes, key=lambda c: _SEVERITY.index(c) if c in _SEVERITY else len(_SEVERITY))
    return ranked[-1] if ranked else EXIT_DONE


def fault(error: BaseException) -> str:
    """What is said of an exception that nobody foresaw; there may be no memory left anywhere."""
    unmapped = str(error).endswith("failed to map segment from shared object")  # a library, beyond ulimit -v
    if isinstance(error, MemoryError) or unmapped or "can't start new thread" in str(error):
        return "the system gave no more memory, or threads: with more of them the same command goes on"
    return f"a fault of vidcolor itself ({type(error).__name__}: {first_line(error)}); --debug shows where"


def first_line(error: BaseException) -> str:
    """The first line of what an error of a library says, cut to a readable length; else its kind."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


class Unsupported(Exception):
    """An engine cannot do what a network does, or nobody has written down how; torch can."""
