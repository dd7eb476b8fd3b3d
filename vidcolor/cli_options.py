"""How the command's options are declared, shown and read."""

from __future__ import annotations

import errno
import io
import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import click
from click.shell_completion import CompletionItem

from vidcolor._version import __version__
from vidcolor.cli_process import arguments, require_a_folder, secure_standard_streams
from vidcolor.errors import OutputError, UsageError, VidcolorError
from vidcolor.options import parse_seconds

TALK = "Messages"
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


@contextmanager
def printing() -> Iterator[None]:
    """Have standard output replace signs that its code page lacks, and tell a full disk from a fault.

    Raises:
        OutputError: its disk is full, or fails.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM or error.filename is not None:
            raise
        raise OutputError(f"standard output: {error.strerror}") from error


class OneLineCommand(click.Command):
    """A command that says in one line what is wrong with how it was called."""

    def main(self, *args: Any, **settings: Any) -> Any:
        """Run it, and end the process unless ``standalone_mode`` is off."""
        if not settings.get("standalone_mode", True):
            return super().main(*args, **settings)
        secure_standard_streams()
        try:
            require_a_folder()
            with printing():
                if not args and settings.get("args") is None:
                    settings["args"] = arguments()
                code = super().main(*args, **settings | {"standalone_mode": False})
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            code = error.exit_code
        except click.UsageError as error:
            name = error.ctx.command_path if error.ctx else self.name
            message = " ".join(error.format_message().rstrip(".").split())
            click.echo(f"{name}: {message}; {name} --help lists what there is", err=True)
            code = error.exit_code
        except click.Abort:
            code = 130
        except VidcolorError as error:
            click.echo(f"{os.path.basename(sys.argv[0])}: {error}", err=True)
            code = error.exit_code
        sys.exit(code if isinstance(code, int) else 0)


class OneLineGroup(OneLineCommand, click.Group):
    """The same of a group of commands."""


class GroupedCommand(click.Command):
    """A command whose help lists its options under headings.

    Of an option whose value may be left out, a next argument that is no number is not taken for the value.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give such an option its default where it stands before a name."""
        optional = {
            name: param.flag_value
            for param in self.get_params(ctx)
            if isinstance(param, click.Option) and not param.is_flag and param.flag_value is not None
            for name in param.opts
        }
        given = list(args)
        for index, (name, following) in enumerate(zip(args, [*args[1:], ""], strict=False)):
            if name == "--":
                break
            if isinstance(optional.get(name), int) and not re.fullmatch(r"[+-]?\d+", following):
                given[index] = f"{name}={optional[name]}"
        return super().parse_args(ctx, given)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section a heading, in the order of their first options."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                sections.setdefault(getattr(param, "heading", TALK), []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def option(heading: str, *names: str, **settings: Any) -> Callable[[Any], Any]:
    """A :func:`click.option` that :class:`GroupedCommand` lists under a heading, with any default it has."""

    class Headed(click.Option):
        pass

    Headed.heading = heading  # type: ignore[attr-defined]
    return click.option(*names, cls=Headed, **{"show_default": "default" in settings} | settings)


def file_names(_: click.Context, __: click.Parameter, word: str) -> list[CompletionItem]:
    """Have the shell complete names of files."""
    return [CompletionItem(word, type="file")]


def folder_names(_: click.Context, __: click.Parameter, word: str) -> list[CompletionItem]:
    """Have the shell complete names of folders."""
    return [CompletionItem(word, type="dir")]


folder_option = partial(option, metavar="DIR", shell_complete=folder_names)
"""A named option whose value is a folder."""


def as_time(_: click.Context, __: click.Parameter, value: str | None) -> Any:
    """Seconds of a time, see :func:`~vidcolor.options.parse_seconds`."""
    return None if value is None else parse_seconds(value)


def as_pairs(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Encoder options by name, of ``KEY=VALUE`` each.

    Raises:
        UsageError: there is no ``=``, or one is given twice.
    """
    for value in values:
        if "=" not in value:
            raise UsageError(f"--encoder-option {value}: is not KEY=VALUE")
    keys = [value.split("=", 1)[0] for value in values]
    for key in keys:
        if keys.count(key) > 1:
            join = " (join them: KEY=a=1:b=2)" if key.endswith("-params") else ""
            raise UsageError(f"--encoder-option {key}: is given twice{join}")
    return dict(value.split("=", 1) for value in values)


def as_fraction(_: click.Context, __: click.Parameter, value: str | None) -> Any:
    """Frames a second as a Fraction, of ``25``, ``23.976`` or ``24000/1001``.

    Raises:
        UsageError: it is no such number.
    """
    from fractions import Fraction

    try:
        return None if value is None else Fraction(value)
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(f"--framerate {value}: use a number or a ratio as 24000/1001") from error


def show_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    """Print the versions and the device of ``--version``, and end."""
    if not value or ctx.resilient_parsing:
        return
    import av
    import torch

    from vidcolor.devices import model_of, resolve_device

    device = model_of(resolve_device("auto"))
    libraries = f"torch {torch.__version__}, PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}"
    click.echo(f"vidcolor {__version__}, {libraries}, {device}")
    ctx.exit()


def dashed_name(error: click.ClickException) -> str | None:
    """What to do about a file whose name was taken for options."""
    there = (name for name in sys.argv[1:] if name.startswith("-") and os.path.isfile(name))
    name = next(there, None) if isinstance(error, click.NoSuchOption) else None
    return None if name is None else f"the file {name} is ./{name}, or stands behind --"


class Finite(click.FloatRange):
    """A number within limits; NaN and infinity are within none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number of a text."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is no number to reckon with", param, ctx)
        return number
