"""Generators on disk: safetensors with their configuration in the metadata. Nothing is unpickled."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn
from torch.overrides import TorchFunctionMode

from vidcolor.errors import WeightsError
from vidcolor.networks.base import ColourNetwork
from vidcolor.networks.cyclegan import CycleGenerator
from vidcolor.networks.encoder_unet import EncoderUNet
from vidcolor.networks.pix2pix import Pix2PixUNet
from vidcolor.networks.pix2pixhd import Pix2PixHD
from vidcolor.networks.unet import LiteUNet
from vidcolor.torchthreads import torch_threads
from vidcolor.weightfiles import find_weights, unreadable
from vidcolor.writing import write_whole

_FORMAT = "vidcolor-1"
_ARCHITECTURES: dict[str, type[ColourNetwork]] = {
    network.architecture: network
    for network in (LiteUNet, EncoderUNet, Pix2PixUNet, Pix2PixHD, CycleGenerator)
}


@dataclass(frozen=True, kw_only=True)
class Generator:
    """A generator ready for use.

    Attributes:
        network: in evaluation mode, float32, on the CPU; L* ``(N, 1, h, w)`` to ab ``(N, 2, h/k, w/k)``
            with k of 1 or 2.
        multiple: height and width must be multiples of this.
        path: the file that it came from.
        metadata: what the file says of itself (recipe, data, date, scores).
    """

    network: nn.Module
    multiple: int
    path: Path
    metadata: dict[str, str]


@torch_threads(1)
def load_generator(name: str) -> Generator:
    """Load the generator that ``name`` stands for (see :func:`~vidcolor.weightfiles.find_weights`).

    Raises:
        WeightsError: missing, damaged, of another architecture, or with tensors that do not fit or whose
            values are no numbers.
    """
    path = find_weights(name)
    try:
        with _opened(path) as file:
            metadata = file.metadata() or {}
            network = _outline(path, metadata)
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
            _compare(path, network, shapes)
            # of their own: what is in a mapped file Windows lets nobody write over, this process neither
            state = {key: file.get_tensor(key).clone() for key in shapes}
    except (SafetensorError, OSError) as error:
        raise unreadable(path, error) from error
    own = network.state_dict()
    state = {key: value.to(own[key].dtype) for key, value in state.items()}
    if not all(bool(value.isfinite().all()) for value in state.values()):
        raise WeightsError(f"{path}: some of its weights are no numbers (NaN or infinite)")
    network.load_state_dict(state, assign=True)
    return Generator(
        network=network.eval().requires_grad_(False),
        multiple=network.multiple,
        path=path,
        metadata=metadata,
    )


class _WithoutInitialisation(TorchFunctionMode):
    """Leaves new tensors as they are: values drawn for ``meta`` tensors are none, and to draw them (in torch
    2.6 to make zeros or ones, too) torch imports its compiler, which takes seconds and 190 MB."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return (kwargs or {}).get("tensor", args[0] if args else None)
        if func in (torch.zeros, torch.ones):
            func = torch.empty
        return func(*args, **(kwargs or {}))


def _outline(path: Path, metadata: dict[str, str]) -> ColourNetwork:
    """The network that a file claims to hold, without memory for its tensors: the claim may be absurd."""
    architecture = metadata.get("architecture", "")
    if metadata.get("format") != _FORMAT or architecture not in _ARCHITECTURES:
        known = ", ".join(_ARCHITECTURES)
        raise WeightsError(
            f"{path}: not weights of a vidcolor generator ({known}), or made by a newer version"
        )
    try:
        with torch.device("meta"), _WithoutInitialisation():
            return _ARCHITECTURES[architecture](**json.loads(metadata["config"]))
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise WeightsError(f"{path}: its configuration is damaged ({error!r})") from error


def _compare(path: Path, network: nn.Module, shapes: dict[str, tuple[int, ...]]) -> None:
    own = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    odd = sorted(k for k in own.keys() | shapes.keys() if own.get(k) != shapes.get(k))
    if odd:
        raise WeightsError(f"{path}: {len(odd)} tensors do not fit its architecture, {odd[0]} among them")


def metadata_of(path: Path) -> dict[str, str]:
    """What a weights file says of itself; empty where it is none of vidcolor's generators."""
    try:
        with _opened(path) as file:
            metadata: dict[str, str] = file.metadata() or {}
    except (SafetensorError, OSError):
        return {}
    return metadata if metadata.get("format") == _FORMAT else {}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file of safetensors.

    ``safe_open`` says of whatever it cannot open that it is missing, and takes no name that is not UTF-8.
    """
    with open(path, "rb") as file:
        name = os.fspath(path)
        try:
            name.encode()
        except UnicodeEncodeError:
            name = f"/dev/fd/{file.fileno()}"
        with safe_open(name, framework="pt", device="cpu") as opened:
            yield opened


def record(path: Path, **metadata: str) -> None:
    """Add ``metadata`` to a weights file; its tensors stay as they are.

    Raises:
        WeightsError, OutputError: it cannot be read, or not be written.
    """
    try:
        with _opened(path) as file:
            known = dict(file.metadata() or {})
            state = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise unreadable(path, error) from error
    _write(path, state, known | metadata)


def save_weights(path: Path, network: ColourNetwork, **metadata: str) -> None:
    """Write ``network`` in half precision with its configuration and further ``metadata``.

    A tensor whose values half precision cannot hold stays as it is.

    Raises:
        OutputError: the file cannot be written.
    """
    state = {k: _halved(v).contiguous() for k, v in network.state_dict().items()}
    header = {
        "format": _FORMAT,
        "architecture": network.architecture,
        "config": json.dumps(network.config),
        **metadata,
    }
    _write(path, state, header)


def _halved(value: torch.Tensor) -> torch.Tensor:
    half = value.to(torch.float16) if value.is_floating_point() else value
    return half if bool(half.isfinite().all()) else value


def _write(path: Path, state: dict[str, torch.Tensor], header: dict[str, str]) -> None:
    write_whole(path, lambda file: file.write(save(state, header)))
