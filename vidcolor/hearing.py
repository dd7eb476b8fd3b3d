"""Keeps what is warned of, for somebody who shows it later or elsewhere."""

from __future__ import annotations

import logging

Warned = tuple[str, str]
"""A warning: its wording, and the same with what it is about filled in."""


class Ear(logging.Handler):
    """Hears the warnings of vidcolor from ``with`` on, or from :meth:`listen`."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._heard: list[Warned] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self._heard.append((str(record.msg), record.getMessage()))

    def listen(self) -> Ear:
        """Begin to hear."""
        logging.getLogger("vidcolor").addHandler(self)
        return self

    def taken(self) -> list[Warned]:
        """Those since it was asked last."""
        heard, self._heard = self._heard, []
        return heard

    def __enter__(self) -> Ear:
        return self.listen()

    def __exit__(self, *_: object) -> None:
        logging.getLogger("vidcolor").removeHandler(self)
