from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from media import make_film
from test_resume import short_segments

from vidcolor.job import colorize
from vidcolor.options import Options

COUNT_FAULTS = """
import resource, sys
import numpy as np
from vidcolor.cli_process import prepare_process
if sys.argv[1] == "as the command does":
    prepare_process()
np.ones(8 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    np.ones(8 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="asks glibc")
def test_freed_memory_is_used_again_without_new_pages() -> None:
    faults = {}
    for way in ("as the command does", "as it is"):
        command = [sys.executable, "-c", COUNT_FAULTS, way]
        faults[way] = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert faults["as the command does"] < 0.2 * faults["as it is"]


SHARE = """
import sys, threading
from pathlib import Path
from vidcolor.cli_process import prepare_process
if sys.argv[1] == "as the command does":
    prepare_process()
import numpy as np
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
before = peak()
def work():
    for _ in range(3):
        blocks = [np.ones(400_000) for _ in range(12)]  # 38 MB, which fit into a thread's own heap
for _ in range(8):
    waiting = threading.Barrier(2)
    thread = threading.Thread(target=lambda: (work(), waiting.wait(), waiting.wait()), daemon=True)
    thread.start()
    waiting.wait()
print(peak() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="asks glibc")
def test_what_one_thread_has_freed_serves_the_others() -> None:
    command = [sys.executable, "-c", SHARE, "as the command does"]
    grown = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert grown < 250_000, "kilobytes; 75,000 are usual, and 530,000 where each thread has a heap of its own"


GIVE = """
from pathlib import Path
from vidcolor.cli_process import prepare_process
from vidcolor.memory import give_back_freed_memory
prepare_process()
import numpy as np
def resident():
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0])
kept = []
for _ in range(60):
    block = np.ones(250_000)  # 2 MB; what is kept behind it does not let the heap become shorter
    kept.append((block, np.ones(500)))
kept = [small for _, small in kept]
del block
before = resident()
give_back_freed_memory()
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="asks glibc")
def test_what_lies_free_between_other_things_is_given_back() -> None:
    given = int(
        subprocess.run([sys.executable, "-c", GIVE], capture_output=True, text=True, check=True).stdout
    )
    assert given > 90_000, "kilobytes, of 120,000"


def test_each_part_of_a_film_begins_without_what_the_one_before_has_freed(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mkv", frames=18)
    with short_segments(), mock.patch("vidcolor.encoding.give_back_freed_memory") as give_back:
        colorize(str(source), str(tmp_path / "out.mkv"), Options(render_size=32, device="cpu"))
    assert give_back.call_count == 3
