"""What an encoder says of options that it does not take.

FFmpeg passes the parameters of a library (``x264-params`` and the like) on, logs what the library does not
take, and goes on without it; of an option that it refuses, too, only the log tells which it was. PyAV can
only catch that log for a whole process, and not safely beside threads that decode; so an encoder is opened
in a process of its own.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache

import av

from vidcolor.errors import UsageError
from vidcolor.interpreter import calling

_TAKEN = frozenset(["x264-params", "x264opts", "x265-params", "svtav1-params"])
_FAULT = re.compile(
    r"\[\w+ @ \w+\] ((?:Error parsing option|Unknown option|Invalid value for|bad option|bad value).*)"
)
_LONGEST_S = 30
_LINE = re.compile(r"(?:\[[\w-]+ @ \w+\] (?:\[\w+ @ \w+\] )?|x26[45] \[error\]: )(.*)")
_TRIED, _REFUSED = "tried: ", "refused"
_SMALL = (320, 240, "yuv420p")


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
    found = _FAULT.search(_told(codec, [{key: value}], *_SMALL))
    return found[1].rstrip(". ") if found else ""


def refused_option(codec: str, settings: Mapping[str, str], width: int, height: int, pix_fmt: str) -> str:
    """Which of an encoder's options it does not take with those before it, and what it says of that.

    Args:
        codec: name of the encoder.
        settings: all its options.
        width: of the picture, as are ``height`` and ``pix_fmt``.

    Returns:
        ``preset=x: invalid preset 'x'; Possible presets: …``, empty if it takes all of them, or even
        none, or nothing can be had.
    """
    given = list(settings.items())
    told = _told(codec, [dict(given[:end]) for end in range(len(given) + 1)], width, height, pix_fmt)
    tried, *log = told.rpartition(_TRIED)[2].splitlines() or [""]
    if _REFUSED not in log or tried == "{}":
        return ""
    key, value = list(json.loads(tried).items())[-1]
    lines = [found[1].rstrip(". ") for found in map(_LINE.match, log) if found]
    other = ("Error setting", "Possible ")
    said = [line for line in lines if not line.startswith(other) or line.startswith(f"Possible {key}s:")]
    return f"{key}={value}: {'; '.join(said or lines) or 'it does not say why'}"


def _told(codec: str, trials: Sequence[Mapping[str, str]], *shape: object) -> str:
    """Standard error of a process that opens the encoder with each of these; empty if it has no time."""
    given = codec, json.dumps(trials), *map(str, shape)
    command, environment = calling("vidcolor.media.parameters", "open_alone", *given)
    try:
        told = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=environment, timeout=_LONGEST_S, check=False,
        ).stderr  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):  # then the encoder itself has to say it
        return ""
    return told.decode(errors="replace")


def open_alone(codec: str, trials: str, width: str, height: str, pix_fmt: str) -> None:
    """Open the encoder for a picture, FFmpeg's log going to standard error; for the child process."""
    av.logging.restore_default_callback()
    for options in json.loads(trials):
        sys.stderr.write(f"{_TRIED}{json.dumps(options)}\n")
        sys.stderr.flush()
        context = av.CodecContext.create(codec, "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height, context.pix_fmt = int(width), int(height), pix_fmt
        context.time_base = Fraction(1, 25)
        context.options = options
        try:
            context.open(strict=False)
        except (av.FFmpegError, ValueError):
            raise SystemExit(_REFUSED) from None
