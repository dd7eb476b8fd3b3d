"""What goes where: the sources that the command was given, and the target of each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vidcolor.errors import OutputError, UsageError
from vidcolor.media.names import first_alike


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
