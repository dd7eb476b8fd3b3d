"""Pictures for training: decoded once into a cache that is mapped into memory."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidcolor.errors import InputError
from vidcolor.training.cache import Index, Progress, Request, cached
from vidcolor.training.screening import ALIKE, Report

LARGEST_PX = 320
"""Short side to which bigger pictures are reduced; to the crop where that is larger."""
FEWEST_PICTURES = 4
_EACH_SHOT, _GAP_SECONDS = 2, Fraction(1)


@dataclass(frozen=True, kw_only=True)
class PhotoSet:
    """Decoded pictures in one flat memory map.

    Attributes:
        pixels: all pictures' R'G'B' bytes, one after another, uint8; some may be unused.
        table: per picture ``(offset, height, width)``, int64.
        listing: name and SHA-256 of the content of each (of a film's frame: of its pixels).
        report: what was left out, and why.
        resident: ``pixels`` as a tensor on the device where crops are made; None for crops on the CPU.
    """

    pixels: NDArray[np.uint8]
    table: NDArray[np.int64]
    listing: tuple[tuple[str, str], ...]
    report: Report
    resident: Tensor | None = None

    def __len__(self) -> int:
        return len(self.table)

    @property
    def digest(self) -> str:
        """SHA-256 of the written listing."""
        return hashlib.sha256(self.written_listing).hexdigest()

    @property
    def written_listing(self) -> bytes:
        """The listing as ``sha256sum`` writes it: hash, two spaces, name, a line each.

        Where a name has a line's end or a backslash they are escaped, and the line begins with a backslash.
        """
        lines = []
        for name, content in self.listing:
            plain = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
            lines.append("\\" * (plain != name) + f"{content}  {plain}\n")
        return "".join(lines).encode("utf-8", "surrogateescape")

    def name_of(self, index: int) -> str:
        """What one picture is called."""
        return self.listing[index][0]

    def picture(self, index: int) -> NDArray[np.uint8]:
        """R'G'B' ``(h, w, 3)`` of one picture."""
        offset, height, width = (int(v) for v in self.table[index])
        return self.pixels[offset : offset + height * width * 3].reshape(height, width, 3)

    def subset(self, indices: Sequence[int]) -> PhotoSet:
        """Only these pictures, in this order; listing and digest are theirs."""
        listing = tuple(self.listing[index] for index in indices)
        table = self.table[np.array(indices, np.int64)]
        return dataclasses.replace(self, table=table, listing=listing)

    def on(self, device: torch.device | str) -> PhotoSet:
        """The same pictures, of which crops are made on ``device``, in whose memory all of them lie."""
        return dataclasses.replace(self, resident=torch.from_numpy(self.pixels).to(device))


def load_photos(
    sources: list[Path],
    cache: Path,
    *,
    smallest: int,
    progress: Progress | None = None,
) -> PhotoSet:
    """Open the cache of ``sources``, decoding them first where ``cache`` does not hold them as they are now.

    Args:
        sources: picture files, films, folders and tars.
        cache: folder for decoded pictures; may be shared by runs, at once and with other sources.
        smallest: pictures with a side below this many pixels are left out.
        progress: called with the number of pictures done, and of all where it is known.

    Raises:
        InputError: a source cannot be read, or fewer than ``FEWEST_PICTURES`` can be used.
        OutputError: the cache cannot be written.
    """
    request = Request(
        sources=tuple(str(source.absolute()) for source in sources),
        largest=max(LARGEST_PX, smallest),
        each_shot=_EACH_SHOT,
        gap_seconds=str(_GAP_SECONDS),
    )
    path, index = cached(request, cache, progress)
    return _usable(path, index, smallest, ", ".join(map(str, sources)))


def _usable(path: Path, index: Index, smallest: int, name: str) -> PhotoSet:
    """The pictures that are large enough and did not come again larger."""
    sizes = np.array([picture[2:] for picture in index.pictures], np.int64).reshape(-1, 2)
    offsets = np.concatenate(([0], np.cumsum(sizes.prod(1) * 3)))[:-1]
    fits = sizes.min(1, initial=2**31) >= smallest
    fits[index.superseded] = False
    report = Report(kept=int(fits.sum()), left_out={**index.left_out}, names={**index.names})
    for place in np.flatnonzero(~fits):
        small = f"smaller than the crop of {smallest} px"
        report.leave_out(ALIKE if place in index.superseded else small, index.pictures[place][0])
    if report.kept < FEWEST_PICTURES:
        what = f"only {report.kept} usable colour picture{'s' * (report.kept > 1)}"
        what = what if report.kept else "no usable colour picture"
        raise InputError(
            f"{name}: {what}, at least {FEWEST_PICTURES} are needed; left out: {report.summary()}"
        )
    return PhotoSet(
        # copy on write: torch warns of arrays that cannot be written
        pixels=np.memmap(path.parent / index.pixels, np.uint8, "c"),
        table=np.concatenate((offsets[fits, None], sizes[fits]), 1),
        listing=tuple((index.pictures[i][0], index.pictures[i][1]) for i in np.flatnonzero(fits)),
        report=report,
    )
