"""Damaged films by the thousand: no crash, hang, traceback or unknown exit code.

Run by hand: ``python tests/soak/mutations.py [--count N] [--seed N]``. Films are coloured by short-lived
processes with a limit of memory, each film with a limit of time.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS))

SECONDS = 30
MEMORY = 8 << 30  # addresses, of which torch alone takes four
KNOWN = {0, 2, 3, 7}  # nothing is wrong with target, weights or earlier runs

WORKER = f"""
import json, resource, sys, traceback
sys.path.insert(0, {str(TESTS)!r})
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))
from calling import call
print("ready", flush=True)
for line in sys.stdin:
    given = json.loads(line)
    try:
        code = call(*given)
    except BaseException:
        traceback.print_exc()
        code = 1
    print(f"code {{code}}", flush=True)
"""


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Bits flipped, an end cut off, chunks swapped, or bytes put in."""
    data = bytearray(content)
    kind = rng.randrange(5)
    if kind == 0:
        for _ in range(rng.choice((1, 4, 32))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del data[rng.randrange(len(data)) :]
    elif kind == 2:
        a, b = sorted(rng.sample(range(len(data)), 2))
        length = min(rng.randrange(1, 2048), b - a, len(data) - b)
        data[a : a + length], data[b : b + length] = data[b : b + length], data[a : a + length]
    elif kind == 3:
        at = rng.randrange(len(data))
        data[at:at] = rng.randbytes(rng.randrange(1, 64))
    else:  # where lengths and counts are
        at = rng.randrange(min(len(data), 4096))
        data[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0"))
    return bytes(data)


class Worker:
    """A process that colours what it is given."""

    def __init__(self, log: Path) -> None:
        self._log = log.open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def run(self, *given: str) -> int | str:
        """Exit code of the command, or what became of the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(given) + "\n")
        self._process.stdin.flush()
        began = time.monotonic()
        import select

        while time.monotonic() - began < SECONDS:
            ready, _, _ = select.select([self._process.stdout], [], [], 0.5)
            if ready:
                line = self._process.stdout.readline()
                if line.startswith("code "):
                    return int(line.split()[1])
                return f"died ({self._process.wait()})"
        self._process.kill()
        return "hangs"

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._log.close()


def main() -> None:
    """Mutate, colour, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    from media import make_film

    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = folder / "log"
        films = [
            make_film(folder / f"a{suffix}", frames=12, audio=sound, codec=codec)
            for suffix, sound, codec in (
                (".mp4", "aac", "libx264"),
                (".mkv", "aac", "libx264"),
                (".avi", "mp2", "mpeg4"),
                (".webm", "libopus", "libvpx-vp9"),
                (".mov", "aac", "libx264"),
            )
        ]
        contents = {film: film.read_bytes() for film in films}
        codes: Counter[int | str] = Counter()
        bad: list[tuple[str, int | str]] = []
        worker = Worker(log)
        for index in range(given.count):
            film = films[index % len(films)]
            source, target = folder / f"in{film.suffix}", folder / "out.mkv"
            source.write_bytes(mutated(contents[film], rng))
            code = worker.run("-q", "-y", "--restart", str(source), str(target))
            codes[code] += 1
            if code not in KNOWN:
                bad.append((film.suffix, code))
                kept = Path(tempfile.gettempdir()) / f"mutation-{given.seed}-{index}{film.suffix}"
                kept.write_bytes(source.read_bytes())
                print(f"{kept}: {code}", flush=True)
                worker.close()
                worker = Worker(log)
            if index % 100 == 99:
                worker.close()
                worker = Worker(log)
            target.unlink(missing_ok=True)
        worker.close()
        print(f"{given.count} films: {dict(codes)}; tracebacks: {log.read_bytes().count(b'Traceback')}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
