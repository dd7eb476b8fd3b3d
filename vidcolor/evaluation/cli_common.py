"""What the subcommands share: loading the generator, saying things, errors as exit codes."""

from __future__ import annotations

import functools
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, ParamSpec, TypeVar

import click

from vidcolor.cli_process import log_all_as, printable
from vidcolor.errors import EXIT_BUG, EXIT_DONE, EXIT_LOSSES, OutputError, ReaderClosed, VidcolorError, fault
from vidcolor.options import MAX_RENDER_SIZE, Options

if TYPE_CHECKING:
    from vidcolor.checkpoint import Generator
    from vidcolor.stages.predict import Predictor

P = ParamSpec("P")
T = TypeVar("T")
_INTERRUPTED = 130


def _trace(debug: object) -> None:
    if debug:
        traceback.print_exc()


def reporting(command: Callable[P, int]) -> Callable[P, None]:
    """Exit with what ``command`` returns, or with one line and the code of its error; adds ``--debug``."""

    @click.option("--debug", is_flag=True, help="Show a traceback with an error.")
    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        debug = kwargs.pop("debug")
        log_all_as("vidcolor-eval", logging.WARNING)
        try:
            code = command(*args, **kwargs)
        except ReaderClosed as error:  # as SIGPIPE ends others, without a word
            code = error.exit_code
        except VidcolorError as error:
            _trace(debug)
            say(str(error))
            code = error.exit_code
        except KeyboardInterrupt:
            code = _INTERRUPTED
        except Exception as error:
            _trace(debug)
            say(fault(error))
            code = EXIT_BUG
        _leave(code)

    return run


def _leave(code: int) -> NoReturn:
    """End; what standard output still holds and cannot write is nothing to complain of again."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(code)


def say(line: str) -> None:
    """One line for people."""
    click.echo(printable(f"vidcolor-eval: {line}"), err=True)


def show(text: str) -> None:
    """The result, on standard output.

    Raises:
        ReaderClosed: nobody reads it any more.
        OutputError: it cannot be written.
    """
    try:
        if sys.stdout is not None and sys.stdout.isatty():
            click.echo("\n".join(map(printable, text.split("\n"))))
        else:  # names of files as they are, whatever they hold
            click.echo(text.encode("utf-8", "surrogateescape"))
    except BrokenPipeError as error:
        raise ReaderClosed("standard output: its reader has gone") from error
    except OSError as error:
        raise OutputError(f"standard output: cannot be written ({error.strerror})") from error


def progress(items: Iterable[T], total: int, unit: str = "picture") -> Iterator[T]:
    """Pass ``items`` on, with a bar where somebody sees it."""
    from tqdm import tqdm

    unseen = True if sys.stderr is None else None  # None: where it is no terminal
    yield from tqdm(items, total=total, unit=unit, disable=unseen)


def check_result(path: Path, own: bytes, *, first: bool = False) -> None:
    """Refuse, before the work, a file that cannot be written, or that is something else than an earlier one.

    Args:
        own: what stands in the first 64 KiB of such files.
        first: it stands at their beginning.

    Raises:
        OutputError: it cannot, or it is.
    """
    from vidcolor.writing import check_writable

    check_writable(path)
    if path.is_file():
        with open(path, "rb") as file:
            begin = file.read(1 << 16)
        if begin and not (begin.startswith(own) if first else own in begin):
            raise OutputError(f"{path}: exists already, and is none of vidcolor-eval's; choose another name")


def _only_one(context: click.Context, _: click.Parameter, names: tuple[str, ...]) -> str:
    if len(names) > 1:
        raise click.UsageError("--weights: one generator is scored at a time", context)
    return names[0]


weights_option = click.option(
    "--weights",
    multiple=True,
    default=[Options.weights],
    show_default=True,
    callback=_only_one,
    help="Name or file of the generator.",
)


device_option = click.option(
    "--device", default=Options.device, show_default=True, help="auto, cpu, cuda, cuda:N or mps."
)


def render_size_option(least: int) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """How large the generator sees pictures: ``least`` pixels or more."""
    return click.option(
        "--render-size",
        default=Options.render_size,
        show_default=True,
        type=click.IntRange(least, MAX_RENDER_SIZE),
        help="Short side, in pixels, of what the generator sees.",
    )


def load_predictor(weights: str, device: str) -> tuple[Generator, Predictor]:
    """The generator of that name, ready on that device.

    It computes in fp32 everywhere: scores are of weights, not of the machine's arithmetic.
    """
    from vidcolor.checkpoint import load_generator
    from vidcolor.devices import resolve_device
    from vidcolor.memory import keep_freed_memory
    from vidcolor.sharing import Sharing
    from vidcolor.stages.predict import Predictor

    keep_freed_memory()
    chosen = resolve_device(device)
    generator = load_generator(weights)
    return generator, Predictor(generator, chosen, "float32", Sharing())


class Damaged:
    """Names damaged pictures as they are met, and counts them."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, name: str) -> None:
        self.names.append(name)
        say(f"{name}: is damaged, or no picture; left out")

    @property
    def exit_code(self) -> int:
        """0, or 7 where pictures were left out."""
        return EXIT_LOSSES if self.names else EXIT_DONE
