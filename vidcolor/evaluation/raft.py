"""RAFT as the judge of films: motion by a network that the filter knows nothing of.

Source: Teed and Deng, "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow" (ECCV 2020); the network
is torchvision's ``raft_large``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vidcolor.errors import UsageError, WeightsError, first_line
from vidcolor.evaluation.backbones import UNREADABLE, file_digest, first_file
from vidcolor.frames import Floats

NAMES = ("raft-things.pth", "raft_large*.pth")
"""The authors' checkpoint, or torchvision's state dict."""
_MULTIPLE = 8
_SMALLEST = 128
# from the authors' names to torchvision's, applied one after the other
_RENAMED = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^module\.", ""),
        (r"^fnet\.", "feature_encoder."),
        (r"^cnet\.", "context_encoder."),
        (r"^(\w+_encoder)\.conv1\.", r"\1.convnormrelu.0."),
        (r"^(\w+_encoder)\.norm1\.", r"\1.convnormrelu.1."),
        (r"^(\w+_encoder)\.conv2\.", r"\1.conv."),
        (r"^(\w+_encoder\.layer\d\.\d)\.conv(\d)\.", r"\1.convnormrelu\2.0."),
        (r"^(\w+_encoder\.layer\d\.\d)\.norm([12])\.", r"\1.convnormrelu\2.1."),
        (r"^update_block\.encoder\.convc(\d)\.", r"update_block.motion_encoder.convcorr\1.0."),
        (r"^update_block\.encoder\.convf(\d)\.", r"update_block.motion_encoder.convflow\1.0."),
        (r"^update_block\.encoder\.conv\.", "update_block.motion_encoder.conv.0."),
        (r"^update_block\.gru\.conv([zrq])([12])\.", r"update_block.recurrent_block.convgru\2.conv\1."),
        (r"^update_block\.mask\.0\.", "mask_predictor.convrelu.0."),
        (r"^update_block\.mask\.2\.", "mask_predictor.conv."),
    )
)
_TWICE = re.compile(r"\.layer\d\.\d\.norm3\.")
"""The authors' blocks hold this layer under a second name, ``downsample.1``."""


class Raft:
    """Motion between two pictures, as :data:`vidcolor.evaluation.motion.FlowMethod`.

    Args:
        folder: holds ``raft-things.pth`` or ``raft_large*.pth``, of which tensors alone are unpickled.
        device: where it runs.

    Attributes:
        source, digest: name of the file and SHA-256 of it.

    Raises:
        UsageError: no folder is named.
        WeightsError: the folder has no such file, or the file does not hold RAFT's weights.
    """

    def __init__(self, folder: Path | None, device: torch.device) -> None:
        from torchvision.models.optical_flow import raft_large

        path = _find(folder)
        network = raft_large(weights=None).eval().requires_grad_(False)
        network.load_state_dict(_fitting(path, network.state_dict()))
        self.source, self.digest = path.name, file_digest(path)
        self._network: Any = network.to(device)
        self._device = device

    @torch.inference_mode()
    def __call__(self, one: Floats, other: Floats) -> Floats:
        """Flow ``(h, w, 2)`` in pixels of Y' ``(h, w)``, 0 to 1, after the usual 12 updates."""
        height, width = one.shape
        flow = self._network(self._tensor(one), self._tensor(other))[-1]  # (1, 2, H, W)
        cropped = flow[0, :, :height, :width].permute(1, 2, 0)  # (2, H, W) to (h, w, 2)
        return np.ascontiguousarray(cropped.float().cpu().numpy())

    def _tensor(self, grey: Floats) -> Tensor:
        """``(1, 3, H, W)`` in ±1, edges repeated downwards and to the right up to sides that RAFT takes."""
        height, width = (max(_SMALLEST, -(-side // _MULTIPLE) * _MULTIPLE) for side in grey.shape)
        plane = torch.from_numpy(np.ascontiguousarray(grey))[None, None].to(self._device)
        bottom, right = height - grey.shape[0], width - grey.shape[1]
        return F.pad(plane * 2.0 - 1.0, (0, right, 0, bottom), mode="replicate").expand(1, 3, height, width)


def _find(folder: Path | None) -> Path:
    if folder is None:
        raise UsageError(
            "--flow raft needs RAFT's weights: name a folder that has them with --metric-weights"
        )
    path = first_file(folder, NAMES)
    if path is None:
        raise WeightsError(f"--metric-weights {folder}: holds none of {', '.join(NAMES)}")
    return path


def _fitting(path: Path, own: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file under torchvision's names: all of ``own``, in their shapes, and no others."""
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise WeightsError(f"{path}: not readable as RAFT's weights ({first_line(error)})") from error
    if not isinstance(loaded, dict):
        raise WeightsError(f"{path}: not RAFT's weights (no state dict)")
    state = {_renamed(str(key)): value for key, value in loaded.items() if not _TWICE.search(str(key))}
    missing = sorted(own.keys() - state.keys())
    unknown = sorted(state.keys() - own.keys())
    other = sorted(k for k in own.keys() & state.keys() if getattr(state[k], "shape", None) != own[k].shape)
    for keys, what in ((missing, "missing"), (unknown, "unknown"), (other, "of another shape")):
        if keys:
            raise WeightsError(f"{path}: not RAFT's weights ({len(keys)} tensors {what}, such as {keys[0]})")
    return state


def _renamed(key: str) -> str:
    for pattern, replacement in _RENAMED:
        key = pattern.sub(replacement, key)
    return key
