"""Another Python of the same kind, for what had better not happen in this process; what it starts with."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def calling(module: str, function: str, *given: str) -> tuple[list[str], dict[str, str]]:
    """The command, and its environment, that calls a function of a module with what is given.

    It finds the modules that this process does, and none that lies in the current folder (from Python 3.11
    on).
    """
    code = f"import sys; from {module} import {function}; {function}(*sys.argv[1:])"
    sought = os.pathsep.join(filter(None, sys.path))
    return [sys.executable, "-c", code, *given], os.environ | {"PYTHONPATH": sought, "PYTHONSAFEPATH": "1"}


@contextmanager
def switched_on(variable: str) -> Iterator[None]:
    """Have a variable of the environment be 1 for what is imported or started meanwhile, and for no more."""
    before = os.environ.get(variable)
    os.environ[variable] = "1"
    try:
        yield
    finally:
        os.environ.pop(variable)
        os.environ.update({} if before is None else {variable: before})
