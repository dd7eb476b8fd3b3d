"""Where the files of generators are."""

from __future__ import annotations

from pathlib import Path

from vidcolor.errors import WeightsError

_SUFFIX = ".safetensors"


def find_weights(name: str) -> Path:
    """Return the file that ``name`` stands for: a path, or the name of weights that came with vidcolor.

    Raises:
        WeightsError: there is none, and the message names every place looked at; or one cannot be looked at.
    """
    package = Path(__file__).resolve().parent
    shipped = [package / "weights", package.parent / "weights"]
    candidates = [*(folder / f"{name}{_SUFFIX}" for folder in shipped), Path(name)]
    if Path(name).suffix or Path(name).name != name:
        candidates = candidates[::-1]  # clearly a file; a bare name is first that of shipped weights
    for candidate in candidates:
        try:
            if candidate.is_file():
                return candidate
        except OSError as error:  # a folder that may not be entered, a name too long
            raise unreadable(candidate, error) from error
    places = ", ".join(dict.fromkeys(map(str, candidates)))
    raise WeightsError(f"no weights {name!r}; looked for {places}")


def unreadable(path: Path, error: Exception) -> WeightsError:
    """What to raise of a file that cannot be read."""
    why = getattr(error, "strerror", None) or error
    return WeightsError(f"{path}: not readable as safetensors weights ({why})")
