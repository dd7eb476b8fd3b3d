"""Kills jobs at random moments and runs them again: the finished films must be those of runs without a break.

Run by hand: ``python tests/soak/kills.py CLIP... [--kills N] [--seed N] [--stdin] [-- OPTIONS OF VIDCOLOR]``
"""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av

COMMAND = [sys.executable, "-c", "from vidcolor.cli import main; main()"]


def digest(path: Path) -> str:
    """Of all packets with their times, and of all planes of all frames."""
    found = hashlib.sha256()
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.size:
                found.update(repr((packet.stream_index, packet.pts, packet.dts, packet.duration)).encode())
                found.update(bytes(packet))
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            found.update(repr(frame.pts).encode())
            for plane in frame.planes:
                found.update(bytes(plane))
        found.update(repr(container.chapters()).encode())
    return found.hexdigest()


def main() -> None:
    """Kill, run again, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stdin", action="store_true", help="clips come through standard input")
    parser.add_argument("--longest", type=float, default=20.0, help="seconds before a kill, at most")
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    given, extra = parser.parse_args(sys.argv[1:split]), sys.argv[split + 1 :]
    rng, kills, films, same = random.Random(given.seed), 0, 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder, whole = Path(name), {}
        while kills < given.kills:
            clip = given.clips[films % len(given.clips)]
            if clip not in whole:
                target = folder / f"whole-{clip.name}"
                subprocess.run([*COMMAND, "-q", *extra, str(clip), str(target)], check=True)
                whole[clip] = digest(target)
            target, here = folder / f"out-{films}{clip.suffix}", 0
            while not target.exists():
                source = "-" if given.stdin else str(clip)
                with (
                    open(clip, "rb") as film,
                    subprocess.Popen([*COMMAND, "-q", *extra, source, str(target)], stdin=film) as process,
                ):
                    try:
                        process.wait(rng.uniform(0.0, given.longest))
                    except subprocess.TimeoutExpired:
                        process.send_signal(signal.SIGKILL)
                        here += 1
                    code = process.wait()
                if code not in (0, -signal.SIGKILL):
                    sys.exit(f"{clip}: exit code {code}")
            kills, films = kills + here, films + 1
            fine = digest(target) == whole[clip] and not list(folder.glob(".out*"))
            same += fine
            print(f"{clip.name}: {here} kills, {'the same' if fine else 'DIFFERENT'}", flush=True)
            target.unlink()
            time.sleep(0.1)
        print(f"{kills} kills over {films} films, {same} the same as without")
    sys.exit(0 if same == films else 1)


if __name__ == "__main__":
    main()
