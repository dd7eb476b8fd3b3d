"""Batches of random crops, each a function of seed, step and place alone, and made ahead of time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from vidcolor.errors import InputError, UsageError
from vidcolor.threads import ByteQueue, Worker
from vidcolor.training.data import PhotoSet
from vidcolor.training.randomness import permutation, uniforms

T = TypeVar("T")
LARGEST_ENLARGEMENT = 1.25
_STRETCH = 1.12
"""Largest ratio of a window's sides: lenses and scanners stretch pictures a little."""
_VARIETY = 1.5
"""Ratio of largest to smallest window that is sought: with less, colours depend on a picture's scale."""
_CHUNK = 32
"""Pictures that are gathered at once on a device; bounds the memory that the indices take."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A part of a photograph that becomes one crop, pixels; ``mirrored`` left to right."""

    index: int
    top: int
    left: int
    height: int
    width: int
    mirrored: bool


def sample_batch(
    photos: PhotoSet,
    *,
    step: int,
    size: int,
    crop: int,
    seed: int,
    rank: int = 0,
    world: int = 1,
) -> Tensor:
    """Random crops as R'G'B' ``(size / world, 3, crop, crop)``, float32, 0..1, on the photos' device.

    Pictures come in epochs without replacement; place, scale, stretch and mirroring of each depend on
    ``seed``, ``step`` and its place in the batch of ``size`` only. Rank r of ``world`` gets the r-th part.
    A window has from ``crop`` pixels to the photograph's short side, evenly on a logarithmic scale, or fewer
    where the short side is hardly longer, so that sizes vary: down to 1/1.5 of it, enlarged by 1.25 at most.

    Args:
        step: number of the batch, from 0.
        size: pictures of the batch over all ranks; a multiple of ``world``.

    Raises:
        UsageError: ``size`` does not divide by ``world``.
        InputError: a picture would have to be enlarged by more than 1.25.
    """
    if size % world:
        raise UsageError(f"a batch of {size} does not divide by {world} processes")
    count = size // world
    windows = _windows(photos, step * size, rank * count, count, crop, (seed, step))
    if photos.resident is not None:
        parts = [windows[at : at + _CHUNK] for at in range(0, count, _CHUNK)]
        return torch.cat([_crops_on_device(photos.resident, photos, part, crop) for part in parts])
    crops = torch.empty((count, 3, crop, crop), dtype=torch.uint8)
    for out, window in zip(crops, windows, strict=True):
        out.copy_(_crop(photos, window, crop))
    return crops.float().div_(255.0)


def _windows(
    photos: PhotoSet,
    start: int,
    first: int,
    count: int,
    crop: int,
    counters: tuple[int, int],
) -> list[Window]:
    """Windows of the places from ``first`` in the batch whose first picture is the run's ``start``-th."""
    draws = uniforms("crop", *counters, first=first, rows=count, columns=5)
    windows = []
    for place, (size_at, stretch_at, top_at, left_at, side) in enumerate(draws, first):
        epoch, position = divmod(start + place, len(photos))
        index = int(permutation(counters[0], epoch, len(photos))[position])
        _, height, width = (int(v) for v in photos.table[index])
        short = min(height, width)
        if short * LARGEST_ENLARGEMENT < crop:
            raise InputError(
                f"{photos.name_of(index)}: {width}x{height} px is too small for crops of {crop} px"
            )
        smallest = max(min(crop, short / _VARIETY), crop / LARGEST_ENLARGEMENT)
        base = smallest * (short / smallest) ** size_at
        stretch = _STRETCH ** (stretch_at - 0.5)
        floor = math.ceil(smallest)
        tall = min(max(round(base * stretch), floor), height)
        wide = min(max(round(base / stretch), floor), width)
        windows.append(
            Window(
                index=index,
                top=int(top_at * (height - tall + 1)),
                left=int(left_at * (width - wide + 1)),
                height=tall,
                width=wide,
                mirrored=bool(side < 0.5),
            )
        )
    return windows


def _crop(photos: PhotoSet, window: Window, crop: int) -> Tensor:
    """One crop, uint8 ``(3, crop, crop)``; on the CPU torch resizes bytes far faster than floats."""
    bottom, right = window.top + window.height, window.left + window.width
    view = photos.picture(window.index)[window.top : bottom, window.left : right]
    rgb = torch.from_numpy(view).permute(2, 0, 1)[None]  # (h, w, 3) to (1, 3, h, w)
    if view.shape[:2] != (crop, crop):
        rgb = F.interpolate(rgb, size=(crop, crop), mode="bilinear", antialias=True)
    return rgb[0].flip(2) if window.mirrored else rgb[0]


def _crops_on_device(pixels: Tensor, photos: PhotoSet, windows: list[Window], crop: int) -> Tensor:
    """The same crops of ``pixels`` on any device: gathered at once, resized by two matrix products."""
    tall, wide = max(w.height for w in windows), max(w.width for w in windows)
    rows = [[w.top, w.left, w.height, w.width, *photos.table[w.index]] for w in windows]
    top, left, height, width, offset, _, stride = (
        torch.tensor(rows).to(pixels.device).T[..., None]  # seven of (n, 1)
    )
    y = top + torch.minimum(torch.arange(tall, device=pixels.device)[None], height - 1)  # (n, tall)
    x = left + torch.minimum(torch.arange(wide, device=pixels.device)[None], width - 1)  # (n, wide)
    at = offset[..., None] // 3 + y[:, :, None] * stride[..., None] + x[:, None, :]  # (n, tall, wide)
    rgb = pixels.view(-1, 3)[at].permute(0, 3, 1, 2).float().div_(255.0)  # to (n, 3, tall, wide)
    down = _resizing(height, tall, crop)[:, None]  # (n, 1, crop, tall)
    across = _resizing(width, wide, crop)[:, None]
    crops = down @ rgb @ across.transpose(2, 3)
    mirrored = torch.tensor([w.mirrored for w in windows]).to(pixels.device).view(-1, 1, 1, 1)
    return torch.where(mirrored, crops.flip(3), crops).clamp_(0.0, 1.0)


def _resizing(lengths: Tensor, longest: int, crop: int) -> Tensor:
    """Weights ``(n, crop, longest)`` that resize ``lengths`` ``(n, 1)``: bilinear, with antialiasing."""
    ratio = lengths[..., None].float() / crop  # (n, 1, 1)
    centre = (torch.arange(crop, device=lengths.device)[None, :, None] + 0.5) * ratio
    source = torch.arange(longest, device=lengths.device)[None, None, :] + 0.5
    weights = (1.0 - (source - centre).abs() / ratio.clamp_min(1.0)).clamp_min(0.0)
    weights = weights * (source < lengths[..., None])
    return weights / weights.sum(2, keepdim=True)


@contextmanager
def background(batches: Iterable[T], depth: int = 2) -> Iterator[Iterator[T]]:
    """Make ``batches`` in a thread while the caller works; use as ``with background(made) as ready``.

    At most ``depth`` wait. An exception of the maker is raised where its batch would have come; the
    thread has ended when the ``with`` is left, however it is left.
    """
    ready: ByteQueue[T] = ByteQueue(depth)

    def make() -> None:
        try:
            for batch in batches:
                ready.put(batch, 1)
        finally:
            ready.finish()

    def take() -> Iterator[T]:
        yield from ready.drain()
        worker.wait()

    with Worker("batches", make) as worker:
        try:
            yield take()
        finally:
            ready.close()
