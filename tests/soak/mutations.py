"""Damaged films, weights, manifests and segments by the thousand: no crash, hang, traceback or odd exit code.

Run by hand: ``python tests/soak/mutations.py [--count N] [--seed N] [--what films|weights|jobs]``. Films are
coloured by short-lived processes with a limit of memory, each film with a limit of time.
"""

from __future__ import annotations

import argparse
import json
import random
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from unittest import mock

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS))

SECONDS = 30
MEMORY = 8 << 30  # addresses, of which torch alone takes four
KNOWN = {"films": {0, 2, 3, 7}, "weights": {0, 4}, "jobs": {0, 6}}
"""Exit codes that a damaged part of each kind may end with."""

WORKER = f"""
import json, resource, sys, traceback
sys.path.insert(0, {str(TESTS)!r})
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))
if sys.argv[1] == "weights":  # those that are named have to be read
    from unittest import mock
    from vidcolor.cli import main
    def call(*arguments):
        codes = []
        given = ["vidcolor", "--render-size", "32", *arguments]
        with mock.patch("vidcolor.cli._leave", codes.append), mock.patch.object(sys, "argv", given):
            main()
        return codes[-1]
else:
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

    def __init__(self, log: Path, what: str) -> None:
        self._log = log.open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER, what],
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


class Films:
    """Damaged films of five containers."""

    def __init__(self, folder: Path) -> None:
        from media import make_film

        self._folder = folder
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
        self._contents = [(film.suffix, film.read_bytes()) for film in films]

    def case(self, index: int, rng: random.Random) -> tuple[Path, list[str]]:
        """The damaged file of that number, and arguments of a command that reads it."""
        suffix, content = self._contents[index % len(self._contents)]
        source = self._folder / f"in{suffix}"
        source.write_bytes(mutated(content, rng))
        return source, ["--restart", str(source), str(self._folder / "out.mkv")]


class Weights:
    """Damaged weights."""

    def __init__(self, folder: Path) -> None:
        from media import make_film

        from vidcolor.weightfiles import find_weights

        self._film, self._file = make_film(folder / "a.mkv", frames=4), folder / "w.safetensors"
        self._content = find_weights("default").read_bytes()
        self._header = int.from_bytes(self._content[:8], "little") + 8

    def case(self, index: int, rng: random.Random) -> tuple[Path, list[str]]:
        """See :class:`Films`; three in four are damaged in the header."""
        header, rest = self._content[: self._header], self._content[self._header :]
        damaged = mutated(header, rng) + rest if index % 4 else header + mutated(rest, rng)
        self._file.write_bytes(damaged)
        target = self._film.with_name("out.mkv")
        return self._file, ["--restart", "--weights", str(self._file), str(self._film), str(target)]


class Jobs:
    """Unfinished jobs, one of whose files is damaged, or both copies of the manifest."""

    def __init__(self, folder: Path) -> None:
        from media import make_film

        from vidcolor.errors import OutputError

        self._film, self._target = make_film(folder / "a.mkv", frames=12), folder / "out.mkv"
        from calling import call

        with mock.patch("vidcolor.film.Film.end", side_effect=OutputError("stopped here")):
            call("-q", self._film, self._target)
        self._work = folder / ".out.mkv.vidcolor"
        self._files = {path.name: path.read_bytes() for path in self._work.iterdir()}

    def case(self, index: int, rng: random.Random) -> tuple[Path, list[str]]:
        """See :class:`Films`."""
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir()
        for name, content in self._files.items():
            (self._work / name).write_bytes(content)
        manifests = [name for name in self._files if name.startswith("manifest")]
        segments = [name for name in self._files if name.endswith(".segment")]
        struck = rng.choice((manifests, manifests[:1], segments))
        for name in struck:
            (self._work / name).write_bytes(mutated(self._files[name], rng))
        return self._work / struck[0], [str(self._film), str(self._target)]


CASES = {"films": Films, "weights": Weights, "jobs": Jobs}


def main() -> None:
    """Mutate, colour, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--what", choices=CASES, default="films")
    given = parser.parse_args()
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = folder / "log"
        cases = CASES[given.what](folder)
        codes: Counter[int | str] = Counter()
        bad = 0
        worker = Worker(log, given.what)
        for index in range(given.count):
            damaged, arguments = cases.case(index, rng)
            code = worker.run("-q", "-y", *arguments)
            codes[code] += 1
            if code not in KNOWN[given.what]:
                bad += 1
                kept = Path(tempfile.gettempdir()) / f"mutation-{given.seed}-{index}{damaged.suffix}"
                kept.write_bytes(damaged.read_bytes())
                print(f"{kept}: {code}", flush=True)
                worker.close()
                worker = Worker(log, given.what)
            if index % 100 == 99:
                worker.close()
                worker = Worker(log, given.what)
            (folder / "out.mkv").unlink(missing_ok=True)
        worker.close()
        said = log.read_bytes()
        print(f"{given.count} {given.what}: {dict(codes)}; tracebacks: {said.count(b'Traceback')}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
