"""Where segments meet, nothing shows: the frames are those of a film that was made in one piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import av
import numpy as np
import pytest
import torch
from media import fill_plane, grey_frame, make_film, planes_of, read_film
from pictures import texture
from test_resume import short_segments
from test_shots_apart import cut_film

from vidcolor.bars import BarState
from vidcolor.ending import Endings
from vidcolor.job import colorize
from vidcolor.making import Maker
from vidcolor.motion import Luma
from vidcolor.options import Options
from vidcolor.packing import Place
from vidcolor.stages.propagate import PropagationState
from vidcolor.stages.shots import ShotState
from vidcolor.statearrays import arrays_of, state_of
from vidcolor.temporal import LinkerState, TemporalState


class Spotted(torch.nn.Module):
    """A plain colour for each picture, by its pixels in the middle: to the last digit, whatever the batch."""

    multiple = 32

    def forward(self, lightness: torch.Tensor) -> torch.Tensor:
        """L* ``(N, 1, H, W)`` to ab ``(N, 2, H/2, W/2)``."""
        count, _, height, width = lightness.shape
        spot = lightness[:, :, height // 2 : height // 2 + 1, width // 2 : width // 2 + 1]
        ab = torch.cat((spot * 37.0, spot * 53.0), dim=1) % 60.0 - 20.0
        return ab.expand(count, 2, height // 2, width // 2)


def woven_film(path: Path, order: str) -> Path:
    """Interlaced, with the fields in this order."""
    top = {"tt": "tff=1", "bb": "bff=1"}[order]
    options = {"x264-params": f"{top}:keyint=1", "flags": "+ildct+ilme", "field_order": order}
    return make_film(path, frames=20, size=(64, 64), options=options)


def barred_film(path: Path) -> Path:
    """With black bars at its sides, in which a title comes and goes before the first seam."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for index in range(30):
            frame = grey_frame(96, 64, "yuv420p", index)
            codes = planes_of(frame)[0]
            codes[:, :20] = codes[:, 76:] = 16
            if index in (2, 3):
                codes[8:12, 92:] = 200  # after it bars are not clear any more, but known
            fill_plane(frame.planes[0], codes)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def cross_cut_film(path: Path) -> Path:
    """Two shots that go on in turn."""
    shots = [(texture(seed, 64, 96) * 150.0 + 40.0).astype(np.uint8) for seed in (1, 2)]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for index in range(30):
            frame = grey_frame(96, 64, "yuv420p", index)
            brighter = np.uint8(index % 3)  # colours change with that
            fill_plane(frame.planes[0], shots[index // 6 % 2] + brighter)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


FILMS: dict[str, Callable[[Path], Path]] = {
    "one shot": lambda folder: make_film(folder / "in.mkv", frames=30),
    "cuts": lambda folder: cut_film(folder / "in.mkv", (9, 8, 5, 8)),
    "cross-cutting": lambda folder: cross_cut_film(folder / "in.mkv"),
    "bars": lambda folder: barred_film(folder / "in.mkv"),
    "upper field first": lambda folder: woven_film(folder / "in.mkv", "tt"),
    "lower field first": lambda folder: woven_film(folder / "in.mkv", "bb"),
}


@pytest.mark.parametrize(("kind", "temporal"), [*((kind, "flow") for kind in FILMS), ("cuts", "average")])
def test_a_seam_does_not_show(kind: str, temporal: str, tmp_path: Path) -> None:
    source, seen = FILMS[kind](tmp_path), []
    given: dict[str, Any] = {"render_size": 32, "device": "cpu", "precision": "fp32", "engine": "torch"}
    options = Options(**given, temporal=temporal, codec="ffv1", match_shots=kind == "cross-cutting")
    make = Maker.make

    def kept(maker: Maker, number: int, place: Place | None, endings: Endings) -> Place:
        """What goes over the end, as a run finds it that goes on from there."""
        make(maker, number, place, endings)
        endings.wait()
        return maker.finished.store.read(maker.finished.files[number]).after

    for frames in (6, 240):
        with short_segments(frames, network=Spotted()), mock.patch.object(Maker, "make", kept):
            colorize(source, tmp_path / f"{frames}.mkv", options)
        seen.append([planes_of(frame) for frame in read_film(tmp_path / f"{frames}.mkv")])
    assert len(seen[0]) == len(seen[1]) > 12
    for number, (one, other) in enumerate(zip(*seen, strict=True)):
        assert all(map(np.array_equal, one, other)), f"frame {number}"


def all_of(state: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Every field of a state and of those within it."""
    for field in fields(state):
        value = getattr(state, field.name)
        if is_dataclass(value):
            yield from all_of(value)
        else:
            yield f"{type(state).__name__}.{field.name}", np.asarray(value)


def test_a_state_comes_back_from_its_arrays_as_it_was() -> None:
    random = np.random.default_rng(1)
    mean, weight = random.random((8, 12, 2), np.float32), random.random((8, 12), np.float32)
    thumbnails, grey = random.random((3, 36, 48)).astype(np.float16), random.random((32, 48), np.float32)
    shots = ShotState(
        thumbnails=thumbnails, pending=2, shot=1, seen=True, shape=(32, 48), area=(1, 30, 2, 40)
    )
    dark, lit = np.arange(80, dtype=np.int32), random.random(80) < 0.5
    bars = BarState(height=32, dark=dark, lit=lit, known=True, pending=random.random((2, 80)) < 0.5)
    linker = LinkerState(shots=shots, bars=bars, previous=Luma.of(grey))
    state = TemporalState(linker=linker, filter=PropagationState(mean=mean, weight=weight, chroma=(1.5, 2.5)))
    back = dict(all_of(state_of(arrays_of(state))))
    for name, value in all_of(state):
        assert np.array_equal(value, back[name]), name
        assert value.dtype == back[name].dtype, name
