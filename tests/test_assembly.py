from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import av
import pytest
from av.stream import Disposition

from vidcolor.assembly import stamped
from vidcolor.segments import Coded
from vidcolor.stages.decode import other_packets

TICK = Fraction(1, 25)


def coded(pts: list[int]) -> Coded:
    count = len(pts)
    return Coded(
        data=tuple(b"x" for _ in pts),
        pts=tuple(pts),
        durations=(1,) * count,
        keys=(True, *[False] * (count - 1)),
        extradata=b"",
    )


@pytest.mark.parametrize(
    ("pts", "delay"), [([0, 1, 2], 0), ([0, 2, 1, 3], 1), ([0, 4, 2, 1, 3], 2), ([0], 0), ([], 0)]
)
def test_the_delay_is_the_least_that_keeps_decoding_before_showing(pts: list[int], delay: int) -> None:
    part = coded(pts)
    assert part.delay == delay
    packets = list(stamped([part], delay, TICK))
    assert all(p.dts is not None and p.pts is not None and p.dts <= p.pts for p in packets)


def test_decode_times_rise_strictly_over_joins_and_reach_back_before_the_first() -> None:
    parts = [coded([0, 4, 2, 1, 3]), coded([5, 6, 7]), coded([10, 30, 20, 40])]
    packets = list(stamped(parts, 2, TICK))
    dts = [p.dts for p in packets]
    assert [p.pts for p in packets] == [0, 4, 2, 1, 3, 5, 6, 7, 10, 30, 20, 40]
    assert dts == [-2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 10, 20]
    assert all(p.time_base == TICK for p in packets)


def test_a_film_shorter_than_the_delay() -> None:
    assert [p.dts for p in stamped([coded([0, 1])], 2, TICK)] == [-1, 0]


class Container:
    """Tracks 1 and 2 one behind the other, as bad muxers write them."""

    name = "x"
    format, start_time = SimpleNamespace(flags=0), None

    def __init__(self) -> None:
        self.streams = [SimpleNamespace(index=i, type="audio", disposition=Disposition(0)) for i in range(3)]
        self.streams.append(SimpleNamespace(index=3, type="attachment", disposition=Disposition(0)))
        self.streams.append(SimpleNamespace(index=4, type="video", disposition=Disposition.attached_pic))

    def demux(self) -> Iterator[Any]:
        for stream in self.streams[:3]:  # nothing ever comes of the others
            for second in range(10):
                yield SimpleNamespace(
                    stream_index=stream.index, dts=second, pts=second, time_base=Fraction(1)
                )
        raise av.error.InvalidDataError(1, "damaged")


def test_a_track_that_lies_behind_another_in_the_file_is_read_too() -> None:
    container: Any = Container()
    found = [(p.stream_index, p.dts) for p in other_packets(container, 0, Fraction(3))]
    assert found == [(1, s) for s in range(5)] + [(2, s) for s in range(5)]
    assert len(list(other_packets(container, 0, None))) == 20
