"""Whether a CPU computes networks quicker in bfloat16 than in float32."""

from __future__ import annotations

import platform
import re
from pathlib import Path

_AMD = "AuthenticAMD"


def quick_in_bf16() -> bool:
    """Whether it has matrix units for bfloat16 (AMX), or AMD's AVX-512 for it (Zen 4 and later).

    Intel's AVX-512 alone has such instructions, too, and needs half as long again with them as in float32
    (``tests/benchmarks/README.md``).
    """
    if _has("_is_amx_tile_supported"):
        return True
    return _has("_is_avx512_bf16_supported") and cpu_vendor() == _AMD


def _has(probe: str) -> bool:
    import torch  # here, because where an engine computes nobody needs it

    found = getattr(torch.cpu, probe, None)
    return bool(found and found())


def cpu_vendor() -> str:
    """Who made the CPU, in the words of CPUID (``AuthenticAMD``, ``GenuineIntel``); empty if unknown."""
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:  # Windows: "AMD64 Family 25 Model 17 Stepping 1, AuthenticAMD"
        return platform.processor().rpartition(" ")[2]
    found = re.search(r"^vendor_id\s*:\s*(\S+)", text, re.MULTILINE)
    return found[1] if found else ""
