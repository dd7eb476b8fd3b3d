"""Where networks run: devices by name, whether they compute, and what it means when they stop."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import warnings
from dataclasses import dataclass
from glob import glob
from typing import TYPE_CHECKING, Protocol

from vidcolor.errors import UsageError, first_line
from vidcolor.options import ONE_DEVICE

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

_WITHOUT_CUDA = "this torch was built without CUDA: pytorch.org/get-started has the command for one with it"

_OF_DEVICE = re.compile(
    r"(CUDA|HIP|MPS|cuDNN)( driver| internal)? error|(GET|FIND) was unable to find an engine"
    r"|Unable to find a valid cuDNN"
)


class Device(Protocol):
    """What of a ``torch.device`` others look at."""

    @property
    def type(self) -> str:
        """``cpu``, ``cuda`` or ``mps``."""

    @property
    def index(self) -> int | None:
        """Which of several."""

    def __hash__(self) -> int:
        """Others for others."""


@dataclass(frozen=True)
class Cpu:
    """The CPU, where torch has not been imported."""

    type: str = "cpu"
    index: int | None = None

    def __str__(self) -> str:
        return self.type


def may_have_gpu() -> bool:
    """Whether there are signs of a GPU that torch could use; to ask torch itself takes seconds."""
    if sys.platform == "darwin":
        return True
    if sys.platform == "win32":
        system = os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32")
        return os.path.exists(os.path.join(system, "nvcuda.dll"))
    signs = ("/dev/nvidia*", "/dev/nvhost*", "/dev/nvmap", "/dev/dxg", "/dev/kfd")
    return any(map(glob, signs)) or shutil.which("nvidia-smi") is not None


def resolve_device(name: str) -> torch.device:
    """The device that ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps`` stands for.

    ``auto`` is the CPU where there is a GPU that does not compute; a warning says why.

    Raises:
        UsageError: it is asked for by name and is not there or does not compute, or is none of these.
    """
    import torch  # here, because where an engine computes nobody needs it

    if not re.fullmatch(ONE_DEVICE, name):
        raise UsageError(f"--device {name}: auto, cpu, cuda, cuda:N or mps")
    if name == "auto":
        return _best_device()
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        why = "there is no such CUDA device" if _built_for_cuda() else _WITHOUT_CUDA
        raise UsageError(f"--device {name}: {why}; --device auto takes what there is")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError(
            f"--device {name}: this machine has no MPS device; --device auto takes what there is"
        )
    why_not = _why_not(device)
    if why_not is not None:
        raise UsageError(f"--device {name}: cannot be used ({why_not}); --device cpu does without")
    return device


def _best_device() -> torch.device:
    import torch

    with warnings.catch_warnings(record=True) as said:  # of a driver that is too old, for example
        warnings.simplefilter("always")
        kinds = ["cuda"] if torch.cuda.is_available() else []
    kinds += ["mps"] if torch.backends.mps.is_available() else []
    faults = [first_line(Exception(warning.message)) for warning in said]
    for kind in kinds:
        why_not = _why_not(torch.device(kind))
        if why_not is None:
            return torch.device(kind)
        faults.append(why_not)
    if not _built_for_cuda() and shutil.which("nvidia-smi"):
        faults.append(_WITHOUT_CUDA)
    if faults:
        log.warning("the GPU is not used (%s)", faults[-1])
    return torch.device("cpu")


def _built_for_cuda() -> bool:
    import torch

    return bool(torch.backends.cuda.is_built())  # type: ignore[no-untyped-call]


def _why_not(device: torch.device) -> str | None:
    """Why a device does not compute, None where it does.

    A driver may be too old for torch, torch may have no code for a GPU of that age, memory may be full.
    """
    if device.type == "cpu":
        return None
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch says at length what is said here in a line
            (torch.ones(1, device=device) + 1.0).item()
    except (RuntimeError, AssertionError) as error:
        return first_line(error)
    return None


def model_of(device: Device) -> str:
    """What a GPU is called by its makers; of other devices the kind."""
    if device.type != "cuda":
        return device.type
    import torch

    return torch.cuda.get_device_name(device.index)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory has run out, a GPU's or the machine's; torch's libraries say so in many ways."""
    text, torch = str(error).lower(), sys.modules.get("torch")
    return (
        isinstance(error, (MemoryError, getattr(torch, "OutOfMemoryError", MemoryError)))
        or any(words in text for words in ("out of memory", "outofmemory", "insufficient memory"))
        or ("alloc" in text and ("memory" in text or "_status_" in text))  # cuBLAS and cuDNN
        or "bad_alloc" in text  # OpenVINO
    )


def is_of_device(error: BaseException) -> bool:
    """Whether the device or its driver has failed: what follows in this process would fail as well."""
    return (
        isinstance(error, RuntimeError)
        and _OF_DEVICE.match(str(error)) is not None
        and not is_out_of_memory(error)
    )
