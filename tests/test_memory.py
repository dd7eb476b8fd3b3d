from __future__ import annotations

import platform
import subprocess
import sys

import pytest

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
