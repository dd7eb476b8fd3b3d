"""``vidcolor``: parses the command line, builds options, calls the library, maps errors to exit codes."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from vidcolor._version import __version__
from vidcolor.cli_process import Caught, cancelled_by_signals, fill_standard_descriptors, film_output
from vidcolor.errors import EXIT_BUG, ReaderClosed, UsageError, VidcolorError, worst
from vidcolor.options import PRECISIONS, TEMPORAL, Options, parse_seconds

log = logging.getLogger("vidcolor")

_DEFAULTS = Options()
_LOOK, _FILM, _TARGET, _SPAN, _MACHINE, _TRUST, _TALK = (
    "Colour", "Picture encoding", "Target", "What to colour", "Machine", "Trust", "Messages",
)  # fmt: skip


class GroupedCommand(click.Command):
    """A command whose help lists its options under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section a heading, in the order of their first options."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                sections.setdefault(getattr(param, "heading", _TALK), []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def _option(heading: str, *names: str, **settings: Any) -> Callable[[Any], Any]:
    class Headed(click.Option):
        pass

    Headed.heading = heading  # type: ignore[attr-defined]
    return click.option(*names, cls=Headed, **settings)


def _time(_: click.Context, __: click.Parameter, value: str | None) -> Any:
    return None if value is None else parse_seconds(value)


def _pairs(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    for value in values:
        if "=" not in value:
            raise UsageError(f"--encoder-option {value}: is not KEY=VALUE")
    return dict(value.split("=", 1) for value in values)


def _fraction(_: click.Context, __: click.Parameter, value: str | None) -> Any:
    from fractions import Fraction

    try:
        return None if value is None else Fraction(value)
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(f"--framerate {value}: use a number or a ratio as 24000/1001") from error


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    import av
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    parts = ".".join(str(n) for n in av.library_versions["libavcodec"])
    ffmpeg = getattr(av, "ffmpeg_version_info", f"libavcodec {parts}")
    click.echo(
        f"vidcolor {__version__}, torch {torch.__version__}, PyAV {av.__version__}, FFmpeg {ffmpeg}, {device}"
    )
    ctx.exit()


@click.command(
    cls=GroupedCommand, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.argument("inputs", nargs=-1, required=True, metavar="IN...")
@click.argument("out", metavar="OUT")
@_option(
    _LOOK,
    "--weights",
    default=_DEFAULTS.weights,
    show_default=True,
    help="Generator: a file, or a shipped name.",
)
@_option(
    _LOOK,
    "--saturation",
    type=float,
    default=_DEFAULTS.saturation,
    show_default=True,
    help="Factor on colour.",
)
@_option(
    _LOOK,
    "--temporal",
    type=click.Choice(TEMPORAL),
    default=_DEFAULTS.temporal,
    show_default=True,
    help="Smoothing over time: along motion, plain average, none.",
)
@_option(
    _LOOK, "--smoothing", type=float, default=_DEFAULTS.smoothing, show_default=True, help="0 none, 1 most."
)
@_option(_LOOK, "--match-shots", is_flag=True, help="Scan first: shots that come back keep their colours.")
@_option(
    _LOOK,
    "--render-size",
    type=int,
    default=_DEFAULTS.render_size,
    show_default=True,
    help="Short side of the picture that the generator sees, in pixels.",
)
@_option(_FILM, "--codec", help="FFmpeg encoder [default: by container and depth].")
@_option(_FILM, "--crf", type=float, help="Constant quality; 0 is lossless [default: 18].")
@_option(_FILM, "--preset", help="Encoder's speed preset.")
@_option(_FILM, "--pix-fmt", help="Pixel format [default: as the source; grey becomes 4:2:0].")
@_option(
    _FILM,
    "--encoder-option",
    "encoder_options",
    multiple=True,
    metavar="K=V",
    callback=_pairs,
    help="Further encoder option; repeatable.",
)
@_option(
    _TARGET,
    "--audio",
    default=_DEFAULTS.audio,
    show_default=True,
    metavar="auto|copy|none|CODEC",
    help="Sound: copied where the container takes it, else re-encoded.",
)
@_option(_TARGET, "--format", help="Container [default: by OUT's suffix; Matroska on a pipe].")
@_option(_TARGET, "-y", "--overwrite", is_flag=True, help="Replace OUT if it exists.")
@_option(_SPAN, "--start", callback=_time, metavar="TIME", help="Begin here (seconds or HH:MM:SS.mmm).")
@_option(_SPAN, "--duration", callback=_time, metavar="TIME", help="Colour this much.")
@_option(_SPAN, "--deinterlace", is_flag=True, help="Deinterlace (bwdif); changes luma.")
@_option(_SPAN, "--framerate", callback=_fraction, metavar="FPS", help="Of an image sequence [default: 25].")
@_option(
    _MACHINE,
    "--device",
    default=_DEFAULTS.device,
    show_default=True,
    metavar="auto|cpu|cuda[:N]|mps",
    help="Where the generator runs.",
)
@_option(
    _MACHINE,
    "--precision",
    type=click.Choice(PRECISIONS),
    default=_DEFAULTS.precision,
    show_default=True,
    help="Its arithmetic.",
)
@_option(_MACHINE, "--batch-size", type=int, help="Pictures a batch [default: by memory].")
@_option(
    _TRUST, "--allow-references", is_flag=True, help="Let playlists (concat, HLS, DASH…) open other files."
)
@_option(_TRUST, "--allow-network", is_flag=True, help="Take URLs.")
@_option(
    _TALK,
    "--progress",
    type=click.Choice(["auto", "bar", "json", "none"]),
    default="auto",
    show_default=True,
    help="Progress on standard error.",
)
@_option(_TALK, "-q", "--quiet", is_flag=True, help="Errors only.")
@_option(_TALK, "-v", "--verbose", is_flag=True, help="Say more.")
@_option(_TALK, "--debug", is_flag=True, help="Show tracebacks.")
@_option(
    _TALK,
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_version,
    help="Versions of vidcolor, torch, FFmpeg, and the device.",
)
def command(
    inputs: tuple[str, ...], out: str, progress: str, quiet: bool, verbose: bool, debug: bool, **given: Any
) -> int:
    """Colour the black-and-white film IN and write it to OUT.

    Luma, timing, sound and everything else in the file stay as they are; only chroma is new. IN and OUT
    may be - for standard input and output. Several films go into an existing folder.
    """
    _set_up_log(quiet, verbose or debug)
    options = Options(**given)
    targets = _targets(inputs, out)
    if quiet and progress == "auto":
        progress = "none"
    with cancelled_by_signals() as caught:
        codes = []
        for source, target in targets:
            codes.append(_one(source, target, options, progress, debug, caught))
            if caught.event.is_set() or codes[-1] == ReaderClosed.exit_code:
                break
    return worst(codes)


def _targets(inputs: tuple[str, ...], out: str) -> list[tuple[str, str]]:
    folder = out != "-" and os.path.isdir(out)
    if len(inputs) > 1 and not folder:
        raise UsageError(f"{out}: several films need an existing folder to go into")
    if not folder:
        return [(inputs[0], out)]
    if "-" in inputs:
        raise UsageError("standard input has no name to go by in a folder; name the target")
    names = [Path(source).name for source in inputs]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice:
        raise UsageError(f"two inputs are called {twice}: one would overwrite the other")
    return [(source, str(Path(out) / name)) for source, name in zip(inputs, names, strict=True)]


def _one(source: str, target: str, options: Options, progress: str, debug: bool, caught: Caught) -> int:
    from vidcolor.cli_progress import Display, clock
    from vidcolor.job import colorize

    try:
        with Display(progress, source) as display, film_output(target) as fd:
            result = colorize(source, target, options, display.callback, cancel=caught.event, output_fd=fd)
    except VidcolorError as error:
        if caught.signal is not None:
            return 128 + caught.signal
        if not isinstance(error, ReaderClosed):
            _complain(str(error), debug)
        return error.exit_code
    except Exception as error:
        _complain(f"{source}: a fault of vidcolor itself: {error!r}; --debug shows where", debug)
        return EXIT_BUG
    spent, machine = clock(result.seconds), f"{result.device} ({result.precision})"
    log.info("%s: %d frames in %s on %s, %s", result.target, result.frames, spent, machine, result.codec)
    return result.exit_code


def _complain(message: str, debug: bool) -> None:
    log.error("%s", " ".join(message.split()), exc_info=debug)


def _set_up_log(quiet: bool, verbose: bool) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("vidcolor: %(message)s"))
    log.handlers = [handler]
    log.propagate = False
    log.setLevel(logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO)


def main() -> None:
    """Entry point of ``vidcolor``."""
    os.environ.setdefault("SVT_LOG", "1")  # errors only
    fill_standard_descriptors()
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    try:
        code = command.main(args=arguments, prog_name="vidcolor", standalone_mode=False)
    except click.ClickException as error:
        _set_up_log(False, False)
        _complain(f"{error.format_message().rstrip('.')}; vidcolor --help lists what there is", debug)
        code = UsageError.exit_code
    except click.Abort:
        code = 128 + signal.SIGINT
    except VidcolorError as error:
        _set_up_log(False, False)
        _complain(str(error), debug)
        code = error.exit_code
    except Exception as error:
        _set_up_log(False, False)
        _complain(f"a fault of vidcolor itself: {error!r}; --debug shows where", debug)
        code = EXIT_BUG
    _leave(int(code or 0))


def _leave(code: int) -> None:
    """End at once: a reader thread may hang in a read that never returns."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            code = code or ReaderClosed.exit_code
    os._exit(code)
