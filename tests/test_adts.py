"""AAC whose packets each begin with a header of their own, where it is copied into a pipe."""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext

from vidcolor.media.adts import _without_header, converter, header_of
from vidcolor.media.layouts import channels_of


def broadcast(path: Path, rate: int = 48_000, layout: str = "stereo") -> Path:
    """A tenth of a second of noise as AAC in a transport stream."""
    with av.open(str(path), "w", format="mpegts") as out:
        stream = out.add_stream("aac", rate=rate, layout=layout)
        frame = av.AudioFrame("fltp", layout, rate // 10)
        noise = np.random.default_rng(3).normal(0, 0.1, frame.samples).astype(np.float32).tobytes()
        for plane in frame.planes[: channels_of(frame)]:
            plane.update(noise.ljust(plane.buffer_size, b"\0"))
        frame.rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    return path


def bare(path: Path) -> Iterator[av.Packet[AudioStream]]:
    """Its packets as FFmpeg's own filter makes them, the first with the header."""
    with av.open(str(path)) as film:
        sound = film.streams.audio[0]
        change = BitStreamFilterContext("aac_adtstoasc", sound)
        for packet in film.demux(sound):
            if packet.size:
                yield from change.filter(packet)


@pytest.mark.parametrize("layout", ["mono", "stereo", "3.0", "4.0", "5.0", "5.1", "7.1"])
@pytest.mark.parametrize("rate", [96_000, 88_200, 64_000, 48_000, 44_100, 8000, 7350])
def test_the_header_is_the_one_that_ffmpeg_makes(rate: int, layout: str, tmp_path: Path) -> None:
    path = broadcast(tmp_path / "a.ts", rate, layout)
    with av.open(str(path)) as film:
        assert header_of(film.streams.audio[0]) == bytes(next(bare(path)).get_sidedata("new_extradata"))


@pytest.mark.parametrize(
    ("profile", "rate", "layout", "header"),
    [
        ("Main", 44_100, "stereo", "0a10"),
        ("LTP", 44_100, "stereo", "2210"),
        ("HE-AAC", 48_000, "stereo", "1310"),  # twice the rate of what lies at the bottom
        ("HE-AACv2", 48_000, "stereo", "1308"),  # twice its channels, too
        ("ELD", 48_000, "stereo", None),
        ("LC", 47_000, "stereo", None),
        ("LC", 48_000, "6.1", None),
    ],
)
def test_headers_of_rarer_kinds(profile: str, rate: int, layout: str, header: str | None) -> None:
    context = SimpleNamespace(profile=profile, sample_rate=rate, layout=av.AudioLayout(layout))
    track = mock.Mock(spec=AudioStream, codec_context=context)
    assert header_of(track) == (bytes.fromhex(header) if header else None)


@pytest.mark.parametrize(("muxer", "taken_off"), [("matroska", True), ("mp4", True), ("nut", False)])
@pytest.mark.parametrize("piped", [True, False])
def test_in_pipes_packets_lose_their_headers(
    muxer: str, taken_off: bool, piped: bool, tmp_path: Path
) -> None:
    path = broadcast(tmp_path / "a.ts")
    options = {"flush_packets": "1"} if piped else {}
    with (
        av.open(str(path)) as film,
        av.open(io.BytesIO(), "w", format=muxer, container_options=options) as output,
    ):
        sound = film.streams.audio[0]
        target = output.add_stream_from_template(sound)
        convert = converter(sound, target, output)
        assert convert is not None
        packets = [packet for packet in film.demux(sound) if packet.size]
        made = [new for packet in packets for new in convert(packet)]
        wanted = list(bare(path)) if taken_off and piped else packets
        header = target.codec_context.extradata
    for new, old in zip(made, wanted, strict=True):
        assert bytes(new) == bytes(old)
        assert (new.pts, new.dts, new.duration) == (old.pts, old.dts, old.duration)
        assert new.is_keyframe
        assert new.time_base == old.time_base
    assert (header == bytes(wanted[0].get_sidedata("new_extradata"))) if taken_off and piped else not header


def test_a_header_may_end_with_a_checksum() -> None:
    body = bytes(range(20))
    for header in ("fff14c80000000", "fff04c800000001234"):
        packet = av.Packet(bytes.fromhex(header) + body)
        packet.pts, packet.dts, packet.time_base = 7, 5, Fraction(1, 90_000)
        made = _without_header(packet)
        assert (bytes(made), made.pts, made.dts) == (body, 7, 5)
    for other in (b"\xff\x01" + body, b"\xff\xf1\x4c"):
        assert bytes(_without_header(av.Packet(other))) == other


def test_in_pipes_too_a_change_of_channels_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = {"flush_packets": "1"}
    with (
        av.open(str(broadcast(tmp_path / "a.ts"))) as film,
        av.open(io.BytesIO(), "w", format="matroska", container_options=options) as output,
    ):
        sound = film.streams.audio[0]
        convert = converter(sound, output.add_stream_from_template(sound), output)
        assert convert is not None
        for header in ("fff14c80000000", "fff14d80000000", "fff14c80000000", "fff15080000000"):
            packet = av.Packet(bytes.fromhex(header) + b"body")
            packet.pts = packet.dts = 180_000
            packet.time_base = Fraction(1, 90_000)
            assert [bytes(made) for made in convert(packet)] == [b"body"]
    assert len([line for line in caplog.messages if "its channels or its rate at 2.0 s" in line]) == 1
