"""Torch without its other threads, for work on many small tensors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Have torch compute on the calling thread alone.

    Work on hundreds of small tensors waits for other threads more than it computes, many times as long where
    another program has their core. What is computed does not depend on their number either.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
