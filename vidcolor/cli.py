"""``vidcolor``: parses the command line, builds options, calls the library, maps errors to exit codes."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from vidcolor.cli_inspect import check_reports, looks_of, report_on, show_preview, show_status
from vidcolor.cli_options import (
    CONTEXT,
    TALK,
    GroupedCommand,
    as_fraction,
    as_pairs,
    as_time,
    dashed_name,
    file_names,
    folder_option,
    option,
    printing,
    show_version,
)
from vidcolor.cli_process import (
    Manner,
    arguments,
    cancelled_by_signals,
    complain,
    complain_of,
    film_output,
    prepare_process,
    require_a_folder,
    set_up_log,
)
from vidcolor.cli_targets import folder_of, targets_of
from vidcolor.errors import Interrupted, ReaderClosed, UsageError, VidcolorError, worst
from vidcolor.logs import WarningCollector
from vidcolor.options import COMPARISONS, ENGINES, PRECISIONS, PREVIEW_SHOTS, TEMPORAL, Options

log = logging.getLogger("vidcolor")

_DEFAULTS = Options()
_LOOK, _FILM, _TARGET, _SPAN, _MACHINE, _RESUME, _TRUST = (
    "Colour", "Picture encoding", "Target", "What to colour", "Machine", "Going on", "Trust",
)  # fmt: skip


@click.command(cls=GroupedCommand, context_settings=CONTEXT, short_help="colour black-and-white films")
@click.argument("inputs", nargs=-1, metavar="IN...", shell_complete=file_names)
@click.argument("out", metavar="OUT", shell_complete=file_names)
@option(
    _LOOK,
    "--weights",
    multiple=True,
    default=[_DEFAULTS.weights],
    shell_complete=file_names,
    help="Generator: default, steady, or a file.",
)
@option(
    _LOOK, "--saturation", type=float, multiple=True, default=[_DEFAULTS.saturation], help="Factor on colour."
)
@option(
    _LOOK,
    "--temporal",
    type=click.Choice(TEMPORAL),
    default=_DEFAULTS.temporal,
    help="Smoothing over time: along motion, plain average, none.",
)
@option(_LOOK, "--smoothing", type=float, default=_DEFAULTS.smoothing, help="0 none, 1 most.")
@option(_LOOK, "--every-frame", is_flag=True, help="Generator colours all; else half, if motion tells.")
@option(_LOOK, "--match-shots", is_flag=True, help="Scan first: shots that come back keep their colours.")
@option(
    _LOOK,
    "--render-size",
    type=int,
    multiple=True,
    default=[_DEFAULTS.render_size],
    help="Short side of the picture that the generator sees, in pixels.",
)
@option(_LOOK, "--compare", type=click.Choice(COMPARISONS), help="Show before and after in one film.")
@option(
    _LOOK,
    "--preview",
    type=int,
    is_flag=False,
    flag_value=PREVIEW_SHOTS,
    metavar="[N]",
    help="Only make a sheet OUT (.png) of N shots, a row for each --weights, --saturation, --render-size "
    f"given [{PREVIEW_SHOTS}].",
)
@option(_FILM, "--codec", help="FFmpeg encoder [default: by container and depth].")
@option(_FILM, "--crf", type=float, help="Constant quality; 0 is lossless [default: 18].")
@option(_FILM, "--preset", help="Encoder's speed preset.")
@option(_FILM, "--pix-fmt", help="Pixel format [default: as the source; grey becomes 4:2:0].")
@option(
    _FILM,
    "--encoder-option",
    "encoder_options",
    multiple=True,
    metavar="K=V",
    callback=as_pairs,
    help="Further encoder option; repeatable.",
)
@option(
    _TARGET,
    "--audio",
    default=_DEFAULTS.audio,
    metavar="auto|copy|none|CODEC",
    help="Sound: copied where the container takes it, else re-encoded.",
)
@option(_TARGET, "--format", help="Container [default: by OUT's suffix; Matroska on a pipe].")
@option(_TARGET, "-y", "--overwrite", is_flag=True, help="Replace OUT if it exists.")
@option(_SPAN, "--start", callback=as_time, metavar="TIME", help="Begin here (seconds or HH:MM:SS.mmm).")
@option(_SPAN, "--duration", callback=as_time, metavar="TIME", help="Colour this much.")
@option(_SPAN, "--deinterlace", is_flag=True, help="Deinterlace (bwdif); changes luma.")
@option(_SPAN, "--framerate", callback=as_fraction, metavar="FPS", help="Of an image sequence [default: 25].")
@option(
    _MACHINE,
    "--device",
    default=_DEFAULTS.device,
    metavar="auto|cpu|cuda[:N]|mps",
    help="Where the generator runs; several, as cuda:0,cuda:1, have a process each.",
)
@option(_MACHINE, "--jobs", type=int, help="Processes that share one film [default: one a device].")
@option(_MACHINE, "--ray", metavar="ADDRESS", help="Have a Ray cluster make it: auto, or HOST:PORT.")
@option(
    _MACHINE,
    "--precision",
    type=click.Choice(PRECISIONS),
    default=_DEFAULTS.precision,
    help="Its arithmetic; auto: fp16 on CUDA, bf16 on CPUs that are quicker so, else fp32.",
)
@option(
    _MACHINE,
    "--engine",
    type=click.Choice(ENGINES),
    default=_DEFAULTS.engine,
    help="What computes it on a CPU; auto: OpenVINO (bf16) or ONNX Runtime (fp32) if installed.",
)
@option(_MACHINE, "--batch-size", type=int, help="Pictures a batch [default: by cores, or a GPU's memory].")
@option(_RESUME, "--restart", is_flag=True, help="Forget what an earlier run has finished.")
@option(
    _RESUME,
    "--resume/--no-resume",
    default=True,
    help="Keep what is finished if the job is interrupted, and go on from there.",
)
@folder_option(_RESUME, "--work-dir", help="Existing folder for what is finished [default: beside OUT].")
@option(_RESUME, "--accept-drift", is_flag=True, help="Go on though machine or libraries have changed.")
@option(_RESUME, "--status", is_flag=True, help="Only say how far OUT is; several may be named.")
@option(
    _TRUST, "--allow-references", is_flag=True, help="Let playlists (concat, HLS, DASH…) open other files."
)
@option(_TRUST, "--allow-network", is_flag=True, help="Take URLs.")
@option(
    TALK,
    "--progress",
    type=click.Choice(["auto", "bar", "json", "none"]),
    default="auto",
    help="Progress on standard error.",
)
@option(TALK, "--report", type=click.Path(path_type=Path), help="Also make a page about the film: FILE.html.")
@option(TALK, "-q", "--quiet", is_flag=True, help="Errors only.")
@option(TALK, "-v", "--verbose", is_flag=True, help="Say more.")
@option(TALK, "--debug", is_flag=True, help="Show tracebacks.")
@option(
    TALK,
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=show_version,
    help="Versions of vidcolor, torch, FFmpeg, and the device.",
)
def command(
    inputs: tuple[str, ...],
    out: str,
    progress: str,
    quiet: bool,
    verbose: bool,
    debug: bool,
    status: bool,
    preview: int | None,
    report: Path | None,
    **given: Any,
) -> int:
    """Colour the black-and-white film IN and write it to OUT.

    Luma, timing, sound and everything else in the file stay as they are; only chroma is new. IN and OUT
    may be - for standard input and output. Several films go into a folder (OUT/). A job that was
    interrupted goes on when the same command is run again.
    """
    lines = set_up_log(quiet, verbose or debug)
    if status:
        return show_status((*inputs, out), given["work_dir"], as_json=progress == "json")
    if not inputs:
        raise click.UsageError("IN and OUT are both needed")
    looks = looks_of(given, several=preview is not None)
    if preview is not None:
        return show_preview(inputs, out, looks, preview)
    options = looks[0]
    targets = targets_of(inputs, out, options.format)
    if report is not None:
        check_reports(targets, report, options)
    if quiet and progress == "auto":
        progress = "none"
    with folder_of(out), cancelled_by_signals() as caught:
        manner = Manner(progress=progress, report=report, debug=debug, cancel=caught.event)
        codes = []
        for source, target in targets:
            if caught.event.is_set():
                raise Interrupted
            lines.about = (source, target) if len(targets) > 1 else ()
            codes.append(_one(source, target, options, manner))
            if codes[-1] == ReaderClosed.exit_code:
                break
    return worst(codes)


def _one(source: str, target: str, options: Options, manner: Manner) -> int:
    """Colour one film, and make the report on it; the exit code.

    Raises:
        VidcolorError: a signal has ended it.
    """
    from vidcolor.cli_progress import Display
    from vidcolor.job import colorize
    from vidcolor.result import clock, frame_count

    try:
        with (
            Display(manner.progress, source) as display,
            film_output(target) as fd,
            WarningCollector() as warnings,
        ):
            result = colorize(source, target, options, display.callback, cancel=manner.cancel, output_fd=fd)
    except Exception as error:
        if manner.cancel.is_set() and isinstance(error, VidcolorError):
            raise
        return complain_of(error, manner.debug, source)
    spent = clock(result.seconds)
    if result.already:
        log.info("%s: already done%s", target, ", with losses" if result.exit_code else "")
    else:
        made = f"{frame_count(result.frames)} in {spent}"
        log.info("%s: %s on %s, %s", result.target, made, result.machine, result.codec)
    if manner.report is not None:
        return report_on(result, options, manner.report, [message for _, message in warnings.take()], manner)
    return result.exit_code


def main() -> None:
    """Entry point of ``vidcolor``."""
    prepare_process()
    debug = "--debug" in sys.argv
    try:
        require_a_folder()
        with printing():
            code = command.main(arguments(), prog_name="vidcolor", standalone_mode=False)
    except click.ClickException as error:
        set_up_log(False, False)
        hint = dashed_name(error) or "vidcolor --help lists what there is"
        complain(f"{error.format_message().rstrip('.')}; {hint}", debug)
        code = UsageError.exit_code
    except click.Abort:
        code = 130
    except Exception as error:
        set_up_log(False, False)
        code = complain_of(error, debug)
    _leave(int(code or 0))


def _leave(code: int) -> None:
    """End at once: a reader thread may hang in a read that never returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one changes nothing any more
    logging.shutdown()
    if "multiprocessing.synchronize" in sys.modules:  # what worker processes shared would be complained of
        gc.collect()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            code = code or ReaderClosed.exit_code
    os._exit(code)
