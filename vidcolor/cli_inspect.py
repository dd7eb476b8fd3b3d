"""``--preview``, ``--report`` and ``--status``: what looks at films, and makes none."""

from __future__ import annotations

import itertools
import json
import logging
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from vidcolor.cli_process import Manner, cancelled_by_signals, complain_of, printable
from vidcolor.errors import OutputError, UsageError, VidcolorError, worst
from vidcolor.options import Options

if TYPE_CHECKING:
    from vidcolor.result import Result

log = logging.getLogger("vidcolor")

_OF_A_SHEET = frozenset(
    {
        *("preview", "weights", "saturation", "render_size", "deinterlace", "framerate", "start", "duration"),
        *("device", "precision", "engine", "overwrite", "allow_references", "allow_network"),
        *("progress", "quiet", "verbose", "debug"),
    }
)
"""Parameters that a preview heeds, or that do not matter to it."""


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
        raise UsageError(f"--preview takes one film, not {len(inputs)}")
    if unused := _given_but(_OF_A_SHEET):
        log.warning("a preview does without %s", ", ".join(unused))
    with cancelled_by_signals() as caught:
        made = make_preview(inputs[0], out, looks, shots, cancel=caught.event)
    count = len(made.times)
    log.info("%s: %d picture%s, rows: %s", out, count, "s" * (count != 1), "; ".join(made.rows))
    return 0


def _given_but(used: frozenset[str]) -> list[str]:
    """Options of the running command that the user gave, without those ``used``."""
    context = click.get_current_context()
    given = [
        param
        for param in context.command.params
        if isinstance(param, click.Option)
        and param.name not in used
        and context.get_parameter_source(str(param.name)) is ParameterSource.COMMANDLINE
    ]
    return [(param.secondary_opts if param.name == "resume" else param.opts)[-1] for param in given]


def show_status(targets: tuple[str, ...], work_dir: str | None, *, as_json: bool) -> int:
    """Say how far the jobs of these targets are; the exit code.

    Raises:
        OutputError: there is no standard output.
    """
    from vidcolor.status import job_status

    if sys.stdout is None:
        raise OutputError("standard output is closed")
    codes = []
    for target in targets:
        try:
            found = job_status(target, work_dir)
        except VidcolorError as error:
            codes.append(complain_of(error))
            continue
        line = json.dumps(asdict(found)) if as_json else str(found)
        if sys.stdout.isatty():
            click.echo(printable(line))
        else:  # names as they are, whatever they hold
            click.echo(line.encode("utf-8", "surrogateescape"))
    return worst(codes)


def check_reports(targets: list[tuple[str, str]], report: Path, options: Options) -> None:
    """Refuse a report, before the work, that could not be made after it."""
    from vidcolor.finished import already_done
    from vidcolor.report.making import check_report, is_about

    if len(targets) > 1:
        raise UsageError("--report is about one film: vidcolor-report makes one of each pair")
    if options.compare is not None:
        raise UsageError("--report shows before and after by itself: with --compare it would be wrong")
    source, target = targets[0]
    there = is_about(report, target) and already_done(source, target, options) is not None
    check_report(source, target, report, overwrite=options.overwrite or there)


def report_on(result: Result, options: Options, report: Path, warnings: list[str], manner: Manner) -> int:
    """Make the page about a film that is done, with a bar or nothing (no JSON); the exit code of both.

    Raises:
        VidcolorError: a signal has ended it.
    """
    from vidcolor.cli_progress import Display
    from vidcolor.report.making import is_about, make_report
    from vidcolor.result import clock

    if result.already and is_about(report, result.target):
        log.info("%s: is there already", report)
        return result.exit_code
    defaults = Options()
    changed = {
        field.name.replace("_", "-"): str(getattr(options, field.name))
        for field in fields(options)
        if getattr(options, field.name) != getattr(defaults, field.name)
    }
    facts = {
        "weights": options.weights,
        "options": ", ".join(f"{k} {v}" for k, v in changed.items()) or "none",
    }
    if not result.already:
        speed = result.frames / max(result.seconds, 1e-6)
        facts["time"] = f"{clock(result.seconds)}, {speed:.1f} frames a second"
        facts["device"] = result.machine
        facts["encoder"] = result.codec
    try:
        shown = "none" if manner.progress == "json" else manner.progress
        with Display(shown, result.target, "report") as display:
            make_report(
                result.source,
                result.target,
                report,
                facts=facts,
                warnings=warnings,
                start=options.start,
                overwrite=options.overwrite,
                cancel=manner.cancel,
                options=options,
                progress=display.callback,
            )
    except VidcolorError as error:
        if manner.cancel.is_set():
            raise
        return complain_of(error, manner.debug)
    log.info("%s: a report on %s", report, result.target)
    return result.exit_code
