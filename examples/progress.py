"""Colour a film from Python, show how far it is, and stop it when there is no more time.

    python examples/progress.py IN OUT [SECONDS]

After SECONDS it stops; the next call goes on from there.
"""

from __future__ import annotations

import sys
import threading

import vidcolor
from vidcolor.errors import Interrupted, VidcolorError


def main() -> int:
    """Colour, and say how far it is; 1 when there is more to do, else what vidcolor would end with."""
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: python examples/progress.py IN OUT [SECONDS]")
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
    except VidcolorError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print("already done" if result.already else f"{result.frames} frames on {result.device}")
    return result.exit_code


if __name__ == "__main__":
    sys.exit(main())
