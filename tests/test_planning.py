"""Where segments begin that can be made apart from those before."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from media import make_film
from test_resume import Stop, short_segments
from test_shots_apart import cut_film, segments_of

from vidcolor.errors import Interrupted
from vidcolor.job import colorize
from vidcolor.making import Maker
from vidcolor.options import Options
from vidcolor.packing import Place
from vidcolor.planning import Planner


def planned(source: Path, *, cancel: threading.Event | None = None, **given: Any) -> list[tuple[int, Place]]:
    """What the planner finds in a film whose segments have 6 to 12 frames."""
    found: list[tuple[int, Place]] = []

    def plan(maker: Maker) -> None:
        found.extend(Planner(maker=maker, cancel=cancel or threading.Event()).beginnings(0, None))
        raise Stop

    options = Options(**({"render_size": 32, "device": "cpu", "precision": "fp32"} | given))
    with short_segments(12), mock.patch.object(Maker, "make_all", plan), pytest.raises(Stop):
        colorize(source, source.with_name("planned.mkv"), options)
    return found


def stateless(places: list[tuple[int, Place]]) -> list[tuple[int, Place]]:
    """All of them is known but what colours go on from, which no shot that begins has."""
    assert all(place.independent for _, place in places)
    return [(number, replace(place, state=None)) for number, place in places]


@pytest.mark.parametrize("given", [{}, {"temporal": "average"}, {"temporal": "off"}, {"smoothing": 0.0}])
@pytest.mark.parametrize("lengths", [(9, 8, 30, 7, 7, 4), (8, 10, 26, 6, 13)])
def test_they_are_found_as_whoever_colours_finds_them(
    lengths: tuple[int, ...], given: dict[str, Any], tmp_path: Path
) -> None:
    source = cut_film(tmp_path / "in.mkv", lengths)
    kept = enumerate(segments_of(source, tmp_path / "out.mkv", **given), 1)
    wanted = [(number, segment.after) for number, segment in kept if segment.after.independent]
    assert stateless(planned(source, **given)) == stateless(wanted) != []


def test_a_film_of_one_shot_has_none(tmp_path: Path) -> None:
    assert planned(make_film(tmp_path / "in.mkv", frames=30)) == []


def test_the_search_ends_when_it_is_to_end(tmp_path: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Interrupted):
        planned(cut_film(tmp_path / "in.mkv"), cancel=cancel)
