"""The arithmetic of training."""

from __future__ import annotations

import torch

from vidcolor.stages.predict import resolve_precision


def training_precision(name: str, device: torch.device) -> torch.dtype:
    """What ``auto`` or a name stands for: as in use, but bf16 on GPUs that have it.

    Gradients need its range; in fp16 they have to be scaled.

    Raises:
        UsageError: fp16 on a CPU.
    """
    if name == "auto" and device.type == "cuda" and _has_bf16(device):
        return torch.bfloat16
    found: torch.dtype = getattr(torch, resolve_precision(name, device))
    return found


def _has_bf16(device: torch.device) -> bool:
    """Asked of that GPU: ``torch.cuda.is_bf16_supported`` looks at the current one, which may be another."""
    return torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)
