"""How the command's options are declared, shown and read."""

from __future__ import annotations

import errno
import io
import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from vidcolor._version import __version__
from vidcolor.cli_process import arguments, require_a_folder, secure_standard_streams
from vidcolor.errors import OutputError, UsageError, VidcolorError
from vidcolor.media.names import first_alike
from vidcolor.options import parse_seconds

TALK = "Messages"
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


@contextmanager
def printing() -> Iterator[None]:
    """Tell a standard output that takes no more from a fault, and give it signs that its code page has.

    Raises:
        OutputError: it takes no more.
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
    return None if value is None else parse_seconds(value)


def as_pairs(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
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
    from fractions import Fraction

    try:
        return None if value is None else Fraction(value)
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(f"--framerate {value}: use a number or a ratio as 24000/1001") from error


def show_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
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


def sequence_name(names: tuple[str, ...]) -> str | None:
    """The name, as in ``scan_%05d.png``, that stands for all of ``names``; None if there is none."""
    numbered = re.fullmatch(r"(.*?)(\d+)(\.[a-zA-Z]\w*)", names[0], re.DOTALL)
    if numbered is None or "%" in names[0]:
        return None
    before, digits, after = numbered.groups()
    alike = re.compile(re.escape(before) + r"\d+" + re.escape(after))
    width = f"0{len(digits)}" if all(len(name) == len(names[0]) for name in names) else ""
    return f"{before}%{width}d{after}" if all(map(alike.fullmatch, names)) else None


def targets_of(inputs: tuple[str, ...], out: str, container: str | None) -> list[tuple[str, str]]:
    """Pairs of source and target.

    Films in a folder keep their names, with the suffix of the container if that is asked for.

    Raises:
        UsageError: it is not clear what goes where.
    """
    if "" in (*inputs, out):
        raise UsageError("a name is empty")
    folder = out != "-" and (os.path.isdir(out) or _named_as_folder(out))
    if len(inputs) > 1 and not folder:
        hint = "" if out == "-" or os.path.lexists(out) else f"; {out}/ makes one"
        sequence = sequence_name(inputs)
        if sequence:
            hint += f". Numbered pictures of one film are '{sequence}'"
        raise UsageError(f"{out}: several films need a folder to go into{hint}")
    if not folder:
        return [(inputs[0], out)]
    if "-" in inputs:
        raise UsageError("standard input has no name to go by in a folder; name the target")
    suffix = None
    if container is not None:
        from vidcolor.media.encoders import suffix_for

        suffix = suffix_for(container)
    paths = [Path(source) for source in inputs]
    names = [path.stem + suffix if suffix else path.name for path in paths]
    twice = first_alike(names)
    if twice is not None:
        both = " and ".join(dict.fromkeys(twice))
        raise UsageError(f"two inputs are called {both}: one would overwrite the other")
    return [(source, str(Path(out) / name)) for source, name in zip(inputs, names, strict=True)]


def _named_as_folder(out: str) -> bool:
    return out.endswith(("/", os.sep))


@contextmanager
def folder_of(out: str) -> Iterator[None]:
    """Make ``out`` if it is named as a folder, with a slash at its end; take it away if it stays empty.

    Where several commands fill one folder (GNU parallel), it stays as long as one of them is at work.

    Raises:
        OutputError: it cannot be made.
    """
    if not _named_as_folder(out):
        yield
        return
    new = not os.path.isdir(out)
    try:
        held = _hold(out)
    except (OSError, ValueError) as error:
        raise OutputError(f"{out}: cannot be made ({getattr(error, 'strerror', error)})") from error
    try:
        yield
    finally:
        if held is not None:
            import fcntl

            with suppress(OSError):
                if new:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while others hold it
                    os.rmdir(out)
            os.close(held)


def _hold(folder: str) -> int | None:
    """Make the folder if need be and hold it, so that no other command takes it away; None if it can't."""
    while True:
        os.makedirs(folder, exist_ok=True)
        held = None
        try:
            held = os.open(folder, os.O_RDONLY)  # on Windows it ends here
            import fcntl

            fcntl.flock(held, fcntl.LOCK_SH)
            if os.path.samestat(os.fstat(held), os.stat(folder)):
                return held
        except FileNotFoundError:  # who had made it has just taken it away
            pass
        except OSError:  # a file system without locks, or a folder that may not be listed
            if held is not None:
                os.close(held)
            return None
        if held is not None:
            os.close(held)


class Finite(click.FloatRange):
    """A number within limits; NaN and infinity are within none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number of a text."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is no number to reckon with", param, ctx)
        return number
