"""How the command shows progress: a bar for people, JSON lines for scripts."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vidcolor.result import clock

if TYPE_CHECKING:
    from vidcolor.result import Progress

_JSON_INTERVAL_SECONDS = 0.5


class Display:
    """Shows the progress of one job on standard error; a context manager.

    Args:
        mode: ``auto`` (a bar where standard error is a terminal), ``bar``, ``json`` or ``none``.
        name: of the source.
        doing: stands before the bar, where it is of something else than colouring.
    """

    def __init__(self, mode: str, name: str, doing: str | None = None) -> None:
        if sys.stderr is None:
            mode = "none"
        if mode == "auto":
            mode = "bar" if sys.stderr.isatty() else "none"
        self._mode, self._name, self._doing = mode, name, doing
        self._bar: Any = None
        self._last = 0.0
        self._unsaid: Progress | None = None

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._unsaid is not None:
            self._print_json(self._unsaid)

    @property
    def callback(self) -> Callable[[Progress], None] | None:
        """What to give to ``colorize``."""
        return {"bar": self._show_bar, "json": self._show_json}.get(self._mode)

    def _show_bar(self, now: Progress) -> None:
        from tqdm import tqdm

        if self._bar is None:
            self._bar = tqdm(
                desc=self._doing,
                total=now.total,
                initial=now.frames,  # those of earlier runs took no time
                miniters=1,
                unit="frame",
                dynamic_ncols=True,
                file=sys.stderr,
            )
        self._bar.total = now.total
        self._bar.set_postfix_str(f"at {clock(now.position)}", refresh=False)
        self._bar.update(now.frames - self._bar.n)

    def _show_json(self, now: Progress) -> None:
        at = time.monotonic()
        if at - self._last < _JSON_INTERVAL_SECONDS:
            self._unsaid = now
            return
        self._last, self._unsaid = at, None
        self._print_json(now)

    def _print_json(self, now: Progress) -> None:
        left = (now.total - now.frames) / now.fps if now.total and now.fps else None
        line = {
            "source": self._name,
            "frames": now.frames,
            "total": now.total,
            "position_seconds": round(now.position, 3),
            "fps": round(now.fps, 3),
            "eta_seconds": None if left is None else round(left, 1),
        }
        print(json.dumps(line), file=sys.stderr, flush=True)
