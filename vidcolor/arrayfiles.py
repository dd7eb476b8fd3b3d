"""Parts of safetensors files, read without the rest: eight bytes of length, a header in JSON, the arrays."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, BinaryIO

_ABOUT = "__metadata__"


def metadata_of(path: Path) -> dict[str, str]:
    """What a file's header holds beside the arrays.

    Raises:
        OSError: it cannot be read.
        ValueError, KeyError: it is no such file, holds nothing else, or is not as long as it should be.
    """
    with open(path, "rb") as file:
        header, begin = _header_of(file)
    length = begin + max((end for _, end in _offsets_of(header).values()), default=0)
    if path.stat().st_size != length:
        raise ValueError("it is not whole")
    return dict(header[_ABOUT])


def content_without(path: Path, names: Collection[str]) -> bytes:
    """The content of a file that has all arrays of this one but those named, which are not read.

    Raises:
        OSError: it cannot be read.
        ValueError, KeyError: it is no such file.
    """
    with open(path, "rb") as file:
        header, start = _header_of(file)
        made, arrays = {_ABOUT: header[_ABOUT]}, bytearray()
        for name, (begin, end) in sorted(_offsets_of(header).items(), key=lambda one: one[1]):
            if name not in names:
                file.seek(start + begin)
                made[name] = header[name] | {"data_offsets": [len(arrays), len(arrays) + end - begin]}
                arrays += file.read(end - begin)
    text = json.dumps(made).encode()
    return len(text).to_bytes(8, "little") + text + arrays


def _header_of(file: BinaryIO) -> tuple[dict[str, Any], int]:
    """The header, and where the arrays begin."""
    length = int.from_bytes(file.read(8), "little")
    if length > os.fstat(file.fileno()).st_size:  # so much would be asked of the memory
        raise ValueError("it is not whole")
    header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("it has no header")
    return header, 8 + length


def _offsets_of(header: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Beginning and end of each array, in bytes from where the arrays begin."""
    return {name: tuple(known["data_offsets"]) for name, known in header.items() if name != _ABOUT}
