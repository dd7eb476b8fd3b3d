"""vidcolor colours black-and-white video; luma, timing and sound stay as they were.

``colorize`` does a whole job; the modules of :mod:`vidcolor.stages` are usable alone. What needs torch,
av or OpenCV is imported on first use, so that importing the package is quick.

    result = vidcolor.colorize("film.mp4", "colour.mp4", vidcolor.Options(crf=16))
    print(result.frames, result.exit_code)

Errors are those of :mod:`vidcolor.errors`; warnings are logged, by the logger ``vidcolor``. In a script,
``colorize`` with several jobs or devices stands below ``if __name__ == "__main__":``, for worker processes
read the script, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vidcolor._version import __version__

if TYPE_CHECKING:
    from vidcolor.job import Progress, Result, colorize
    from vidcolor.options import Options

__all__ = ["Options", "Progress", "Result", "__version__", "colorize"]

_HOMES = {
    "colorize": "vidcolor.job",
    "Progress": "vidcolor.job",
    "Result": "vidcolor.job",
    "Options": "vidcolor.options",
}


if not TYPE_CHECKING:  # which would take any name for one of the package's

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'vidcolor' has no attribute {name!r}")
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
