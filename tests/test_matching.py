from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from media import fill_plane, make_film, planes_of, read_film
from pictures import dissolve, flat, picture, texture
from quick import Corners, colour

from vidcolor.checkpoint import Generator
from vidcolor.errors import UsageError
from vidcolor.frames import Floats, Picture
from vidcolor.matching import ShotTable, scan_shots
from vidcolor.options import Options
from vidcolor.stages.predict import Predictor
from vidcolor.stages.propagate import Propagator
from vidcolor.temporal import Key, Linker


class Plain(torch.nn.Module):
    """The same colour everywhere."""

    asked = 0

    def forward(self, lightness: torch.Tensor) -> torch.Tensor:
        """L* ``(N, 1, H, W)`` to ab ``(N, 2, H/2, W/2)``."""
        count, _, height, width = lightness.shape
        self.asked += count
        return torch.full((count, 2, height // 2, width // 2), 30.0)


def plain(network: Plain | None = None) -> Predictor:
    generator = Generator(network=network or Plain(), multiple=32, path=Path("plain"), metadata={})
    return Predictor(generator, torch.device("cpu"), "float32")


def view(seed: int, count: int) -> list[Picture]:
    """A camera that stands still, with a little grain."""
    rng = np.random.default_rng(seed)
    grey = texture(seed)
    return [
        picture(np.clip(grey + 0.01 * rng.standard_normal(grey.shape), 0, 1).astype(np.float32))
        for _ in range(count)
    ]


def keyed(pictures: list[Picture]) -> list[tuple[Key, Floats]]:
    return [((number, 0), one.grey) for number, one in enumerate(pictures)]


def scan(pictures: list[Picture], predictor: Predictor | None = None) -> ShotTable:
    return scan_shots(keyed(pictures), predictor or plain())


def test_a_shot_that_comes_back_is_found_and_no_other() -> None:
    table = scan(view(1, 20) + view(2, 20) + view(1, 20) + view(3, 20) + view(2, 20))
    assert table.shots == 5
    assert sorted(table.anchors) == [(40, 0), (80, 0)]


def test_shots_that_do_not_come_back_have_nothing_to_begin_with() -> None:
    assert not scan([one for seed in range(1, 7) for one in view(seed, 12)]).anchors


def test_black_shots_between_are_no_return() -> None:
    black = [picture(np.zeros((96, 128), np.float32))] * 15
    assert not scan(view(1, 15) + black + view(2, 15) + black + view(3, 15)).anchors


def coloured(pictures: list[Picture], abs_: list[Floats], table: ShotTable | None) -> list[Floats]:
    linker = Linker("flow", None, table.anchors if table else None)
    propagator, waiting, out = Propagator("flow", 0.9), list(abs_), []
    for key, one in keyed(pictures):
        for link in linker.push(one, key):
            out += link.apply(propagator, waiting.pop(0))
    for link in linker.finish():
        out += link.apply(propagator, waiting.pop(0))
    return [*out, *propagator.finish()]


def test_a_shot_begins_in_the_colours_in_which_the_earlier_one_ended() -> None:
    pictures = view(1, 30) + view(2, 30) + view(1, 30)
    # the generator sees the first shot as the table's predictor does, and errs when it comes back
    abs_ = [flat(30, 30)] * 30 + [flat(-20, 0)] * 30 + [flat(10, 30)] * 30
    without, with_it = coloured(pictures, abs_, None), coloured(pictures, abs_, scan(pictures))
    assert np.abs(without[60] - 10)[..., 0].mean() < 1
    assert np.abs(with_it[60][..., 0] - 30).mean() < 5
    for one, other in zip(without[:60], with_it[:60], strict=True):
        assert np.array_equal(one, other)  # nothing else changes


@pytest.mark.parametrize(("length", "asked"), [(1, 1), (12, 3), (50, 9), (51, 9)])
def test_the_colours_of_an_ending_rest_on_its_last_pictures(length: int, asked: int) -> None:
    network = Plain()
    table = scan(view(1, 60) + view(2, length) + view(3, 12) + view(2, 12), plain(network))
    assert (len(table.anchors), network.asked) == (1, asked)


def test_a_shot_may_come_back_at_the_very_end() -> None:
    table = scan(view(1, 12) + view(2, 12) + view(1, 2))
    assert (table.shots, list(table.anchors)) == (3, [(24, 0)])


def test_a_scan_remembers_only_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidcolor.matching._KEPT_SHOTS", 2)
    monkeypatch.setattr("vidcolor.matching._MOST_ANCHORS", 1)
    table = scan([one for seed in (1, 2, 3, 1, 3, 1) for one in view(seed, 12)])
    assert list(table.anchors) == [(48, 0)]


def test_a_scan_of_nothing_is_an_empty_table() -> None:
    table = scan([])
    assert (table.shots, dict(table.anchors)) == (0, {})


def test_the_table_cannot_be_changed() -> None:
    table = scan(view(1, 15) + view(2, 15) + view(1, 15))
    with pytest.raises(TypeError):
        table.anchors[(0, 0)] = table.anchors[(30, 0)]  # type: ignore[index]


def test_the_command_scans_and_says_what_it_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = make_film(tmp_path / "in.mp4", frames=12)
    with caplog.at_level("INFO", logger="vidcolor"):
        result = colour(source, tmp_path / "out.mp4", Corners(), temporal="flow", match_shots=True)
    assert result.frames == 12
    assert "0 of 1 shots come back" in caplog.text


def test_a_pipe_cannot_be_scanned(tmp_path: Path) -> None:
    fifo = tmp_path / "in.fifo"
    os.mkfifo(fifo)
    with pytest.raises(UsageError, match="--match-shots reads its source twice"):
        colour(fifo, tmp_path / "out.mp4", temporal="flow", match_shots=True)


@pytest.mark.parametrize("options", [{"temporal": "average"}, {"temporal": "off"}, {"smoothing": 0.0}])
def test_matching_needs_the_filter(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="match shots"):
        Options(match_shots=True, **options)


def cut_together(path: Path, seeds: tuple[int, ...], count: int = 16) -> Path:
    """A film of still views."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for seed in seeds:
            for one in view(seed, count):
                frame = av.VideoFrame(128, 96, "yuv420p")
                fill_plane(frame.planes[0], (16 + 219 * one.grey).astype(np.uint8))
                for plane in frame.planes[1:]:
                    fill_plane(plane, np.full((48, 64), 128, np.uint8))
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


class Forgetful(torch.nn.Module):
    """Changes its mind about colours after a while."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def forward(self, lightness: torch.Tensor) -> torch.Tensor:
        """L* ``(N, 1, H, W)`` to ab ``(N, 2, H/2, W/2)``."""
        count, _, height, width = lightness.shape
        self.asked += count
        value = 40.0 if self.asked <= 24 else -40.0
        return torch.full((count, 2, height // 2, width // 2), value)


@pytest.mark.parametrize("start", [None, Fraction(4, 25)])
def test_a_shot_that_comes_back_is_coloured_by_the_table(start: Fraction | None, tmp_path: Path) -> None:
    film = cut_together(tmp_path / "aba.mkv", (1, 2, 1))
    options: dict[str, Any] = {"render_size": 96, "codec": "ffv1", "temporal": "flow", "start": start}
    options["every_frame"] = True  # the generator is to have been asked often enough
    chroma = []
    for matched in (False, True):
        target = tmp_path / f"{matched}.mkv"
        colour(film, target, Forgetful(), match_shots=matched, **options)
        chroma.append([planes_of(frame)[2].astype(float).mean() for frame in read_film(target)])
    without, with_it = (np.array(one) for one in chroma)
    back = 32 if start is None else 28
    assert len(without) == len(with_it) == back + 16
    assert abs(with_it[back] - without[back]) > 5  # the return begins in the colours of the ending
    assert np.allclose(with_it[:8], without[:8], atol=0.6)


def test_a_dissolve_neither_takes_up_nor_leaves_an_ending() -> None:
    one, other = [[p.grey for p in view(seed, 60)] for seed in (1, 2)]
    mixed = dissolve(one, other, 16)
    pictures = [picture(grey) for grey in dissolve(mixed, one, 16)]
    table = scan(pictures)
    assert (table.shots, dict(table.anchors)) == (3, {})
    # of the shot that it leads to the end counts
    table = scan([picture(grey) for grey in [*mixed, *one[:30], *other[:30]]])
    assert (table.shots, list(table.anchors)) == (4, [(len(mixed) + 30, 0)])
