"""What the last digits of a film depend on beside what is asked for."""

from __future__ import annotations

import os
from typing import Any

import av
import cv2
import numpy as np

from vidcolor._version import __version__
from vidcolor.devices import Device, model_of
from vidcolor.media.processors import processors
from vidcolor.torchthreads import thread_count, torch_version


def describe_machine(device: Device, precision: str, engine: str, batch_size: int) -> dict[str, Any]:
    """What the last digits of the arithmetic depend on."""
    parts = ".".join(str(n) for n in av.library_versions["libavcodec"])
    return {
        "device": device.type,
        "precision": precision,
        "engine": engine,
        "batch size": batch_size,
        "torch threads": thread_count(),
        "processors": processors(),
        "processors online": os.cpu_count(),
        "vidcolor": __version__,
        "torch": torch_version(),
        "libavcodec": parts,
        "opencv": cv2.__version__,
        "numpy": np.__version__,
        **({"gpu": model_of(device)} if device.type == "cuda" else {}),
    }
