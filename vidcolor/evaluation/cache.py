"""Keeps what depends on the pictures and the judging networks alone, for the next generator."""

from __future__ import annotations

import hashlib
import logging
import zipfile
from pathlib import Path

import numpy as np
import PIL

from vidcolor.errors import OutputError
from vidcolor.evaluation.backbones import Backbones
from vidcolor.evaluation.collect import RESIZE, Measures
from vidcolor.evaluation.pictures import PictureList
from vidcolor.writing import write_whole

log = logging.getLogger(__name__)

_FORMAT = "2"
"""To be raised when a measure of grey or truth changes its meaning."""


def cache_file(folder: Path, pictures: PictureList, backbones: Backbones) -> Path:
    """The file for these pictures, judged by these networks; makes the folder.

    Raises:
        OutputError: the folder cannot be made.
    """
    networks = [b.digest if b is not None else "none" for b in (backbones.inception, backbones.alexnet)]
    key = "\n".join((_FORMAT, pictures.digest, *networks, RESIZE, PIL.__version__))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"--cache {folder}: cannot be made ({error.strerror})") from error
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"


def load_measures(path: Path) -> Measures | None:
    """Measures of an earlier run; None where there are none or the file is damaged."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
        # RuntimeError: flags and versions that zipfile does not read
        log.warning("%s: damaged, measured again (%s)", path, error)
        return None


def save_measures(path: Path, measures: Measures) -> None:
    """Write the measures for the next run.

    Raises:
        OutputError: the file cannot be written.
    """
    write_whole(path, lambda file: np.savez(file, **measures), alone=False)  # type: ignore[arg-type]
