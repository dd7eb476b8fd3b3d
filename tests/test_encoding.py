"""What the encoders of one film have in common, and what becomes of it in parts."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media import make_film

from vidcolor.encoding import Encoding, SegmentEncoder
from vidcolor.film import Film
from vidcolor.frames import Frame
from vidcolor.options import Options
from vidcolor.reading import Reading
from vidcolor.stages.decode import DecodeSettings
from vidcolor.target import Target

SUFFIXES = {"mp4": "mp4", "mkv": "matroska"}


@pytest.fixture(params=SUFFIXES)
def begun(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Reading, list[Frame], Encoding]]:
    source, target = make_film(tmp_path / "in.mp4", frames=6), str(tmp_path / f"out.{request.param}")
    with av.open(str(source)) as container:
        reading = Reading(container, DecodeSettings(name=str(source)))
        frames = list(reading.frames(lambda packet: None))
        place = Target(name=target, address=f"file:{target}", muxer=SUFFIXES[request.param])
        yield reading, frames, Encoding(reading, frames[0], place, Options())


def encoded(encoder: SegmentEncoder, frames: list[Frame]) -> list[int]:
    """Times, in ticks, of the packets that come of grey frames."""
    packets = []
    for frame in frames:
        grey = np.full([(n + 1) // 2 for n in frame.luma.shape], 128, np.uint8)
        packets += encoder.encode(frame, grey, grey)
    return sorted(int(p.pts or 0) for p in (*packets, *encoder.flush()) if p.size)


def test_segments_fit_together_and_into_the_film(begun: tuple[Reading, list[Frame], Encoding]) -> None:
    reading, frames, encoding = begun
    one = SegmentEncoder(encoding, encoding.watch())
    times = encoded(one, frames[:3])
    other = SegmentEncoder(encoding, encoding.watch(), one.last)
    times += encoded(other, frames[3:])
    film = Film(reading.container, encoding)
    header = bytes(film.picture.codec_context.extradata or b"")
    assert one.extradata == other.extradata == header != b""
    assert times == sorted(set(times)), "a segment goes on where the one before it ended"
    for part in (film, one, other):
        part.close()
    film.close()  # harmless a second time


def test_times_are_told_before_anything_is_encoded(begun: tuple[Reading, list[Frame], Encoding]) -> None:
    _, frames, encoding = begun
    last, told = None, []
    for frame in frames:
        told.append(last := encoding.ticks(frame.pts, frame.time_base, last))
    encoder = SegmentEncoder(encoding, encoding.watch())
    assert encoded(encoder, frames) == told
    assert encoding.ticks(frames[0].pts, frames[0].time_base, last) == told[-1] + 1, "times rise"
    assert encoding.tick <= Fraction(1, 1000)
    encoder.close()
