"""Whether an encoder's library takes its own parameters (``x264-params`` and the like).

FFmpeg passes them on, logs what the library does not take, and goes on without it. PyAV can only catch
that log for a whole process, and not safely beside threads that decode; so an encoder is opened in a
process of its own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache

import av

from vidcolor.errors import UsageError

_TAKEN = frozenset(["x264-params", "x264opts", "x265-params", "svtav1-params"])
_FAULT = re.compile(
    r"\[\w+ @ \w+\] ((?:Error parsing option|Unknown option|Invalid value for|bad option|bad value).*)"
)
_LONGEST_S = 30


def check_parameters(codec: str, extra: Mapping[str, str]) -> None:
    """Refuse parameters that the encoder's library does not know, or values that it does not take.

    Args:
        codec: name of the encoder.
        extra: options for it, as the user gave them.

    Raises:
        UsageError: it does not take one; the message has its own words.
    """
    for key in sorted(_TAKEN & extra.keys()):
        fault = _fault(codec, key, extra[key])
        if fault:
            raise UsageError(f"--encoder-option {key}: {codec} says: {fault}")


@lru_cache(maxsize=64)
def _fault(codec: str, key: str, value: str) -> str:
    """Its first complaint, empty if there is none, or none can be had."""
    call = "import sys; from vidcolor.media.parameters import open_alone; open_alone(*sys.argv[1:])"
    sought = os.pathsep.join(filter(None, sys.path))  # no module of the current folder's
    environment = os.environ | {"PYTHONPATH": sought, "PYTHONSAFEPATH": "1"}
    try:
        told = subprocess.run(
            [sys.executable, "-c", call, codec, json.dumps({key: value})],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=environment, timeout=_LONGEST_S, check=False,
        ).stderr  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):  # then the encoder itself has to say it
        return ""
    found = _FAULT.search(told.decode(errors="replace"))
    return found[1].rstrip(". ") if found else ""


def open_alone(codec: str, options: str) -> None:
    """Open the encoder for a small picture, FFmpeg's log going to standard error; for the child process."""
    av.logging.restore_default_callback()
    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = 320, 240, "yuv420p"
    context.time_base = Fraction(1, 25)
    context.options = json.loads(options)
    context.open()
