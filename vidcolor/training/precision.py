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
    if name == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return resolve_precision(name, device)
