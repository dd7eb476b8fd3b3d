"""Temporal state as named arrays: how a segment's file keeps it. Arrays without elements may be left out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidcolor.bars import BarState
from vidcolor.motion import Luma
from vidcolor.stages.propagate import PropagationState
from vidcolor.stages.shots import ShotState
from vidcolor.temporal import LinkerState, TemporalState

Arrays = dict[str, NDArray[Any]]


def arrays_of(state: TemporalState) -> Arrays:
    """The state by names."""
    shots, previous, smoothed = state.linker.shots, state.linker.previous, state.filter
    bars = state.linker.bars
    arrays: Arrays = {
        "bars.numbers": np.array([bars.height, bars.known], np.int64),
        "bars.dark": bars.dark,
        "bars.lit": bars.lit,
        "bars.pending": bars.pending,
        "shots.thumbnails": shots.thumbnails,
        "shots.numbers": np.array(
            [shots.pending, shots.shot, shots.seen, *shots.shape, *shots.area], np.int64
        ),
    }
    if previous is not None:
        arrays |= {"previous.searched": previous.searched, "previous.grid": previous.grid}
    if smoothed is not None:
        arrays |= {"filter.mean": smoothed.mean, "filter.chroma": np.array(smoothed.chroma, np.float64)}
        arrays |= {"filter.weight": smoothed.weight}
    if smoothed is not None and smoothed.luma is not None:
        arrays |= {"filter.luma": smoothed.luma}
    return arrays


def state_of(arrays: Arrays) -> TemporalState | None:
    """The state that is kept among ``arrays``; None where none is."""
    if "shots.numbers" not in arrays:
        return None
    pending, shot, seen, height, width, *area = arrays["shots.numbers"].tolist()
    fields = {"thumbnails": arrays["shots.thumbnails"]} if "shots.thumbnails" in arrays else {}
    shots = ShotState(
        pending=pending, shot=shot, seen=bool(seen), shape=(height, width), area=tuple(area), **fields
    )
    height, known = arrays["bars.numbers"].tolist()
    lines = {n: arrays[f"bars.{n}"] for n in ("dark", "lit", "pending") if f"bars.{n}" in arrays}
    bars = BarState(height=height, known=bool(known), **lines)
    previous = smoothed = None
    if "previous.searched" in arrays:
        previous = Luma(searched=arrays["previous.searched"], grid=arrays["previous.grid"])
    if "filter.mean" in arrays:
        chroma = arrays["filter.chroma"].tolist()
        weight = arrays.get("filter.weight", np.zeros((0, 0), np.float32))
        smoothed = PropagationState(
            mean=arrays["filter.mean"],
            weight=weight,
            chroma=(chroma[0], chroma[1]),
            luma=arrays.get("filter.luma"),
        )
    return TemporalState(linker=LinkerState(shots=shots, bars=bars, previous=previous), filter=smoothed)
