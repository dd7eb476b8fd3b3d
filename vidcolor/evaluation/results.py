"""The results file: everything needed to know what was measured, on what, with what."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from vidcolor import _version
from vidcolor.checkpoint import Generator
from vidcolor.evaluation.backbones import Backbone, Backbones, file_digest
from vidcolor.evaluation.collect import RESIZE
from vidcolor.evaluation.options import ImageOptions
from vidcolor.evaluation.pictures import PictureList
from vidcolor.evaluation.report import Report
from vidcolor.writing import write_whole

_LIBRARIES = ("torch", "torchvision", "numpy", "pillow", "opencv-python", "av", "lpips", "torch-fidelity")


def results(
    report: Report,
    options: ImageOptions,
    pictures: PictureList,
    damaged: list[str],
    backbones: Backbones,
    generator: Generator,
) -> dict[str, Any]:
    """The content of a results file.

    Args:
        report: the scores.
        options: what was asked for.
        pictures: what was scored.
        damaged: names of pictures left out.
        backbones: what judged.
        generator: what was scored; the hash is that of its file as it is now.
    """
    return {
        **origin(options.weights, generator, _LIBRARIES),
        "data": {
            "sources": [str(s) for s in options.data],
            "found": pictures.found,
            "chosen": len(pictures),
            "sha256": pictures.digest,
            "damaged": damaged,
        },
        "judges": {
            "inception": _judge(backbones.inception),
            "alexnet": _judge(backbones.alexnet),
            "resize": RESIZE,
        },
        "options": plain(options),
        "scores": report.as_dict(),
        "notes": report.notes,
    }


def origin(weights: str, generator: Generator, libraries: Iterable[str]) -> dict[str, Any]:
    """What every results file begins with: versions, the date, and what was scored.

    Args:
        weights: as they were asked for.
        generator: what they hold.
        libraries: whose versions are told.
    """
    return {
        "versions": {"vidcolor": _version.__version__, **{name: _installed(name) for name in libraries}},
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "weights": {"name": weights, "sha256": file_digest(generator.path), "metadata": generator.metadata},
    }


def write_results(path: Path, content: dict[str, Any]) -> None:
    """Write a results file.

    Raises:
        OutputError: it cannot be written.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    write_whole(path, lambda file: file.write(text.encode("utf-8", "replace")))


def plain(options: Any) -> dict[str, Any]:
    """Options of a scoring as values that JSON can hold, by name."""
    found: dict[str, Any] = json.loads(json.dumps(asdict(options), default=str))
    return found


def _judge(backbone: Backbone | None) -> dict[str, str] | None:
    return None if backbone is None else {"file": backbone.source, "sha256": backbone.digest}


def _installed(name: str) -> str | None:
    """Version of a library; None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
