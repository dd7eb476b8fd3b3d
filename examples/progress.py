"""Colour a film from Python, show how far it is, and stop it when there is no more time.

    python examples/progress.py IN OUT [SECONDS]

After SECONDS it stops; the next call goes on from there.
"""

from __future__ import annotations

import sys
import threading

import vidcolor
from vidcolor.errors import Interrupted


def main() -> int:
    """Colour, and say how far it is; 0 when the film is done, 1 when there is more to do."""
    source, target, *rest = sys.argv[1:]
    cancel = threading.Event()
    if rest:
        timer = threading.Timer(float(rest[0]), cancel.set)
        timer.daemon = True
        timer.start()

    def show(now: vidcolor.Progress) -> None:
        share = f"{100 * now.frames / now.total:.0f} %" if now.total else f"{now.frames} frames"
        print(f"{now.position:7.1f} s, {share}, {now.fps:.1f} frames a second")

    try:
        result = vidcolor.colorize(source, target, progress=show, cancel=cancel)
    except Interrupted:
        print("out of time; call it again to go on")
        return 1
    print("already done" if result.already else f"{result.frames} frames on {result.device}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
