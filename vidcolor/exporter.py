"""Has another process export a generator to ONNX for an engine, so that this one does without torch."""

from __future__ import annotations

import importlib.util
import json
import logging
import subprocess
import sys
from pathlib import Path

from vidcolor import errors
from vidcolor.interpreter import calling
from vidcolor.networks.engines import BY_NAME

log = logging.getLogger(__name__)

READY = "ready"
"""What the other process says when it waits for a shape; else the kind and the words of an error, in JSON."""


def may_export() -> bool:
    """Whether there seems to be an engine to export for."""
    return importlib.util.find_spec("onnx") is not None and any(map(importlib.util.find_spec, BY_NAME))


class Exporter:
    """A process that keeps, for others, what options come to, and then a model of one shape.

    Args:
        weights: the generator's file.
        device, precision, engine: as the options have them.
    """

    def __init__(self, weights: Path, device: str, precision: str, engine: str) -> None:
        self._given = [str(weights), device, precision, engine]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> bool:
        """Have it keep what the options come to, and be ready; whether it is.

        Raises:
            WeightsError, UsageError: as for the options in this process.
        """
        command, environment = calling("vidcolor.export_server", "serve", *self._given)
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env=environment, encoding="utf-8", errors="surrogateescape",
            )  # fmt: skip
            answer = self._process.stdout.readline().strip() if self._process.stdout else ""
        except (OSError, ValueError) as error:
            log.debug("nothing is exported in another process: %r", error)
            return False
        if answer == READY:
            return True
        self._end()
        try:
            kind, text = json.loads(answer)
            fault = getattr(errors, kind)(text)
        except (ValueError, TypeError, AttributeError):  # it has been stopped, or has not begun
            log.debug("nothing is exported in another process: %r", answer)
            return False
        raise fault

    def export(self, shape: tuple[int, ...]) -> bool:
        """Have a model for inputs of that shape kept; whether it may be."""
        if "torch" in sys.modules:
            return False
        if self._process is None or self._process.poll() is not None:  # it does not wait for ever
            self._end()
            if not self.start():
                return False
        self._end(json.dumps(shape))
        return True

    def _end(self, word: str = "") -> None:
        process, self._process = self._process, None
        if process is not None:
            process.communicate(word)
