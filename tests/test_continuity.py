"""One clock for sources whose own begins again; films of such are in ``test_time``."""

from __future__ import annotations

import logging
from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from vidcolor.media.continuity import Continuity

JUMPS = 1 << 9
OVERFLOW = (1 << 33) / 90_000
TICKS = 1000
"""A second of these packets."""


def source(flags: int = JUMPS, start: float = 0.0) -> Any:
    return SimpleNamespace(format=SimpleNamespace(flags=flags), start_time=round(start * 1_000_000))


def packet(at: float, index: int = 0, kind: str = "video", *, pts: bool = True, dts: bool = True) -> Any:
    """A packet of half a second that is decoded at that second and shown half a second later."""
    ticks = round(at * TICKS)
    return SimpleNamespace(
        pts=ticks + 500 if pts else None,
        dts=ticks if dts else None,
        duration=500,
        time_base=Fraction(1, TICKS),
        stream=SimpleNamespace(type=kind),
        stream_index=index,
    )


def mended(continuity: Continuity, *packets: Any) -> list[float]:
    """Decode times in seconds, as they are mended."""
    for one in packets:
        shown = None if one.pts is None or one.dts is None else one.pts - one.dts
        continuity.mend(one)
        assert shown is None or one.pts - one.dts == shown
    return [(one.dts if one.dts is not None else one.pts) / TICKS for one in packets]


def test_all_tracks_go_on_from_where_the_first_of_them_met_the_new_clock(
    caplog: pytest.LogCaptureFixture,
) -> None:
    continuity = Continuity(source(), "a.ts")
    film = [
        (packet(10.0), 10.0),
        (packet(9.8, 1, "audio"), 9.8),
        (packet(10.5), 10.5),
        (packet(0.0), 11.0),  # it begins again
        (packet(10.3, 1, "audio"), 10.3),  # of the time before
        (packet(0.5), 11.5),
        (packet(0.1, 1, "audio"), 11.1),  # with the picture, not after its own last packet
        (packet(0.2, 2, "subtitle"), 11.2),  # what is no picture and no sound follows
        (packet(0.2, 3, "audio"), 11.2),  # as does a track that begins now
    ]
    assert not continuity.jumped
    assert mended(continuity, *(one for one, _ in film)) == pytest.approx([at for _, at in film])
    assert continuity.jumped
    assert mended(continuity, packet(1.0), packet(0.0), packet(0.5)) == [12.0, 12.5, 13.0]
    assert caplog.messages == ["a.ts: its clock begins again at 11.000 s; all tracks go on from there"]


def test_what_is_untidy_or_missing_stays(caplog: pytest.LogCaptureFixture) -> None:
    continuity = Continuity(source(), "a.ts")
    times = [0.0, 0.5, 0.3, 0.7, 3600.0, 3600.5]
    assert mended(continuity, *map(packet, times)) == times
    assert not continuity.jumped and not caplog.messages


def test_a_leap_of_most_of_the_overflow_is_a_step_back() -> None:
    continuity = Continuity(source(), None)
    assert mended(continuity, packet(100.0), packet(OVERFLOW - 1), packet(OVERFLOW - 0.5)) == [
        100.0,
        100.5,
        101.0,
    ]
    assert continuity.jumped


@pytest.mark.parametrize("start", [0.0, 5.0])
def test_a_track_that_begins_shortly_before_zero_does_so(start: float) -> None:
    continuity = Continuity(source(start=start), None)
    times = [OVERFLOW + start - 0.4, OVERFLOW + start - 59.0]
    made = mended(continuity, *(packet(at, index, "audio") for index, at in enumerate(times)))
    assert made == pytest.approx([start - 0.4, start - 59.0], abs=0.002)
    assert not continuity.jumped
    late = packet(OVERFLOW + start - 61.0, 2, "audio")
    assert mended(continuity, late) == pytest.approx([OVERFLOW + start - 61.0], abs=0.002)


@pytest.mark.parametrize("known", ["pts", "dts"])
def test_one_time_is_enough(known: str) -> None:
    continuity = Continuity(source(), None)
    given = {"pts": known == "pts", "dts": known == "dts"}
    times = mended(continuity, *(packet(at, **given) for at in (7.0, 7.5, 0.0, 0.5)))
    assert [b - a for a, b in pairwise(times)] == [0.5, 0.5, 0.5]


def test_where_clocks_cannot_jump_nothing_is_changed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    continuity = Continuity(source(flags=0), "a.mkv")
    times = [10.0, 0.0, 90_000.0]
    assert mended(continuity, *map(packet, times)) == times
    assert not continuity.jumped and not caplog.messages
