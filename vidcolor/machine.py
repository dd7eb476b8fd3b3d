"""What the last digits of a film depend on beside what is asked for."""

from __future__ import annotations

import os
from typing import Any

import av
import cv2
import numpy as np
import torch

from vidcolor._version import __version__
from vidcolor.devices import model_of
from vidcolor.media.processors import processors


def describe_machine(device: torch.device, precision: str, engine: str, batch_size: int) -> dict[str, Any]:
    """What the last digits of the arithmetic depend on."""
    parts = ".".join(str(n) for n in av.library_versions["libavcodec"])
    return {
        "device": device.type,
        "precision": precision,
        "engine": engine,
        "batch size": batch_size,
        "torch threads": torch.get_num_threads(),
        "processors": processors(),
        "processors online": os.cpu_count(),
        "vidcolor": __version__,
        "torch": torch.__version__,
        "libavcodec": parts,
        "opencv": cv2.__version__,
        "numpy": np.__version__,
        **({"gpu": model_of(device)} if device.type == "cuda" else {}),
    }
