"""What a run leaves behind beside its weights: numbers as JSON lines, sample pictures, curves."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidcolor.errors import OutputError
from vidcolor.writing import write_whole

log = logging.getLogger(__name__)

METRICS, CURVES = "metrics.jsonl", "curves.png"
SAMPLES = "samples/step-*.png"
"""What a run's folder holds, and which of its files are pictures."""


class Records:
    """Writes to a run's folder: ``metrics.jsonl``, ``samples/step-NNNNNN.png``, ``curves.png``.

    Where TensorBoard is installed, its event files go to ``tensorboard/``.

    Args:
        folder: of the run.
        step: from which on lines are new; later ones, of a run that was cut off, are dropped, and what was
            said of weights that were recalibrated after it.

    Raises:
        OutputError: of every method too: the folder cannot be written.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._folder = folder
        self._lines = folder / METRICS
        self._board: Any = _board(folder / "tensorboard", step)
        found = self._read()
        kept = [line for line in found if line["step"] <= step and line["kind"] != "recalibrated"]
        if len(kept) < len(found) or not self._whole():
            self._write_all(kept)

    def numbers(self, step: int, kind: str, values: Mapping[str, Any]) -> None:
        """Append a line: ``kind`` is ``train``, ``validation`` or ``recalibrated``."""
        try:
            with open(self._lines, "a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, "kind": kind, **values}) + "\n")
        except OSError as error:
            raise OutputError(f"{self._lines}: cannot be written ({error})") from error
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, (int, float)):
                    self._board.add_scalar(f"{kind}/{name}", value, step)

    def sample(self, step: int, picture: NDArray[np.uint8]) -> None:
        """Write a sample picture ``(h, w, 3)``."""
        path = self._folder / SAMPLES.replace("*", f"{step:06d}")
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error})") from error
        write_whole(path, lambda file: Image.fromarray(picture).save(file, "PNG"))

    def close(self) -> None:
        """Draw the curves, where matplotlib is there to do it."""
        if self._board is not None:
            self._board.close()
        try:
            _draw(self._read(), self._folder / CURVES)
        except ImportError:
            log.warning("no curves.png: matplotlib is not installed (pip install 'vidcolor[train]')")

    def _read(self) -> list[dict[str, Any]]:
        if not self._lines.exists():
            return []
        try:
            texts = self._lines.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as error:
            raise OutputError(f"{self._lines}: cannot be read ({error.strerror})") from error
        found = []
        for text in texts:
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                continue  # the line that was being written when the run was cut off
            if isinstance(line, dict) and isinstance(line.get("step"), int) and "kind" in line:
                found.append(line)
        return found

    def _whole(self) -> bool:
        """Whether the last line was written to its end."""
        return not self._lines.exists() or self._lines.read_bytes()[-1:] in (b"", b"\n")

    def _write_all(self, lines: list[dict[str, Any]]) -> None:
        text = "".join(json.dumps(line) + "\n" for line in lines)
        write_whole(self._lines, lambda file: file.write(text.encode()))


def _board(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)


def _draw(lines: list[dict[str, Any]], path: Path) -> None:
    """One small plot for each number, training and validation apart."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    series: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for line in lines:
        for name, value in line.items():
            if name not in ("step", "kind") and isinstance(value, (int, float)):
                series[f"{line['kind']} {name}"].append((line["step"], value))
    if not series:
        return
    columns = 3
    rows = -(-len(series) // columns)
    figure = Figure(figsize=(4.5 * columns, 2.6 * rows), layout="constrained")
    for number, (name, points) in enumerate(sorted(series.items()), 1):
        axes = figure.add_subplot(rows, columns, number)
        alone = len(points) == 1  # of which a line would show nothing
        axes.plot(*zip(*points, strict=True), linewidth=1.0, marker="o" if alone else "", markersize=4.0)
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=7)
    FigureCanvasAgg(figure)
    write_whole(path, lambda file: figure.savefig(file, format="png"))
