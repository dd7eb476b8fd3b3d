"""What is logged: warnings collected, to be shown later or elsewhere, and loggers silenced for a while."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

LoggedWarning = tuple[str, str]
"""A warning: its template, and the message, which is the same with what it is about filled in."""


class WarningCollector(logging.Handler):
    """Collects the warnings of vidcolor from ``with`` on, or from :meth:`attach`."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._collected: list[LoggedWarning] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Collect a warning."""
        self._collected.append((str(record.msg), record.getMessage()))

    def attach(self) -> WarningCollector:
        """Begin to collect."""
        logging.getLogger("vidcolor").addHandler(self)
        return self

    def take(self) -> list[LoggedWarning]:
        """The warnings since the last call."""
        collected, self._collected = self._collected, []
        return collected

    def __enter__(self) -> WarningCollector:
        return self.attach()

    def __exit__(self, *_: object) -> None:
        logging.getLogger("vidcolor").removeHandler(self)


@dataclass
class _Silence:
    """How many want it, and the loggers' levels from before."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    levels: list[int] = field(default_factory=list)


_silence = _Silence()
_SILENCED = ("encoding", "film", "film_limits", "film_times", "media", "stages")
"""Modules that say what is odd in a source or target."""


@contextmanager
def silenced() -> Iterator[None]:
    """Let a source or target be opened again without a warning: what is odd in it is said once, elsewhere.

    Several threads may do so at once; the last to end gives the loggers their levels back.
    """
    loggers = [logging.getLogger(f"vidcolor.{name}") for name in _SILENCED]
    with _silence.lock:
        if _silence.users == 0:
            _silence.levels = [one.level for one in loggers]
            for one in loggers:
                one.setLevel(logging.ERROR)
        _silence.users += 1
    try:
        yield
    finally:
        with _silence.lock:
            _silence.users -= 1
            if _silence.users == 0:
                for one, level in zip(loggers, _silence.levels, strict=True):
                    one.setLevel(level)
