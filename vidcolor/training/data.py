"""Photographs for training: decoded once into a memory-mapped cache, cropped and flipped in batches."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from vidcolor.errors import InputError

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
_NEAR_GREY = 2.0
"""Mean difference between channels (0..255) under which a picture teaches nothing about colour."""


@dataclass(frozen=True, kw_only=True)
class PhotoSet:
    """Decoded photographs in one flat memory map.

    Attributes:
        pixels: all pictures' RGB bytes, one after another, uint8.
        table: per picture ``(offset, height, width)``, int64.
        digest: SHA-256 over the names and bytes that went in.
        skipped: how many files were left out (damaged, grey or too small).
        resident: ``pixels`` as a tensor on the device where crops are made; None for crops on the CPU.
    """

    pixels: NDArray[np.uint8]
    table: NDArray[np.int64]
    digest: str
    skipped: int
    resident: Tensor | None = None

    def __len__(self) -> int:
        return len(self.table)

    def name_of(self, index: int) -> str:
        """What an error message calls one picture."""
        return f"picture {index}"

    def picture(self, index: int) -> NDArray[np.uint8]:
        """RGB ``(h, w, 3)`` of one picture."""
        offset, height, width = (int(v) for v in self.table[index])
        return self.pixels[offset : offset + height * width * 3].reshape(height, width, 3)


def encoded_pictures(sources: list[Path]) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of every picture file in folders and tars, in the order of their names."""
    for source in sources:
        if source.is_dir():
            for path in sorted(p for p in source.rglob("*") if p.suffix.lower() in _SUFFIXES):
                yield path.name, path.read_bytes()
        elif source.is_file() and tarfile.is_tarfile(source):
            with tarfile.open(source) as archive:
                for member in archive:
                    handle = archive.extractfile(member) if member.isfile() else None
                    if handle is not None and Path(member.name).suffix.lower() in _SUFFIXES:
                        yield member.name, handle.read()
        else:
            raise InputError(f"{source}: neither a folder nor a tar of pictures")


def load_photos(sources: list[Path], cache: Path, *, smallest: int) -> PhotoSet:
    """Open the cache of ``sources``, decoding them first where ``cache`` does not hold them yet.

    Args:
        sources: folders and tars of pictures.
        cache: folder for ``photos.rgb`` and ``photos.json``.
        smallest: pictures with a side below this many pixels are left out.

    Raises:
        InputError: there is no usable picture.
    """
    index = cache / "photos.json"
    wanted = {"sources": [str(s) for s in sources], "smallest": smallest}
    if not (index.exists() and json.loads(index.read_text())["request"] == wanted):
        _decode_all(sources, cache, smallest, wanted)
    stored = json.loads(index.read_text())
    if not stored["table"]:
        raise InputError(f"{', '.join(map(str, sources))}: no usable colour picture")
    pixels = np.memmap(cache / "photos.rgb", np.uint8, "c")
    table = np.array(stored["table"], np.int64)
    return PhotoSet(pixels=pixels, table=table, digest=stored["digest"], skipped=stored["skipped"])


def _decode_all(sources: list[Path], cache: Path, smallest: int, request: dict[str, object]) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    table: list[tuple[int, int, int]] = []
    offset, skipped = 0, 0
    with open(cache / "photos.rgb", "wb") as out:
        for name, data in encoded_pictures(sources):
            rgb = decode_rgb(data)
            if rgb is None or min(rgb.shape[:2]) < smallest or _is_grey(rgb):
                skipped += 1
                continue
            digest.update(name.encode() + hashlib.sha256(data).digest())
            out.write(rgb.tobytes())
            table.append((offset, rgb.shape[0], rgb.shape[1]))
            offset += rgb.size
    part = cache / "photos.json.part"
    part.write_text(
        json.dumps({"request": request, "table": table, "digest": digest.hexdigest(), "skipped": skipped})
    )
    os.replace(part, cache / "photos.json")


def decode_rgb(data: bytes) -> NDArray[np.uint8] | None:
    """RGB ``(h, w, 3)`` of an encoded picture, turned as its EXIF orientation says; None if it is damaged."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return np.array(ImageOps.exif_transpose(picture).convert("RGB"), np.uint8)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def _is_grey(rgb: NDArray[np.uint8]) -> bool:
    channels = rgb[::4, ::4].astype(np.int16)
    return float(np.ptp(channels, axis=-1).mean()) < _NEAR_GREY


def random_batch(photos: PhotoSet, size: int, crop: int, rng: np.random.Generator) -> Tensor:
    """Random crops as R'G'B' ``(size, 3, crop, crop)``, 0..1.

    One scale is drawn for the whole batch (so that it can be resized at once): the crop covers from
    ``crop`` pixels up to the short side of the photographs drawn. Half of the pictures are mirrored.
    """
    chosen = [photos.picture(int(i)) for i in rng.integers(len(photos), size=size)]
    largest = min(min(p.shape[:2]) for p in chosen)
    window = round(crop * (largest / crop) ** rng.random()) if largest > crop else largest
    crops = np.empty((size, window, window, 3), np.uint8)
    for out, picture in zip(crops, chosen, strict=True):
        top = int(rng.integers(picture.shape[0] - window + 1))
        left = int(rng.integers(picture.shape[1] - window + 1))
        view = picture[top : top + window, left : left + window]
        out[:] = view[:, ::-1] if rng.random() < 0.5 else view
    rgb = torch.from_numpy(crops).permute(0, 3, 1, 2).float().div_(255.0)
    if window != crop:
        rgb = F.interpolate(rgb, size=(crop, crop), mode="bilinear", antialias=True).clamp_(0.0, 1.0)
    return rgb
