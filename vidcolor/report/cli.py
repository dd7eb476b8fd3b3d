"""``vidcolor-report``: a page about a film before and after."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import click

from vidcolor.cli_options import file_names, printing
from vidcolor.cli_process import (
    arguments,
    cancelled_by_signals,
    complain_of,
    log_all_as,
    require_a_folder,
    secure_standard_streams,
)
from vidcolor.errors import UsageError

log = logging.getLogger("vidcolor")


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]}, short_help="make a page about a coloured film"
)
@click.argument("before", type=str, shell_complete=file_names)
@click.argument("after", type=str, shell_complete=file_names)
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="The page, report.html.")
@click.option("-y", "--overwrite", is_flag=True, help="Replace OUT if it exists.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show a traceback with an error.")
def command(before: str, after: str, out: Path, overwrite: bool) -> int:
    """Make a page that shows what became of the film BEFORE in AFTER: a slider for each shot, and how
    colours run over time. It is one file and needs no network.
    """
    from vidcolor.cli_progress import Display
    from vidcolor.report.making import make_report
    from vidcolor.result import frame_count

    with cancelled_by_signals() as caught, Display("auto", after, "reading") as display:
        found = make_report(
            before,
            after,
            out,
            overwrite=overwrite,
            cancel=caught.event,
            progress=display.callback,
        )
    if found.strangers:
        log.warning(
            "%s: shows something else than %s at the same times: are both of one film?", after, before
        )
    shots = len(found.shots)
    log.info("%s: %s, %d shot%s", out, frame_count(len(found.times)), shots, "s" if shots != 1 else "")
    return 0


def main() -> None:
    """Entry point of ``vidcolor-report``."""
    secure_standard_streams()
    log_all_as("vidcolor-report", logging.INFO, alone=True)
    try:
        require_a_folder()
        with printing():
            code = command.main(arguments(), prog_name="vidcolor-report", standalone_mode=False)
    except click.ClickException as error:
        log.error("%s; vidcolor-report --help lists what there is", error.format_message().rstrip("."))
        code = UsageError.exit_code
    except click.Abort:
        code = 130
    except Exception as error:
        code = complain_of(error, "--debug" in sys.argv[1:])
    sys.exit(int(code or 0))
