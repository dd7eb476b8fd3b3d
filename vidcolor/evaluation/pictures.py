"""Which photographs are scored: found and fingerprinted, drawn by a seed, decoded one at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidcolor.errors import InputError
from vidcolor.frames import Rgb
from vidcolor.training.sources import decode_rgb, encoded_pictures


@dataclass(frozen=True, kw_only=True)
class PictureList:
    """A fixed choice among the pictures of folders and tars.

    Attributes:
        sources: the folders and tars.
        chosen: indices of the pictures taken, in the order of :func:`encoded_pictures`.
        found: how many pictures the sources hold.
        digest: SHA-256 over name and content hash of each picture taken.
    """

    sources: tuple[Path, ...]
    chosen: frozenset[int]
    found: int
    digest: str

    def __len__(self) -> int:
        return len(self.chosen)

    def decoded(self, on_damage: Callable[[str], None]) -> Iterator[tuple[str, Rgb]]:
        """Name and R'G'B' ``(h, w, 3)`` of each picture; those that are damaged are named to ``on_damage``.

        Raises:
            InputError: a source cannot be read, or no picture is whole.
        """
        whole = 0
        for name, data in _encoded(self.sources, self.chosen):
            rgb = decode_rgb(data)
            if rgb is None:
                on_damage(name)
                continue
            whole += 1
            yield name, rgb
        if not whole:
            raise InputError(f"{_named(self.sources)}: every picture is damaged")


def list_pictures(sources: list[Path], limit: int | None = None, seed: int = 0) -> PictureList:
    """Choose pictures: all, or the first ``limit`` of an order shuffled by ``seed``; others are not read.

    Raises:
        InputError: a source cannot be read, or there is no picture.
    """
    found = sum(1 for _ in _offered(tuple(sources)))
    if not found:
        raise InputError(f"{_named(sources)}: there is no picture")
    order = np.random.default_rng(seed).permutation(found)
    chosen = frozenset(int(i) for i in order[:limit])
    digest = hashlib.sha256()
    for name, data in _encoded(tuple(sources), chosen):
        line = f"{name}\0{hashlib.sha256(data).hexdigest()}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return PictureList(sources=tuple(sources), chosen=chosen, found=found, digest=digest.hexdigest())


def _encoded(sources: tuple[Path, ...], chosen: frozenset[int]) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of those pictures."""
    for index, (source, name, read) in enumerate(_offered(sources)):
        if index not in chosen:
            continue
        try:
            data = read()
        except OSError as error:
            raise InputError(f"{source}: cannot be read to its end ({error})") from error
        yield name, data


def _offered(sources: tuple[Path, ...]) -> Iterator[tuple[Path, str, Callable[[], bytes]]]:
    """Source, name and reader of each picture, in a fixed order."""
    for source in sources:
        try:
            yield from ((source, name, read) for name, read in encoded_pictures([source]))
        except OSError as error:  # of damaged tars it has been said already
            raise InputError(f"{source}: cannot be read to its end ({error})") from error


def _named(sources: list[Path] | tuple[Path, ...]) -> str:
    return ", ".join(map(str, sources))
