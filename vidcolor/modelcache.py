"""What engines compute, kept from one run to the next: who finds it there has no use for torch.

To import torch takes one to two seconds and, where it is built for CUDA, up to 480 MB. It is needed to write
a generator down for an engine, and to try what the engine makes of it, which another process can do
(:mod:`vidcolor.exporter`); after that the model is enough.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from vidcolor._version import __version__
from vidcolor.errors import OutputError
from vidcolor.torchthreads import TorchInfo
from vidcolor.writing import stamp, write_whole

log = logging.getLogger(__name__)

_PACKAGES = ("torch", "onnx", "onnxruntime", "openvino", "numpy")
_SETTINGS = ("OMP_", "GOMP_", "KMP_", "MKL_", "ATEN_", "ONEDNN_", "DNNL_", "OV_")
"""How the variables begin by which torch and engines are told how to compute."""
_MOST_MODELS = 8
"""Files of models that are kept, those used last; each takes some 20 MB."""
_SUFFIX, _PART = ".onnx", ".part"
_ABANDONED_SECONDS = 3600.0
"""Age of a fragment whose writer was killed."""
_DIGEST = hashlib.sha256().digest_size


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a film's options came to where torch could be asked.

    Attributes:
        precision, engine, multiple: as a predictor has them.
        torch: what it said of itself.
    """

    precision: str
    engine: str
    multiple: int
    torch: TorchInfo


def folder() -> Path | None:
    """Where it is kept: a folder of the user's for what can be made again; None where there is none."""
    path = user_cache_path("vidcolor", appauthor=False)
    return path if path.is_absolute() else None  # the user has no home


class ModelCache:
    """What is kept of one generator on this machine, with these versions of all that bears on it.

    Nothing goes wrong where nothing can be written or read: it is made anew.

    Args:
        weights: the generator's file.
        read_stamp: its :func:`~vidcolor.writing.stamp` when the generator was read; nothing is kept, or
            found, where it is another by now.

    Attributes:
        make_elsewhere: has a model for inputs of a shape kept by another process, and says whether it may be.
    """

    def __init__(self, weights: Path, read_stamp: tuple[int, ...]) -> None:
        self._weights, self._read_stamp = weights, read_stamp
        self.make_elsewhere: Callable[[tuple[int, ...]], bool] | None = None

    @property
    def writable(self) -> bool:
        """Whether something can be kept."""
        if self._folder is None:
            return False
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
        return os.access(self._folder, os.W_OK)

    @cached_property
    def _folder(self) -> Path | None:
        place = folder()
        if place is None:
            return None
        try:
            digest = hashlib.sha256(self._weights.read_bytes())
            if stamp(self._weights) != self._read_stamp:
                return None
        except OSError:
            return None
        digest.update(json.dumps([_versions(), _machine()]).encode())
        return place / digest.hexdigest()[:32]

    def choice(self, *asked: str) -> Choice | None:
        """What these options (device, precision, engine) came to before."""
        if self._folder is None:
            return None
        try:
            found = json.loads((self._folder / _name_of(asked)).read_text())
            return Choice(**found | {"torch": TorchInfo(**found["torch"])})
        except (OSError, ValueError, TypeError, LookupError):
            return None

    def keep_choice(self, choice: Choice, *asked: str) -> None:
        """Keep what these options came to."""
        if self.choice(*asked) != choice:
            self._write(_name_of(asked), json.dumps(asdict(choice)).encode())

    def model(self, name: str) -> bytes | None:
        """A model of that name, if it is kept and whole."""
        if self._folder is None:
            return None
        path = self._folder / f"{name}{_SUFFIX}"
        try:
            content = path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
            return None
        with suppress(OSError):
            os.utime(path)
        return content[_DIGEST:]

    def have_made(self, shape: tuple[int, ...]) -> bool:
        """Have a model for inputs of that shape kept by another process; whether it may be."""
        return self.make_elsewhere is not None and self.make_elsewhere(shape)

    def keep_model(self, name: str, model: bytes) -> None:
        """Keep a model under that name; those used longest ago go."""
        self._write(f"{name}{_SUFFIX}", hashlib.sha256(model).digest() + model)
        if self._folder is None:
            return
        with suppress(OSError):
            _tidy(self._folder.parent)

    def _write(self, name: str, content: bytes) -> None:
        if self._folder is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._folder / name, lambda file: file.write(content), alone=False)
        except (OSError, OutputError) as error:
            log.debug("%s is not kept: %r", name, error)


def _name_of(asked: tuple[str, ...]) -> str:
    return f"{' '.join(asked)}.json"


def _tidy(place: Path) -> None:
    """Let go of models that are too many, of choices without a model, and of fragments."""
    models = sorted(place.glob(f"*/*{_SUFFIX}"), key=_time_of_change)
    for path in models[:-_MOST_MODELS]:
        path.unlink()
        if not any(path.parent.glob(f"*{_SUFFIX}")):
            for choice in path.parent.glob("*.json"):
                choice.unlink()
            with suppress(OSError):  # somebody is writing there
                path.parent.rmdir()
    for part in place.glob(f"*/*{_PART}"):
        if time.time() - _time_of_change(part) > _ABANDONED_SECONDS:
            part.unlink()


def _time_of_change(path: Path) -> float:
    return path.stat().st_mtime


def _versions() -> list[Any]:
    found: list[Any] = [__version__, _digest_of_networks()]
    for name in _PACKAGES:
        try:
            found.append(metadata.version(name))
        except metadata.PackageNotFoundError:
            found.append(None)
    return found


@cache
def _digest_of_networks() -> str:
    """Tells the code that writes generators down from what it may have been."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).with_name("networks").glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _machine() -> list[Any]:
    """What torch's and an engine's choices follow from."""
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        text = platform.processor()
    lines = re.findall(r"^(?:vendor_id|model name|flags|Features|CPU part)\s*:.*$", text, re.MULTILINE)
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    settings = sorted(pair for pair in os.environ.items() if pair[0].startswith(_SETTINGS))
    return [sys.version, platform.machine(), sorted(set(lines)) or text, os.cpu_count(), processors, settings]
