from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import av
import pytest
from av.stream import Disposition
from media import make_film
from safetensors.numpy import load_file
from test_resume import Stop, run

from vidcolor.assembly import stamped
from vidcolor.errors import OutputError
from vidcolor.packing import Coded, Place, Segment, pack, read_segment
from vidcolor.segments import SegmentStore
from vidcolor.stages.decode import other_packets
from vidcolor.workplace import Workplace

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


@pytest.mark.parametrize("pts", [[], [0, 2, 1]])
@pytest.mark.parametrize("header", [b"", b"header"])
def test_a_segment_is_read_as_it_was_written(pts: list[int], header: bytes, tmp_path: Path) -> None:
    part = replace(coded(pts), extradata=header, data=tuple(bytes(n) for n in range(len(pts))))
    after = Place(frames=3, last=2, lumas=(7, 8), seconds=0.12, lost=1, damaged=2, ticks=2, state=None)
    segment = Segment(number=4, frames=3, delay=1, coded=part, after=after)
    pieces = pack(segment)
    assert all(kept is given for kept, given in zip(pieces[2 + 5 :], part.data, strict=True))  # no copies
    path = tmp_path / "segment"
    path.write_bytes(b"".join(pieces))
    assert read_segment(path) == segment
    assert load_file(path)["data"].tobytes() == b"".join(part.data)


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


@pytest.mark.parametrize("start", [None, Fraction(15)], ids=["whole", "a part"])
def test_sound_lies_beside_its_picture(start: Fraction | None, tmp_path: Path) -> None:
    source, target = make_film(tmp_path / "in.mkv", frames=80, rate=2, audio="aac"), tmp_path / "out.mkv"
    run(source, target, start=start, temporal="off")
    with av.open(str(target)) as film:
        packets = sorted((p for p in film.demux() if p.size), key=lambda p: p.pos)
        lie = [(p.stream.type, (p.pts if p.dts is None else p.dts) * p.time_base) for p in packets]
    reached = {"video": Fraction(0), "audio": Fraction(0)}
    for kind, seconds in lie:
        reached[kind] = seconds
        assert abs(reached["video"] - reached["audio"]) < 2, "players read no further ahead"


def test_parts_that_do_not_fit_together_are_no_film(tmp_path: Path) -> None:
    source, target = make_film(tmp_path / "in.mkv", frames=14), tmp_path / "out.mkv"
    with mock.patch("vidcolor.resumable.assemble", side_effect=Stop), pytest.raises(Stop):
        run(source, target)
    store = SegmentStore(Workplace(target).folder, "out.mkv")
    segment = store.read(store.find()[1])
    store.find()[1].unlink()
    store.write(replace(segment, coded=replace(segment.coded, extradata=b"another encoder's")))
    with pytest.raises(OutputError, match="do not fit together: begin anew with --restart"):
        run(source, target)
    assert not target.exists()
    assert run(source, target, restart=True).frames == 14
