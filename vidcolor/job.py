"""Colours a film: what can be refused before anything slow is imported is; then :mod:`vidcolor.filmjob`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from vidcolor.errors import Interrupted, UsageError
from vidcolor.finished import already_done
from vidcolor.media.opening import refuse_missing
from vidcolor.options import Options
from vidcolor.result import Progress, Result
from vidcolor.target import as_dash, prepare_target
from vidcolor.weightfiles import find_weights

__all__ = ["Progress", "Result", "colorize"]

_worked_in: list[int] = []
"""The process in which a film was coloured."""


def colorize(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    options: Options | None = None,
    progress: Callable[[Progress], None] | None = None,
    *,
    cancel: threading.Event | None = None,
    output_fd: int = 1,
) -> Result:
    """Colour one film.

    Of a film that goes to a file, what is finished is kept when the job ends early, and the same call goes on
    from there, also where the source is a pipe through which the same comes again; see
    :class:`~vidcolor.options.Options` for how it is told not to.

    Args:
        source: a file, ``-`` for standard input, an image, or an image sequence (``scan_%05d.png``).
        target: a file, whose suffix names the container, or ``-``.
        options: see :class:`vidcolor.options.Options`.
        progress: called now and then from the calling thread.
        cancel: set it (from a signal handler, say) to end the job early and cleanly.
        output_fd: file descriptor that the target ``-`` stands for.

    A process that was forked after it has been called cannot call it again; one that was spawned can.

    Raises:
        VidcolorError: one of :mod:`vidcolor.errors`; nothing is then left under the target's name,
            and what was there before still is.
    """
    options = options or Options()
    name, wanted = os.fspath(source), as_dash(os.fspath(target))
    if options.match_shots and not os.path.isfile(name):
        raise UsageError(f"{name}: --match-shots reads its source twice: it has to be a file")
    cancel = cancel or threading.Event()
    done = already_done(name, wanted, options, cancel)
    if done is not None:
        return done
    if cancel.is_set():
        raise Interrupted
    _refuse_fork()
    refuse_missing(name, options.allow_network)
    prepared = prepare_target(name, wanted, options, output_fd)
    apart = len(options.devices) > 1 or options.ray is not None
    if apart and not (prepared.is_film and os.path.isfile(name)):
        raise UsageError(
            "--jobs, --ray and several devices need a file to read and a film to write that can be made in "
            "parts, as pictures, GIF, APNG and pipes cannot"
        )
    try:
        weights = find_weights(options.weights)
        from vidcolor.filmjob import FilmJob  # with much for which what is told above should not wait

        job = FilmJob(
            name=name, target=prepared, options=options, weights=weights, progress=progress, cancel=cancel
        )
        return job.run()
    except BaseException:
        prepared.discard()
        raise


def _refuse_fork() -> None:
    """A process forked from one that has worked lacks the threads that torch believes it has: it would hang.

    Raises:
        UsageError: this is such a process.
    """
    if _worked_in and _worked_in != [os.getpid()]:
        raise UsageError(
            "this process was forked from one in which vidcolor had worked: begin it with multiprocessing's "
            "spawn"
        )
    _worked_in[:] = [os.getpid()]
