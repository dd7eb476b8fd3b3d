"""Re-encoded sound stays where it was against the picture."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from media import make_film
from quick import colour

from vidcolor.errors import UsageError
from vidcolor.media.adts import channel_watch
from vidcolor.media.audio import AudioConverter
from vidcolor.media.containers import add_copy, can_copy
from vidcolor.media.layouts import lists_channels
from vidcolor.media.soundchoice import default_encoder, find_encoder

CLICKS = (0.3, 1.0, 1.75)  # seconds


def film(
    codec: str,
    *,
    rate: int = 48_000,
    layout: str = "stereo",
    late: float = 0.0,
    gap=None,
    fmt="matroska",
    seconds: float = 2.0,
):
    """Return a file of silence with clicks; ``gap`` (seconds) leaves out a span of packets."""
    channels = av.AudioLayout(layout).nb_channels
    wave = np.zeros((round(seconds * rate), channels), np.int16)
    for click in CLICKS:
        wave[round(click * rate) : round(click * rate) + rate // 100] = 20_000
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=fmt) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.layout = layout
        stream.bit_rate = 128_000  # WMA has none of its own
        shift = round(late * rate)
        for begin in range(0, len(wave), rate // 50):
            if gap and gap[0] <= begin / rate < gap[1]:
                continue
            part = wave[begin : begin + rate // 50]
            frame = av.AudioFrame.from_ndarray(part.reshape(1, -1), "s16", layout)
            frame.rate, frame.pts, frame.time_base = rate, begin + shift, Fraction(1, rate)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return io.BytesIO(buffer.getvalue())


def convert(
    source: io.BytesIO, format_name: str, encoder: str | None = None, spoil=(), **options
) -> io.BytesIO:
    buffer = io.BytesIO()
    settings = {"avoid_negative_ts": "disabled"}
    with av.open(source) as heard, av.open(buffer, "w", format=format_name, options=settings) as output:
        track = heard.streams.audio[0]
        converter = AudioConverter(track, output, encoder or default_encoder(output), **options)
        for number, packet in enumerate(p for p in heard.demux(track) if p.size):
            if number in spoil:
                junk = av.Packet(b"\xff\x00" * 40)
                junk.stream, junk.pts, junk.dts, junk.time_base = (
                    track,
                    packet.pts,
                    packet.dts,
                    packet.time_base,
                )
                packet = junk
            for done in converter.convert(packet):
                done.stream = converter.stream
                output.mux(done)
        for done in converter.flush():
            done.stream = converter.stream
            output.mux(done)
        convert.damaged = converter.damaged
    return io.BytesIO(buffer.getvalue())


def clicks(file: io.BytesIO) -> list[float]:
    """Return where sound begins after at least 0.1 s of silence, seconds."""
    found: list[float] = []
    last = -1.0
    file.seek(0)
    with av.open(file) as heard:
        for frame in heard.decode(audio=0):
            data = frame.to_ndarray().astype(float)
            data = data if frame.format.is_planar else data.reshape(frame.samples, -1).T
            peak = (
                32768 if frame.format.name.startswith("s16") else 2**31 if "s32" in frame.format.name else 1
            )
            for index in np.flatnonzero(np.abs(data).max(axis=0) > 0.25 * peak):
                at = float(frame.pts * frame.time_base) + index / frame.sample_rate
                if at - last > 0.1:
                    found.append(at)
                last = at
    return found


@pytest.mark.parametrize("format_name", ["webm", "mp4", "matroska", "mov", "mpegts"])
def test_pcm_is_re_encoded_in_sync(format_name):
    done = convert(film("pcm_s16le"), format_name)
    shift = 0.0
    if format_name == "mpegts":  # the muxer moves all tracks until none begins before zero
        shift = clicks(done)[0] - CLICKS[0]
        assert abs(shift) < 0.03
    assert clicks(done) == pytest.approx([c + shift for c in CLICKS], abs=0.003)


@pytest.mark.parametrize("source", ["aac", "libmp3lame", "libopus", "ac3"])
def test_the_source_s_own_priming_is_respected(source):
    heard = film(source, fmt="mp4" if source == "aac" else "matroska")
    assert clicks(convert(heard, "webm")) == pytest.approx(clicks(heard), abs=0.003)


def test_a_late_start_stays_late():
    done = convert(film("pcm_s16le", late=0.5), "webm")
    assert clicks(done) == pytest.approx([c + 0.5 for c in CLICKS], abs=0.003)


def test_a_gap_is_filled_with_silence():
    done = convert(film("pcm_s16le", gap=(0.5, 0.8)), "webm")
    assert clicks(done) == pytest.approx(CLICKS, abs=0.006)


def test_a_short_gap_does_not_shift_what_follows():
    done = convert(film("pcm_s16le", gap=(0.5, 0.52)), "matroska", "flac")
    assert clicks(done) == pytest.approx(CLICKS, abs=0.0005)


def test_a_jump_of_hours_costs_no_silence():
    heard = film("pcm_s16le", late=0.0)
    buffer = io.BytesIO()
    with av.open(heard) as source, av.open(buffer, "w", format="matroska") as output:
        track = source.streams.audio[0]
        converter = AudioConverter(track, output, "flac")
        made = 0
        for number, packet in enumerate(p for p in source.demux(track) if p.size):
            if number > 50:
                packet.pts = packet.dts = packet.pts + 3600 * 1000
            made += sum(p.duration for p in converter.convert(packet))
        packets = list(converter.flush())
        made += sum(p.duration for p in packets)
    assert made < 3 * 48_000
    assert packets[-1].pts > 3600 * 48_000


@pytest.mark.parametrize("codec", ["wmav2", "wmav1"])
def test_frames_without_times_in_a_track_of_milliseconds_follow_on(codec: str) -> None:
    """The last frame of WMA's decoder has none."""
    heard = film(codec, fmt="asf")
    done = convert(heard, "matroska", "flac")
    assert clicks(done) == pytest.approx(clicks(heard), abs=0.003)
    done.seek(0)
    with av.open(done) as sound:
        assert 1.9 < float(sound.duration / av.time_base) < 2.2


@pytest.mark.parametrize("format_name", ["nut", "matroska", "mp4"])
def test_flac_ends_with_a_packet_that_decodes(format_name: str) -> None:
    with av.open(convert(film("aac"), format_name, "flac")) as made:
        packets = [packet for packet in made.demux(audio=0) if packet.pts is not None]
    assert all(packet.size for packet in packets)


@pytest.mark.parametrize(("codec", "fmt"), [("mp2", "avi"), ("mp2", "matroska"), ("libmp3lame", "mp4")])
def test_copied_mpeg_sound_comes_through_nut(codec: str, fmt: str) -> None:
    """Of 44.1 kHz, whose packets have two sizes, nearly all was lost: in mp4 of some lengths, as of this."""
    source, made = film(codec, rate=44_100, fmt=fmt, seconds=3.0), io.BytesIO()
    with av.open(source) as heard, av.open(made, "w", format="nut") as output:
        stream = add_copy(output, heard.streams.audio[0])
        packets = [packet for packet in heard.demux(audio=0) if packet.size]
        sizes = [packet.size for packet in packets]
        for packet in packets:
            packet.stream = stream
            output.mux(packet)
    made.seek(0)
    with av.open(made) as again:
        assert [packet.size for packet in again.demux(audio=0) if packet.size] == sizes
    assert len(clicks(made)) == len(CLICKS)


def test_a_start_is_padded_for_a_container_without_timestamps():
    done = convert(film("pcm_s16le", late=0.5), "avi", "pcm_s16le", first=Fraction(0))
    assert clicks(done) == pytest.approx([c + 0.5 for c in CLICKS], abs=0.003)


def test_damaged_packets_are_counted_and_the_rest_stays_in_sync(caplog):
    heard = film("ac3")
    done = convert(heard, "webm", spoil=(20, 21))
    assert clicks(done) == pytest.approx(clicks(heard), abs=0.006)
    assert convert.damaged == 2
    assert [r.getMessage() for r in caplog.records] == [
        "audio track #0 (ac3): 2 damaged packets were left out"
    ]


@pytest.mark.parametrize(
    "rate, layout, encoder, format_name, expected",
    [
        (8_000, "mono", "libopus", "webm", (48_000, 1)),
        (44_100, "5.1", "aac", "mp4", (44_100, 6)),
        (44_100, "5.1", "libmp3lame", "avi", (44_100, 2)),
        (22_050, "stereo", "ac3", "matroska", (32_000, 2)),
        (48_000, "5.1(side)", "libopus", "webm", (48_000, 6)),
        (22_050, "stereo", "mp2", "mpegts", (22_050, 2)),
        (16_000, "5.1", "libmp3lame", "avi", (32_000, 2)),
    ],
)
def test_rate_and_layout_fit_the_encoder(rate, layout, encoder, format_name, expected):
    done = convert(film("pcm_s16le", rate=rate, layout=layout, fmt="mov"), format_name, encoder)
    assert clicks(done)[1:] == pytest.approx(CLICKS[1:], abs=0.05)
    done.seek(0)
    with av.open(done) as heard:
        context = heard.streams.audio[0].codec_context
        assert (context.sample_rate, context.channels) == expected


def test_an_encoder_must_exist_and_encode_sound():
    with pytest.raises(UsageError, match="no encoder"):
        find_encoder("nonsense", "mp4")
    with pytest.raises(UsageError, match="not sound"):
        find_encoder("libx264", "mp4")
    with pytest.raises(UsageError, match="webm cannot hold"):
        find_encoder("aac", "webm")
    with pytest.raises(UsageError, match="ts cannot hold"):
        find_encoder("pcm_s16le", "mpegts")
    find_encoder("mp2", "mpegts")


def test_channels_that_are_lost_are_named(caplog: pytest.LogCaptureFixture) -> None:
    convert(film("pcm_s16le", layout="5.1", fmt="mov"), "avi", "libmp3lame")
    assert "of its 6 channels 2 are made" in caplog.text


@pytest.mark.parametrize(
    ("codec", "rate"), [("ac3", 48_000), ("libmp3lame", 11_025), ("libmp3lame", 44_100), ("eac3", 48_000)]
)
def test_sound_in_avi_lasts_as_long_as_it_did(codec: str, rate: int, tmp_path: Path) -> None:
    heard = film(codec, rate=rate)
    expected = clicks(heard)
    heard.seek(0)
    whole = with_picture(tmp_path / "in.mkv", heard)
    colour(whole, tmp_path / "first.avi")
    colour(tmp_path / "first.avi", tmp_path / "second.avi")
    for name in ("first.avi", "second.avi"):
        done = io.BytesIO((tmp_path / name).read_bytes())
        assert clicks(done) == pytest.approx(expected, abs=0.06)


def test_sound_that_an_edit_list_hides_stays_unheard(tmp_path: Path) -> None:
    source = with_picture(tmp_path / "in.mp4", film("aac", late=-1.2, fmt="mp4"), seconds=1.0)
    heard = clicks(io.BytesIO(source.read_bytes()))
    assert heard == pytest.approx([CLICKS[2] - 1.2], abs=0.03)
    for target in ("out.mkv", "out.mp4"):
        colour(source, tmp_path / target)
        done = (tmp_path / target).read_bytes()
        assert [at for at in clicks(io.BytesIO(done)) if at > 0] == pytest.approx(heard, abs=0.03)
        with av.open(io.BytesIO(done)) as container:
            assert container.start_time / av.time_base > -0.15


@pytest.mark.parametrize(
    ("damaged", "says"),
    [([b"mp4a", b"esds"], "tells nothing of its codec"), ([b"esds"], "header is missing")],
)
def test_sound_whose_header_is_damaged_is_left_out_and_named(
    damaged: list[bytes], says: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_film(tmp_path / "in.mov", frames=6, audio="aac")
    for box in damaged:
        source.write_bytes(source.read_bytes().replace(box, b"zzzz"))
    assert colour(source, tmp_path / "out.mkv").frames == 6
    assert says in caplog.text
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert not container.streams.audio


@pytest.mark.parametrize(("target", "kept"), [("mkv", False), ("ts", False), ("mp4", True), ("flv", True)])
def test_aac_of_flv_without_its_header_costs_no_film(
    target: str, kept: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As in a live stream that was recorded from its middle on."""
    data = make_film(tmp_path / "a.flv", frames=6, audio="aac").read_bytes()
    at, tags = 13, [data[:13]]
    while at < len(data):
        length = int.from_bytes(data[at + 1 : at + 4], "big") + 15
        if (data[at], data[at + 12]) != (8, 0):  # sound, and of that the header
            tags.append(data[at : at + length])
        at += length
    (tmp_path / "b.flv").write_bytes(b"".join(tags))
    assert colour(tmp_path / "b.flv", tmp_path / f"c.{target}").frames == 6
    assert ("header is missing" in caplog.text) != kept
    with av.open(str(tmp_path / f"c.{target}")) as container:
        assert bool(container.streams.audio) == kept


def with_picture(
    path: Path, heard: io.BytesIO, *, seconds: float = 2.0, late: float = 0.0, sound_first: bool = False
) -> Path:
    """Write a film of black frames, ``late`` after zero, with the sound of ``heard``."""
    with av.open(heard) as sound, av.open(str(path), "w") as output:
        track = output.add_stream_from_template(sound.streams.audio[0]) if sound_first else None
        picture = output.add_stream("mpeg4", rate=25, width=176, height=144, pix_fmt="yuv420p")
        track = track or output.add_stream_from_template(sound.streams.audio[0])
        for number in range(round(seconds * 25)):
            frame = av.VideoFrame(176, 144, "yuv420p")
            frame.pts, frame.time_base = number + round(late * 25), Fraction(1, 25)
            output.mux(picture.encode(frame))
        output.mux(picture.encode(None))
        for packet in sound.demux(audio=0):
            if packet.size:
                packet.stream = track
                output.mux(packet)
    return path


def test_sound_before_the_picture_is_named_where_it_has_no_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = with_picture(tmp_path / "in.mkv", film("pcm_s16le"), late=0.4)
    colour(source, tmp_path / "out.mxf")
    assert (
        "audio track #1 (pcm_s16le): its first 0.400 s are left out: mxf begins with the picture"
        in caplog.text
    )
    colour(source, tmp_path / "out.avi")
    assert caplog.text.count("are left out: ") == 1
    colour(with_picture(tmp_path / "even.mkv", film("pcm_s16le")), tmp_path / "even.mxf")
    assert caplog.text.count("are left out: ") == 1


@pytest.mark.parametrize(("suffix", "moved"), [("ts", True), ("flv", True), ("mp4", False), ("mkv", False)])
def test_what_the_priming_of_sound_moves_is_said(
    suffix: str, moved: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = with_picture(tmp_path / "in.mkv", film("pcm_s16le"), late=0.4)
    colour(source, tmp_path / f"out.{suffix}")
    lines = [line for line in caplog.messages if "begins at zero at the earliest: all tracks are" in line]
    assert len(lines) == moved
    if moved:
        said = float(lines[0].split("all tracks are ")[1].split()[0])
        with av.open(str(tmp_path / f"out.{suffix}")) as made:
            picture = made.streams.video[0]
            begin = float(next(p.pts for p in made.demux(picture)) * picture.time_base)
        assert begin - 0.4 == pytest.approx(said, abs=0.0015)


@pytest.mark.parametrize(
    ("codec", "rate", "said"),
    [
        ("pcm_s16le", 48_000, ""),
        ("pcm_s16le", 44_100, "re-encoded with pcm_s16le, at 48000 Hz, for mxf"),
        ("aac", 48_000, "re-encoded"),
    ],
)
def test_mxf_holds_pcm_of_48_khz(
    codec: str, rate: int, said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = with_picture(tmp_path / "in.mov", film(codec, rate=rate, fmt="mov"))
    assert colour(source, tmp_path / "out.mxf").frames == 50
    assert (said in caplog.text) if said else "re-encoded" not in caplog.text
    done = io.BytesIO((tmp_path / "out.mxf").read_bytes())
    with av.open(done) as container:
        assert container.streams.audio[0].codec_context.sample_rate == 48_000
    assert clicks(done) == pytest.approx(CLICKS, abs=0.01)


@pytest.mark.parametrize(
    ("sound", "picture", "expected"),
    [
        ({}, {"seconds": 4.0}, CLICKS),
        ({}, {"seconds": 4.0, "sound_first": True}, CLICKS),
        ({"late": 0.5}, {}, [at + 0.5 for at in CLICKS[:2]]),
        ({}, {"late": 0.4}, [at - 0.4 for at in CLICKS[1:]]),
        ({"rate": 44_100}, {"late": 0.4}, [at - 0.4 for at in CLICKS[1:]]),
        ({"rate": 96_000, "late": 2.0}, {"late": 2.0}, CLICKS),
        ({"gap": (0.5, 0.9)}, {}, CLICKS),
        ({"late": 12.0}, {"seconds": 14.0}, [at + 12.0 for at in CLICKS]),
        ({"late": 11.33337, "rate": 44_100}, {"seconds": 14.0}, [at + 11.33337 for at in CLICKS]),
    ],
    ids=[
        "short",
        "first track",
        "late",
        "picture late",
        "late picture, 44.1 kHz",
        "both late, 96 kHz",
        "gap",
        "very late",
        "between ticks",
    ],
)
def test_in_mxf_sound_is_as_long_as_the_picture_and_in_step(
    sound: dict, picture: dict, expected: list[float], tmp_path: Path
) -> None:
    source = with_picture(tmp_path / "in.mkv", film("pcm_s16le", **sound), **picture)
    frames = colour(source, tmp_path / "out.mxf").frames
    assert frames == round(picture.get("seconds", 2.0) * 25)
    with av.open(str(tmp_path / "out.mxf")) as container:
        assert sum(1 for _ in container.decode(video=0)) == frames
    done = io.BytesIO((tmp_path / "out.mxf").read_bytes())
    with av.open(done) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert samples == pytest.approx(48_000 * frames / 25, abs=2)
    assert clicks(done) == pytest.approx(expected, abs=0.01)


def test_sound_that_outlasts_the_picture_in_mxf_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = with_picture(tmp_path / "in.mkv", film("pcm_s16le"), seconds=1.2)
    assert colour(source, tmp_path / "out.mxf").frames == 30
    assert "what sounds after the picture's end is left out" in caplog.text
    with pytest.raises(UsageError, match="mxf cannot hold audio track"):
        colour(source, tmp_path / "copied.mxf", audio="copy")


@pytest.mark.timeout(60)
def test_silence_that_begins_and_ends_between_ticks_ends() -> None:
    with av.open(film("pcm_s16le")) as heard, av.open(io.BytesIO(), "w", format="mov") as output:
        track = heard.streams.audio[0]
        assert track.time_base == Fraction(1, 1000)
        converter, packets = AudioConverter(track, output, "pcm_s16le", first=Fraction(0)), []
        for samples in (22, 24, 48_100):
            packets += converter._silence(("s16", "stereo", 48_000), Fraction(samples, 48_000))
        assert converter._here == pytest.approx(Fraction(48_100, 48_000), abs=0.001)


@pytest.mark.parametrize(
    ("codec", "target", "expected"),
    [
        ("pcm_mulaw", "mkv", "flac"),
        ("adpcm_ms", "mkv", "flac"),
        ("pcm_f64be", "mkv", "pcm_f64le"),
        ("flac", "mov", "alac"),
        ("wavpack", "mov", "alac"),
        ("pcm_s16le", "mp4", "aac"),
        ("mp2", "mov", "mp2"),
    ],
)
def test_sound_without_loss_stays_so_where_it_is_re_encoded(
    codec: str, target: str, expected: str, tmp_path: Path
) -> None:
    suffix = {"pcm_f64be": "mov", "flac": "mkv", "wavpack": "mkv"}.get(codec, "avi")
    source = make_film(tmp_path / f"a.{suffix}", frames=25, codec="mpeg4", audio=codec)
    colour(source, tmp_path / f"b.{target}")
    heard = []
    for path in (source, tmp_path / f"b.{target}"):
        with av.open(str(path)) as film_:
            name = film_.streams.audio[0].codec_context.name
            parts = [frame.to_ndarray() for frame in film_.decode(audio=0)]
        whole = np.concatenate([p if p.shape[0] == 2 else p.reshape(-1, 2).T for p in parts], 1)
        scale = np.iinfo(whole.dtype).max + 1 if whole.dtype.kind == "i" else 1
        heard.append(whole.astype(np.float64) / scale)
    assert name == expected
    if expected not in ("aac", "mp2"):
        assert np.array_equal(*heard)


@pytest.mark.parametrize(
    ("codec", "kind", "layout", "target", "expected"),
    [
        ("flac", "s32", "stereo", "mov", "pcm_s32le"),  # nothing tells that 24 bits of them are used
        ("pcm_s24be", "s32", "stereo", "mkv", "flac"),
        ("flac", "s16", "quad", "mov", "pcm_s16le"),  # a layout that ALAC lacks
        ("flac", "s16", "5.1", "mov", "alac"),
    ],
)
def test_the_lossless_encoder_has_room_for_bits_and_channels(
    codec: str, kind: str, layout: str, target: str, expected: str
) -> None:
    with av.open(io.BytesIO(), "w", format="mov" if codec.startswith("pcm") else "matroska") as output:
        track = output.add_stream(codec, rate=48000)
        assert isinstance(track, AudioStream)
        track.codec_context.format, track.codec_context.layout = kind, layout
        name = {"mkv": "matroska"}.get(target, target)
        with av.open(io.BytesIO(), "w", format=name) as made:
            assert default_encoder(made, track) == expected


@pytest.mark.parametrize(("muxer", "said"), [("matroska", 1), ("mp4", 1), ("mpegts", 0)])
def test_channels_that_change_within_a_broadcast_are_named(
    muxer: str, said: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stereo, surround = b"\xff\xf1\x4c\x80", b"\xff\xf1\x4d\x80"
    with av.open(str(make_film(tmp_path / "a.ts", frames=2, audio="aac"))) as film:
        sound = film.streams.audio[0]
        watch = channel_watch(sound, muxer)
        assert (watch is not None) == bool(said)
        for number, head in enumerate([stereo, stereo, surround, stereo, surround]):
            packet = av.Packet(head + b"abc")
            packet.pts, packet.time_base = 90000 * number, Fraction(1, 90000)
            assert watch is None or watch(packet) == [packet]
    assert len([line for line in caplog.messages if "or its rate at 2.0 s" in line]) == said
    with av.open(str(make_film(tmp_path / "a.mp4", frames=2, audio="aac"))) as film:
        assert channel_watch(film.streams.audio[0], "matroska") is None, "its header says them for all"


def test_a_film_says_that_the_channels_of_its_broadcast_change(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    film = make_film(tmp_path / "a.ts", frames=50, audio="aac")
    content = film.read_bytes()
    with av.open(str(film)) as container:
        head = bytes(next(p for p in container.demux(audio=0) if p.size))[:4]
    other = head[:3] + bytes([head[3] ^ 0xC0])  # two bits of the count of channels
    half = len(content) // 2
    film.write_bytes(content[:half] + content[half:].replace(head, other))
    colour(film, tmp_path / "b.mkv")
    assert len([line for line in caplog.messages if "changes its channels or its rate at" in line]) == 1


@pytest.mark.parametrize(
    ("codec", "rate", "source", "target"),
    [
        ("pcm_s16be", 44_100, "mov", "flv"),  # FLV has one order of bytes
        ("pcm_alaw", 44_100, "mov", "flv"),  # read at 8 kHz whatever it is
        ("pcm_s16le", 8_000, "mov", "flv"),  # read at 5512 Hz
        ("wmav2", 44_100, "asf", "nut"),
        ("aac", 44_100, "avi", "avi"),  # ten times as fast
        ("adpcm_ima_wav", 44_100, "avi", "nut"),  # without the size of its blocks
        ("tta", 44_100, "matroska", "matroska"),  # of the last second, which is lost
    ],
)
def test_sound_that_a_container_would_tell_wrongly_is_re_encoded(
    codec: str, rate: int, source: str, target: str
) -> None:
    with av.open(film(codec, rate=rate, fmt=source)) as heard:
        assert not can_copy(target, heard.streams.audio[0])


@pytest.mark.parametrize(("rate", "layout"), [(48_000, "5.1"), (44_100, "stereo"), (8_000, "mono")])
def test_wmv_has_sound_that_it_cannot_hold_as_it_is_re_encoded(rate: int, layout: str) -> None:
    with av.open(io.BytesIO(), "w", format="asf") as output:
        encoder = default_encoder(output)
    assert encoder == "wmav2"
    made = convert(film("pcm_s16be", rate=rate, layout=layout, fmt="mov"), "asf", encoder)
    with av.open(made) as heard:
        assert heard.streams.audio[0].codec_context.name == "wmav2"
    assert clicks(made) == pytest.approx(CLICKS, abs=0.1)


@pytest.mark.parametrize(
    ("rate", "expected"), [(8_000, 11_025), (16_000, 22_050), (32_000, 44_100), (48_000, 48_000)]
)
def test_flv_has_mp3_of_a_rate_that_it_holds(rate: int, expected: int, tmp_path: Path) -> None:
    heard = tmp_path / "heard.mkv"
    heard.write_bytes(film("libopus" if rate == 48_000 else "pcm_s16le", rate=rate).getvalue())
    with av.open(heard) as sound, av.open(io.BytesIO(), "w", format="flv") as output:
        converter = AudioConverter(sound.streams.audio[0], output, default_encoder(output))
        output.start_encoding()  # refuses other rates
        assert converter.stream.sample_rate == expected


_ODD_LAYOUT = """
import sys
from pathlib import Path
import av
import numpy as np
from media import make_film
from quick import colour
folder = Path(sys.argv[1])
picture, source = make_film(folder / "picture.mov", frames=10), folder / "source.mov"
with av.open(str(picture)) as film, av.open(str(source), "w") as out:
    video = out.add_stream_from_template(film.streams.video[0])
    sound = out.add_stream("pcm_s16le", rate=48_000)
    sound.layout = "5.1"
    for packet in film.demux(video=0):
        if packet.size:
            packet.stream = video
            out.mux(packet)
    for begin in range(0, 19_200, 960):
        frame = av.AudioFrame.from_ndarray(np.full((1, 960 * 6), begin, np.int16), "s16", "5.1")
        frame.rate, frame.pts = 48_000, begin
        out.mux(sound.encode(frame))
    out.mux(sound.encode(None))
whole = source.read_bytes()
at = whole.index(b"chan") + 8
for tag in (122, 123, 124):  # QuickTime's MPEG_5_1_B, C, D: L R Ls Rs C LFE, L C R Ls Rs LFE, C L R Ls Rs LFE
    source.write_bytes(whole[:at] + (tag << 16 | 6).to_bytes(4, "big") + bytes(4) + whole[at + 8 :])
    for target in ("copied.mov", "copied.mkv", "anew.mp4", "anew.mxf"):
        colour(source, folder / target, overwrite=True)
        with av.open(str(folder / target)) as film:  # frames would spoil the memory of this test, too
            assert sum(packet.size for packet in film.demux(audio=0)) > 0
print("whole")
"""


def test_channels_in_an_unusual_order_do_not_end_the_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _ODD_LAYOUT, str(tmp_path)]
    paths = os.pathsep.join(filter(None, sys.path))
    # a process of its own, which what spoils memory ends
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "whole"), done.stderr


def test_only_lists_of_channels_in_an_order_of_their_own_are_kept_from_pyav() -> None:
    assert lists_channels("8 channels (FL+FR+FC+LFE+SL+SR+BL+BR)")
    assert lists_channels("2 channels (UNSD+FL)")
    for name in ("mono", "5.1(side)", "7.1(wide)", "6 channels", "1 channels (FL)", "2 channels (FL+LFE)"):
        assert not lists_channels(name)


@pytest.mark.parametrize(("codec", "samples", "made"), [("flac", "s32", "s24"), ("flac", "s16", "s16")])
def test_mxf_holds_24_bits_of_whatever_loses_none(
    codec: str, samples: str, made: str, tmp_path: Path
) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        stream = out.add_stream(codec, rate=48_000)
        stream.format = samples
        frame = av.AudioFrame(format=samples, layout="stereo", samples=4096)
        frame.rate, frame.pts = 48_000, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with av.open(str(tmp_path / "a.mkv")) as film, av.open(io.BytesIO(), "w", format="mxf") as out:
        assert default_encoder(out, film.streams.audio[0]) == f"pcm_{made}le"
        out.add_stream("mpeg2video", rate=25).pix_fmt = "yuv420p"
