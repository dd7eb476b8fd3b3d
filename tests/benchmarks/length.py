"""Time and peak memory of films of several lengths: time should be linear, memory flat; run by hand.

A clip is brought to a small size and repeated, packet by packet, until it is as long as wanted.

Run by hand: ``python tests/benchmarks/length.py CLIP [--seconds 10,60,600] [--height N] [-- OPTIONS]``
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import av
from stages import prepare

COMMAND = [sys.executable, "-c", "from vidcolor.cli import main; main()", "-q", "-y", "--restart"]


def repeat(film: Path, target: Path, seconds: float) -> float:
    """Write the film's packets again and again; returns how long the result is."""
    with av.open(str(film)) as source, av.open(str(target), "w") as out:
        stream = source.streams.video[0]
        made = out.add_stream_from_template(stream)
        packets = [
            (p.pts, p.dts, p.duration, p.is_keyframe, bytes(p)) for p in source.demux(stream) if p.size
        ]
        length = max(pts + duration for pts, _, duration, _, _ in packets)
        shift = 0
        while shift * stream.time_base < seconds:
            for pts, dts, duration, key, data in packets:
                packet = av.Packet(data)
                packet.stream, packet.time_base = made, stream.time_base
                packet.pts, packet.dts, packet.duration = pts + shift, dts + shift, duration
                packet.is_keyframe = key
                out.mux(packet)
            shift += length
        return float(shift * stream.time_base)


def measure(command: list[str]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak megabytes of a command."""
    began = time.perf_counter()
    process = os.spawnvp(os.P_NOWAIT, command[0], command)
    _, status, usage = os.wait4(process, 0)
    if status:
        sys.exit(f"{command}: failed")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--seconds", default="10,60,600")
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--frames", type=int, default=240)
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    given, extra = parser.parse_args(sys.argv[1:split]), sys.argv[split + 1 :]
    print("film, s   wall, s   CPU, s   CPU a second of film   peak, MB")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(given.clip, folder / "small.mp4", given.height, 8, given.frames)
        for wanted in map(float, given.seconds.split(",")):
            length = repeat(folder / "small.mp4", folder / "long.mp4", wanted)
            target = folder / "out.mp4"
            wall, cpu, peak = measure([*COMMAND, *extra, str(folder / "long.mp4"), str(target)])
            print(f"{length:7.1f} {wall:9.1f} {cpu:8.1f} {cpu / length:15.3f} {peak:17.0f}", flush=True)


if __name__ == "__main__":
    main()
