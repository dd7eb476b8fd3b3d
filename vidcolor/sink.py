"""Where the film goes that nobody can go back in: a pipe or a device."""

from __future__ import annotations

import os
import select
from collections.abc import Callable

_BINARY = getattr(os, "O_BINARY", 0)
"""Without it Windows writes two bytes for each that a text would end a line with."""


class Sink:
    """Writes to a pipe or device, and remembers when that failed: not every muxer tells.

    Args:
        address: ``pipe:N`` or ``file:NAME``.
        mend: makes of the first bytes what is written instead of them; empty while it needs more.
    """

    def __init__(self, address: str, mend: Callable[[bytes], bytes] | None = None) -> None:
        self._mend, self._first = mend, b""
        kind, _, name = address.partition(":")
        self._own = kind == "file"
        self._descriptor = os.open(name, os.O_WRONLY | _BINARY) if self._own else int(name)
        self._error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write all of ``data``; after a failure, fail the same way at once."""
        if self._error is not None:
            raise self._error
        try:
            if self._mend is None:
                self._write_all(data)
            else:
                self._first += data
                if mended := self._mend(self._first):
                    self._mend = None
                    self._write_all(mended)
        except OSError as error:
            self._error = error
            raise
        return len(data)

    def _write_all(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[self._write_some(left) :]

    def _write_some(self, data: memoryview) -> int:
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:  # who started this process has set it so: wait until there is room
            room = select.poll()  # select itself knows no descriptors beyond 1023
            room.register(self._descriptor, select.POLLOUT)
            room.poll()
            return 0

    def close(self) -> None:
        """Close what was opened here.

        Raises:
            OSError: something has not been written.
        """
        if self._mend is not None and self._error is None:  # it ended before all that was needed
            self._mend = None
            self.write(self._first)
        if self._own:
            os.close(self._descriptor)
            self._own = False
        if self._error is not None:
            raise self._error
