"""``--preview`` and ``--status``: what looks, and makes no film."""

from __future__ import annotations

import itertools
import json
import logging
from dataclasses import asdict
from typing import Any

import click

from vidcolor.cli_process import cancelled_by_signals
from vidcolor.errors import UsageError, VidcolorError
from vidcolor.options import Options

log = logging.getLogger("vidcolor")


def looks_of(given: dict[str, Any], *, several: bool) -> list[Options]:
    """Options for each combination of what may be given several times."""
    names = ("weights", "saturation", "render_size")
    for name in names:
        if len(given[name]) > 1 and not several:
            raise UsageError(f"--{name.replace('_', '-')}: several are for --preview")
    chosen = itertools.product(*(given[name] for name in names))
    return [Options(**(given | dict(zip(names, values, strict=True)))) for values in chosen]


def show_preview(inputs: tuple[str, ...], out: str, looks: list[Options], shots: int) -> int:
    """Make the sheet, and say what is on it; the exit code."""
    from vidcolor.preview import make_preview

    if len(inputs) > 1:
        raise UsageError("--preview takes one film")
    with cancelled_by_signals() as caught:
        try:
            made = make_preview(inputs[0], out, looks, shots, cancel=caught.event)
        except VidcolorError:
            if caught.signal is not None:
                return 128 + caught.signal
            raise
    log.info("%s: %d shots, rows: %s", out, len(made.times), "; ".join(made.rows))
    return 0


def show_status(targets: tuple[str, ...], work_dir: str | None, *, as_json: bool) -> int:
    """Say how far the jobs of these targets are; the exit code."""
    from vidcolor.status import job_status

    for target in targets:
        found = job_status(target, work_dir)
        click.echo(json.dumps(asdict(found)) if as_json else str(found))
    return 0
