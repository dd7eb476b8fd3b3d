"""Keeps what is warned of, for somebody who shows it later or elsewhere."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Warned = tuple[str, str]
"""A warning: its wording, and the same with what it is about filled in."""


class Ear(logging.Handler):
    """Hears the warnings of vidcolor from ``with`` on, or from :meth:`listen`."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._heard: list[Warned] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning."""
        self._heard.append((str(record.msg), record.getMessage()))

    def listen(self) -> Ear:
        """Begin to hear."""
        logging.getLogger("vidcolor").addHandler(self)
        return self

    def taken(self) -> list[Warned]:
        """The warnings since the last call."""
        heard, self._heard = self._heard, []
        return heard

    def __enter__(self) -> Ear:
        return self.listen()

    def __exit__(self, *_: object) -> None:
        logging.getLogger("vidcolor").removeHandler(self)


@dataclass
class _Hush:
    """Who wants quiet, and the levels from before."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    levels: list[int] = field(default_factory=list)


_hush = _Hush()
_NAMES = ("encoding", "film", "film_limits", "film_times", "media", "stages")
"""Modules that say what is odd in a source or target."""


@contextmanager
def hushed() -> Iterator[None]:
    """Let a source or target be opened again without a word: what is odd in it is said once, elsewhere.

    Several threads may do so at once; the last to end gives the loggers their levels back.
    """
    loggers = [logging.getLogger(f"vidcolor.{name}") for name in _NAMES]
    with _hush.lock:
        if _hush.users == 0:
            _hush.levels = [one.level for one in loggers]
            for one in loggers:
                one.setLevel(logging.ERROR)
        _hush.users += 1
    try:
        yield
    finally:
        with _hush.lock:
            _hush.users -= 1
            if _hush.users == 0:
                for one, level in zip(loggers, _hush.levels, strict=True):
                    one.setLevel(level)
