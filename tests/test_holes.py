"""What is added up as missing between packets of sound; films with holes are in ``test_remux``."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from vidcolor.media.holes import Holes


def holes_of(
    packets: list[tuple[int, int]], muxer: str = "avi", codec: str = "mp3", kind: str = "audio"
) -> Any:
    """Of packets that begin at a millisecond and last so many."""
    stream: Any = SimpleNamespace(type=kind, codec_context=SimpleNamespace(name=codec))
    holes = Holes(muxer, stream, "a.mkv: track 1")
    for at, lasts in packets:
        packet: Any = SimpleNamespace(dts=at, duration=lasts, time_base=Fraction(1, 1000))
        holes.note(packet)
    return holes


EVEN = [(26 * n, 26) for n in range(10)]
HOLE = EVEN[:5] + [(at + 100, lasts) for at, lasts in EVEN[5:]]
LONG = [*EVEN[:4], (104, 126), *HOLE[5:]]
"""The packet before the hole lasts until its end, as in mp4."""
CLOSED = [*HOLE[:7], (182, 26), (208, 26)]
UNEVEN = [(0, 10), (10, 30), (40, 10), (50, 30), (80, 10), (90, 30)]


@pytest.mark.parametrize(
    ("packets", "given", "says"),
    [
        (EVEN, {}, None),
        (HOLE, {}, "0.100 s early"),
        (LONG, {}, "0.100 s early"),
        (CLOSED, {}, "0.100 s early"),  # at most
        (UNEVEN, {}, None),
        ([(at + 3 * (n % 2), lasts) for n, (at, lasts) in enumerate(EVEN)], {}, None),  # rounded
        (EVEN[:5] + [(at + 30, lasts) for at, lasts in EVEN[5:]], {}, None),  # nobody hears it
        ([*UNEVEN, (220, 10)], {"muxer": "mov", "codec": "pcm_s16le"}, "0.100 s early"),
        (HOLE, {"muxer": "mov"}, None),
        (HOLE, {"muxer": "matroska", "codec": "pcm_s16le"}, None),
        (HOLE, {"kind": "video"}, None),
    ],
)
def test_holes_are_told_of_where_they_are_closed_and_heard(
    packets: list[tuple[int, int]], given: dict[str, str], says: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    holes_of(packets, **given).tell()
    assert len(caplog.messages) == (says is not None)
    assert says is None or says in caplog.text
