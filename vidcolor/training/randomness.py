"""Random numbers by counting: each depends on what it is for, and on nothing that was drawn before it."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def uniforms(
    purpose: str, seed: int, step: int, *, first: int, rows: int, columns: int
) -> NDArray[np.float64]:
    """Numbers in [0, 1), ``(rows, columns)``, float64; row i belongs to place ``first + i`` of a batch.

    A number is a hash (the finaliser of SplitMix64, Steele et al., OOPSLA 2014, applied once for each
    counter) of purpose, seed, step, place and column: a resumed run draws what the first one drew, and
    two processes that share a batch together draw what one would.
    """
    places = np.arange(first, first + rows, dtype=np.uint64)[:, None]
    at = np.arange(columns, dtype=np.uint64)[None, :]
    state = _mix(np.full((1, 1), _key(purpose, seed, step), np.uint64))
    bits = _mix(_mix(state ^ (places * _GOLDEN)) + (at + np.uint64(1)) * _GOLDEN)
    numbers: NDArray[np.float64] = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return numbers


@lru_cache(maxsize=64)
def _key(purpose: str, seed: int, step: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{purpose} {seed} {step}".encode()).digest()[:8], "little")


def _mix(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits = (bits ^ (bits >> np.uint64(30))) * _FIRST
    bits = (bits ^ (bits >> np.uint64(27))) * _SECOND
    mixed: NDArray[np.uint64] = bits ^ (bits >> np.uint64(31))
    return mixed


class Draws:
    """A row of :func:`uniforms` for each of n pictures, shaped for arithmetic with a batch on ``device``."""

    def __init__(self, table: NDArray[np.float64], device: torch.device) -> None:
        self._table = table
        self._rows = torch.from_numpy(table).float().to(device)

    def __call__(self, column: int, low: float, high: float) -> Tensor:
        """Numbers from ``low`` to ``high``, ``(n, 1, 1, 1)``, float32."""
        return (low + (high - low) * self._rows[:, column]).view(-1, 1, 1, 1)

    def whole(self, column: int, below: int) -> list[int]:
        """Whole numbers from 0 to ``below - 1``, known without asking the device."""
        return [int(number * below) for number in self._table[:, column]]


@lru_cache(maxsize=4)
def permutation(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """The order in which an epoch shows ``count`` pictures, int64; the last ones asked for are kept."""
    order = np.random.Generator(np.random.PCG64(_key("epoch", seed, epoch))).permutation(count)
    order.flags.writeable = False
    return order
