"""The networks that judge: Inception-v3 for FID and KID, AlexNet for LPIPS; from a folder or by download."""

from __future__ import annotations

import hashlib
import importlib
import pickle
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vidcolor.errors import WeightsError, first_line

SIDE = 299
"""Both networks see pictures of this height and width."""
_FEATURES = 2048
"""Values that Inception-v3's last pooling gives a picture; networks that end in classes give 1000 or so."""
_PATIENCE_S = 10.0
_SCRIPTS, _STATES, _ALEXNETS = ("inception*.pt",), ("*inception*.pth",), ("alexnet*.pth",)
UNREADABLE = (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError, TypeError)
"""What torch raises of damaged files."""
_INSTALL = "pip install 'vidcolor[metrics]'"

Say = Callable[[str], None]


class _UnavailableError(Exception):
    """A network cannot be had here; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A network that judges.

    Attributes:
        source: the file it came from.
        digest: SHA-256 of that file.
        run: Inception: ``(N, 3, 299, 299)`` uint8 R'G'B' to features ``(N, 2048)``;
            AlexNet: two such batches to distances ``(N,)``.
    """

    source: str
    digest: str
    run: Callable[..., Tensor]


@dataclass(frozen=True, kw_only=True)
class Backbones:
    """What there is to judge with; ``missing`` says of each network that is not there why."""

    inception: Backbone | None = None
    alexnet: Backbone | None = None
    missing: dict[str, str] = field(default_factory=dict)


def load_backbones(folder: Path | None, device: torch.device, say: Say) -> Backbones:
    """Load both networks from ``folder``, or, where that is None, as their libraries do (by download).

    A network that cannot be had is named in ``missing``. The network is asked with a timeout, and only
    for what has not been downloaded before.

    Args:
        folder: may hold ``inception*.pt`` (TorchScript, which is code: whoever names the folder trusts
            it), else ``*inception*.pth`` (torch-fidelity's state dict), and ``alexnet*.pth``
            (torchvision's state dict). State dicts are read without unpickling anything but tensors.
        device: where they will run.
        say: is told of a download before it begins.

    Raises:
        WeightsError: the folder holds none of these, or one of them is damaged.
    """
    if folder is not None and not any(first_file(folder, p) for p in (_SCRIPTS, _STATES, _ALEXNETS)):
        names = ", ".join((*_SCRIPTS, *_STATES, *_ALEXNETS))
        raise WeightsError(f"--metric-weights {folder}: holds none of {names}")
    missing: dict[str, str] = {}
    found: dict[str, Backbone | None] = {"inception": None, "alexnet": None}
    for name, load in (("inception", _inception), ("alexnet", _alexnet)):
        try:
            found[name] = load(folder, device, say)
        except _UnavailableError as error:
            missing[name] = str(error)
    return Backbones(inception=found["inception"], alexnet=found["alexnet"], missing=missing)


def first_file(folder: Path, patterns: tuple[str, ...]) -> Path | None:
    """The first file of the first pattern that a file in the folder fits."""
    return next((path for p in patterns for path in sorted(folder.glob(p)) if path.is_file()), None)


def _inception(folder: Path | None, device: torch.device, say: Say) -> Backbone:
    script = first_file(folder, _SCRIPTS) if folder is not None else None
    if script is not None:
        network, path = _scripted(script, device), script
    else:
        network, path = _fidelity(folder, device, say)

    @torch.inference_mode()
    def run(rgb: Tensor) -> Tensor:
        features: Tensor = network(rgb.to(device))
        if not isinstance(features, Tensor):
            raise TypeError(f"gives {type(features).__name__}, no tensor")
        return features.flatten(1).float().cpu()

    try:
        shape = run(torch.zeros(2, 3, SIDE, SIDE, dtype=torch.uint8)).shape
    except UNREADABLE as error:
        raise WeightsError(
            f"{path}: does not take pictures of {SIDE}x{SIDE} ({first_line(error)})"
        ) from error
    if tuple(shape) != (2, _FEATURES):
        raise WeightsError(
            f"{path}: gives {tuple(shape)} for two pictures, not {_FEATURES} features each: "
            "FID needs Inception-v3 without its classes"
        )
    return Backbone(source=path.name, digest=file_digest(path), run=run)


def _scripted(path: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r".*torch\.jit\.load.*deprecated")
            network = torch.jit.load(path, map_location=device).eval()  # type: ignore[no-untyped-call]
    except UNREADABLE as error:
        raise WeightsError(f"{path}: not readable as TorchScript ({first_line(error)})") from error

    def run(rgb: Tensor) -> Tensor:
        # the scale of the TensorFlow graph that FID is defined by: 0..255 to -1..127/128
        scaled = (rgb.float() - 128.0) / 128.0
        features: Tensor = network(scaled.contiguous(memory_format=torch.channels_last))
        return features

    return run


def _fidelity(folder: Path | None, device: torch.device, say: Say) -> tuple[Callable[[Tensor], Tensor], Path]:
    path = first_file(folder, _STATES) if folder is not None else None
    if folder is not None and path is None:
        raise _UnavailableError(f"{folder} holds neither {_SCRIPTS[0]} nor {_STATES[0]}")
    try:
        fidelity = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    except ImportError as error:
        raise _UnavailableError(f"torch-fidelity is not installed: {_INSTALL}") from error
    if path is None:
        path = _downloaded(fidelity.URL_INCEPTION_V3, "Inception-v3 (91 MB)", say)
    try:
        torch.load(path, map_location="cpu", weights_only=True)  # the library itself would unpickle anything
        network = fidelity.FeatureExtractorInceptionV3("inception", ["2048"], str(path)).to(device)
    except UNREADABLE as error:
        raise WeightsError(f"{path}: not the state dict of Inception-v3 ({first_line(error)})") from error
    return lambda rgb: network(rgb)[0], path


def _alexnet(folder: Path | None, device: torch.device, say: Say) -> Backbone:
    path = first_file(folder, _ALEXNETS) if folder is not None else None
    if folder is not None and path is None:
        raise _UnavailableError(f"{folder} holds no {_ALEXNETS[0]}")
    try:
        with warnings.catch_warnings():  # the library builds its trunk in a way that torchvision gave up
            warnings.filterwarnings("ignore", r"The parameter 'pretrained' is deprecated")
            warnings.filterwarnings("ignore", r"Arguments other than a weight enum")
            judge = importlib.import_module("lpips").LPIPS(net="alex", pnet_rand=True, verbose=False)
    except ImportError as error:
        raise _UnavailableError(f"lpips is not installed: {_INSTALL}") from error
    if path is None:
        from torchvision.models import AlexNet_Weights

        path = _downloaded(AlexNet_Weights.IMAGENET1K_V1.url, "AlexNet (233 MB)", say)
    _fill(judge.net, path)
    judge = judge.to(device).requires_grad_(False)

    @torch.inference_mode()
    def run(one: Tensor, other: Tensor) -> Tensor:
        x, y = (t.to(device).float() / 127.5 - 1.0 for t in (one, other))
        distances: Tensor = judge(x, y)
        return distances.flatten().cpu()

    return Backbone(source=path.name, digest=file_digest(path), run=run)


def _fill(trunk: nn.Module, path: Path) -> None:
    """Put the ``features`` of torchvision's AlexNet into the trunk, whose slices keep their numbers."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        own = trunk.state_dict()
        trunk.load_state_dict({key: state["features." + key.split(".", 1)[1]] for key in own})
    except UNREADABLE as error:
        raise WeightsError(
            f"{path}: not the state dict of torchvision's AlexNet ({first_line(error)})"
        ) from error


def _downloaded(url: str, what: str, say: Say) -> Path:
    """The file behind ``url`` in torch.hub's cache, fetched first where it is not there."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
    if path.is_file():
        return path
    say(f"downloading {what} to {path}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _patience():
            torch.hub.download_url_to_file(url, str(path), path.stem.rsplit("-", 1)[1], progress=False)
    except (OSError, RuntimeError, ValueError) as error:
        advice = "name a folder that has it with --metric-weights"
        raise _UnavailableError(f"{what} cannot be downloaded ({first_line(error)}); {advice}") from error
    return path


@contextmanager
def _patience() -> Iterator[None]:
    """A machine without a network gets its answer within seconds."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
