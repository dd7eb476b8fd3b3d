"""What another process does to export a generator for one without torch; :mod:`vidcolor.exporter` asks it."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

import numpy as np

from vidcolor.devices import resolve_device
from vidcolor.errors import VidcolorError
from vidcolor.exporter import READY
from vidcolor.options import TORCH, Options
from vidcolor.predictors import make_predictor, note_choice
from vidcolor.stages.predict import resolve_precision
from vidcolor.torchthreads import import_torch

_LONGEST_S = 30.0
"""How long a shape is waited for: none comes where models are kept already."""


def serve(weights: str, device: str, precision: str, engine: str) -> None:
    """Keep what options come to, say so, read a shape and keep a model for inputs of it.

    Args:
        weights: the generator's file; the others are as the options have them.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with its parent
    info = import_torch()
    try:
        chosen = resolve_device(device)
        able = resolve_precision(precision, chosen, engine)
        predictor = make_predictor(Path(weights), chosen, able, engine)
    except VidcolorError as error:
        _say(json.dumps([type(error).__name__, str(error)]))
        return
    if info is not None:
        note_choice(Options(device=device, precision=precision, engine=engine), predictor, info)
    _say(READY)
    if predictor.engine == TORCH:
        return
    patience = threading.Timer(_LONGEST_S, os._exit, (1,))
    patience.daemon = True
    patience.start()
    shape = sys.stdin.readline()
    patience.cancel()
    if shape:
        lightness = np.zeros(json.loads(shape), np.float32)
        predictor(lightness, lightness.shape[2:])


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
