"""Promise: time is untouched, of the picture and of the sound beside it."""

from __future__ import annotations

import logging
import os
import threading
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import av
import pytest
from media import grey_frame, luma_of_film, make_film, packets_of, read_film, times_of
from quick import colour
from test_resume import Stop, fingerprint
from test_resume import run as resumed

from vidcolor.errors import UsageError
from vidcolor.frames import Frame
from vidcolor.media.losses import DecodeReport
from vidcolor.media.packets import rescale
from vidcolor.media.repair import FrameClock
from vidcolor.media.streams import sane_rate
from vidcolor.options import Options
from vidcolor.reading import on_its_clock
from vidcolor.result import Meter, Progress
from vidcolor.stages.decode import DecodeSettings, decode

VFR = [0, 40, 80, 300, 310, 333, 1000, 1017]
MS = Fraction(1, 1000)
PAIRS = ["mp4-mp4", "mp4-mkv", "mkv-mp4", "mkv-webm", "mp4-mov", "mkv-mkv", "ts-mp4", "ts-mkv", "nut-mp4"]


def assert_same_times(source: Path, target: Path, shift: Fraction = Fraction(0)) -> None:
    before, after = times_of(source), times_of(target)
    tick = read_film(target)[0].time_base
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        assert abs(new - old - shift) <= tick / 2, (before, after)


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize(
    "film",
    [
        {"rate": 25},
        {"rate": Fraction(30000, 1001), "frames": 40},
        {"rate": Fraction(30000, 1001), "pts": range(7, 20)},
        {"pts": VFR, "time_base": MS},
        {"pts": [n + 700 for n in VFR], "time_base": MS},
        {"rate": 50, "options": {"bf": "3", "b_strategy": "0"}, "frames": 12},
        {"pts": [n * 9 for n in VFR], "time_base": Fraction(1, 90000), "options": {"bf": "2"}},
    ],
    ids=["cfr", "ntsc", "ntsc-late", "vfr", "late", "b-frames", "fine-ticks"],
)
def test_each_frame_keeps_its_time(tmp_path: Path, pair: str, film: dict) -> None:
    before, after = pair.split("-")
    source = make_film(tmp_path / f"a.{before}", **film)
    assert colour(source, tmp_path / f"b.{after}").exit_code == 0
    assert_same_times(source, tmp_path / f"b.{after}")


@pytest.mark.parametrize("late", [0, 1500])
@pytest.mark.parametrize(
    ("source", "target", "audio"),
    [
        ("mp4", "mp4", "aac"),
        ("mp4", "mkv", "aac"),
        ("mkv", "mp4", "aac"),
        ("mkv", "webm", "libopus"),
        ("mkv", "mkv", "flac"),
    ],
)
def test_sound_stays_where_it_was_against_the_picture(
    tmp_path: Path, source: str, target: str, audio: str, late: int
) -> None:
    film = tmp_path / f"a.{source}"
    make_film(film, pts=[late + n for n in VFR], time_base=MS, audio=audio)
    result = tmp_path / f"b.{target}"
    colour(film, result)
    assert_same_times(film, result)
    (before,), (after,) = packets_of(film, "audio").values(), packets_of(result, "audio").values()
    assert [digest for _, digest in before] == [digest for _, digest in after]
    for (old, _), (new, _) in zip(before, after, strict=True):
        assert old is not None
        assert new is not None
        assert abs(new - old) <= Fraction(1, 1000)


@pytest.mark.parametrize("target", ["mp4", "mkv"])
def test_a_picture_before_zero_moves_all_tracks_and_says_so(
    tmp_path: Path, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_film(
        tmp_path / "a.ts",
        pts=[n - 200 for n in VFR],
        time_base=MS,
        audio="mp2",
        container_options={"avoid_negative_ts": "disabled"},
    )
    assert times_of(source)[0] == Fraction(-1, 5)
    result = tmp_path / f"b.{target}"
    with caplog.at_level(logging.WARNING, logger="vidcolor"):
        colour(source, result)
    assert_same_times(source, result, Fraction(1, 5))
    (before,), (after,) = packets_of(source, "audio").values(), packets_of(result, "audio").values()
    assert abs(after[0][0] - before[0][0] - Fraction(1, 5)) <= MS
    assert sum("all tracks are moved" in line for line in caplog.messages) == 1


@pytest.mark.parametrize("b_frames", ["0", "2"])
@pytest.mark.parametrize("target", ["mp4", "mov", "mkv"])
def test_the_last_frame_of_a_variable_rate_lasts_as_long_as_it_did(
    tmp_path: Path, target: str, b_frames: str
) -> None:
    source = tmp_path / "a.mp4"
    with av.open(str(source), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"qp": "0", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = stream.time_base = MS
        packets = []
        for index, time in enumerate((0, 100, 150)):
            frame = grey_frame(64, 48, "yuv420p", index)
            frame.pts, frame.time_base = time, MS
            packets += stream.encode(frame)
        for packet in packets + stream.encode(None):
            packet.duration = 900
            out.mux(packet)
    chosen = {"bf": b_frames, "b_strategy": "0"}
    colour(source, tmp_path / f"b.{target}", encoder_options=chosen)
    with av.open(str(tmp_path / f"b.{target}")) as film:
        assert abs(film.duration - 1_050_000) <= 2000
    assert times_of(tmp_path / f"b.{target}") == [0, Fraction(1, 10), Fraction(3, 20)]


@pytest.mark.parametrize(
    "options", [{"bf": "0"}, {"bf": "2", "b_strategy": "0", "qp": "20"}], ids=["ip", "ipb"]
)
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_avi_begins_at_zero_and_stays_at_its_rate(tmp_path: Path, codec: str, options: dict) -> None:
    source = make_film(tmp_path / "a.avi", codec=codec, options=options, frames=8)
    colour(source, tmp_path / "b.mkv")
    assert times_of(tmp_path / "b.mkv") == [Fraction(n, 25) for n in range(8)]
    colour(tmp_path / "b.mkv", tmp_path / "c.avi")
    colour(tmp_path / "c.avi", tmp_path / "d.mkv")
    assert times_of(tmp_path / "d.mkv") == [Fraction(n, 25) for n in range(8)]


def test_an_avi_that_begins_within_a_group_of_pictures_stays_beside_its_sound(tmp_path: Path) -> None:
    plain = make_film(
        tmp_path / "a.avi", options={"g": "5", "bf": "0", "qp": "20", "sc_threshold": "0"}, frames=15
    )
    with av.open(str(plain)) as film, av.open(str(tmp_path / "b.avi"), "w") as out:
        source = film.streams.video[0]
        stream = out.add_stream_from_template(source)
        for number, packet in enumerate(p for p in film.demux(source) if p.size):
            if number < 3:
                continue
            packet.pts = packet.dts = number - 3
            packet.stream = stream
            out.mux(packet)
    assert colour(tmp_path / "b.avi", tmp_path / "c.mkv", codec="ffv1").frames == 10
    with av.open(str(tmp_path / "b.avi")) as film:
        settings = DecodeSettings(name="b.avi")
        items = decode(film, film.streams.video[0], settings, DecodeReport(video_index=0))
        times = [item.seconds for item in items if isinstance(item, Frame)]
    assert times == [Fraction(n, 25) for n in range(2, 12)]


NOT_CODED = b"\0\0\1\xb6\x50\x4f"
PACKED = b"\0\0\1\xb2DivX503b1393p"
"""User data by which decoders know that B-frames share a packet with what they depend on."""


def test_b_frames_that_are_packed_as_by_divx_come_at_their_times(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = make_film(tmp_path / "a.avi", codec="mpeg4", options={"bf": "1"}, frames=9)
    with av.open(str(plain)) as film, av.open(str(tmp_path / "b.avi"), "w") as out:
        source = film.streams.video[0]
        stream = out.add_stream_from_template(source)
        first, *others = [bytes(packet) for packet in film.demux(source) if packet.size]
        chunks = [first.replace(b"\0\0\1\xb6", PACKED + b"\0\0\1\xb6")]
        for ahead, between in zip(others[::2], others[1::2], strict=True):
            chunks += [ahead + between, NOT_CODED]
        for number, chunk in enumerate(chunks):
            packet = av.Packet(chunk)
            packet.pts = packet.dts = number
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 25), number == 0
            out.mux(packet)
    colour(tmp_path / "b.avi", tmp_path / "c.mkv")
    assert times_of(tmp_path / "c.mkv") == [Fraction(n, 25) for n in range(9)]
    assert "backwards" not in caplog.text


@pytest.mark.parametrize("rate", [16, 18, Fraction(24000, 1001), 29])
def test_mxf_holds_the_rates_of_old_film(tmp_path: Path, rate: Fraction | int) -> None:
    source = make_film(tmp_path / "in.mp4", frames=12, size=(176, 144), rate=rate)
    target = tmp_path / "out.mxf"
    assert colour(source, target).frames == 12
    assert times_of(target) == [Fraction(i) / rate for i in range(12)]


def test_mxf_is_given_key_frames_often_enough(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "in.mp4"), "w") as output:
        stream = output.add_stream("libx264", rate=25, width=64, height=48, pix_fmt="yuv420p")
        for index in range(150):  # one shot, and so one segment
            frame = grey_frame(64, 48, "yuv420p", 0)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    assert colour(tmp_path / "in.mp4", tmp_path / "out.mxf", temporal="flow").frames == 150
    assert times_of(tmp_path / "out.mxf") == [Fraction(i, 25) for i in range(150)]


def test_a_rate_that_mpeg_2_has_not_is_named(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mp4", frames=12, rate=29)
    with pytest.raises(UsageError, match=r"mpeg2video refuses.*29 frames a second.*Another --codec"):
        colour(source, tmp_path / "out.mpg")


@pytest.mark.parametrize("target", ["mp4", "mkv"])
def test_start_and_duration_move_picture_sound_and_chapters_to_zero(tmp_path: Path, target: str) -> None:
    source = tmp_path / "a.mkv"
    make_film(tmp_path / "plain.mkv", frames=75, audio="flac", options={"g": "10"})
    with av.open(str(tmp_path / "plain.mkv")) as plain, av.open(str(source), "w") as out:
        streams = {s.index: out.add_stream_from_template(s) for s in plain.streams}
        out.set_chapters(
            [
                {"id": 1, "start": 0, "end": 1500, "time_base": MS, "metadata": {"title": "one"}},
                {"id": 2, "start": 1500, "end": 3000, "time_base": MS, "metadata": {"title": "two"}},
            ]
        )
        for packet in plain.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                out.mux(packet)
    result = tmp_path / f"b.{target}"
    colour(source, result, start=Fraction(1), duration=Fraction(1))
    assert_times = times_of(result)
    assert [round(float(t), 3) for t in assert_times] == [round(n / 25, 3) for n in range(25)]
    (sound,) = packets_of(result, "audio").values()
    assert abs(sound[0][0]) <= Fraction(1, 10)
    assert abs(sound[-1][0] - 1) <= Fraction(3, 20)
    with av.open(str(result)) as film:
        chapters = [(c["metadata"]["title"], float(c["start"] * c["time_base"])) for c in film.chapters()]
    assert chapters == [("one", 0.0), ("two", 0.5)]


def test_start_counts_from_where_a_broadcast_begins(tmp_path: Path) -> None:
    pts = [n * 40 + 5_000_000 for n in range(50)]
    source = make_film(tmp_path / "a.ts", pts=pts, time_base=MS, options={"g": "10"})
    result = colour(source, tmp_path / "b.mkv", start=Fraction(1), duration=Fraction(1, 2))
    assert 12 <= result.frames <= 13
    assert abs(times_of(tmp_path / "b.mkv")[0]) <= Fraction(1, 20)


@pytest.mark.parametrize("begin", [-3000, 5_000_000])
def test_start_counts_from_where_the_picture_begins_whole_or_in_part(begin: int, tmp_path: Path) -> None:
    settings = {"avoid_negative_ts": "disabled"}
    pts = [n * 40 + begin for n in range(200)]
    source = make_film(tmp_path / "a.ts", pts=pts, time_base=MS, container_options=settings)
    for number, (given, first, count) in enumerate(
        [({"duration": Fraction(1)}, 0, 25), ({"start": Fraction(5), "duration": Fraction(1)}, 125, 25)]
    ):
        target = tmp_path / f"b{number}.mkv"
        assert colour(source, target, crf=0, **given).frames == count
        assert luma_of_film(target)[0].tolist() == luma_of_film(source)[first].tolist()


def test_what_is_left_of_a_broadcast_is_known(tmp_path: Path) -> None:
    pts = [n * 40 + 5_000_000 for n in range(50)]
    source = make_film(tmp_path / "a.ts", pts=pts, time_base=MS)
    with av.open(str(source)) as film:
        options = on_its_clock(Options(start=Fraction(1)), film, "a.ts")
        meter = Meter(container=film, stream=film.streams.video[0], options=options, callback=None)
        assert meter.duration() == pytest.approx(1.0, abs=0.05)
        assert 23 <= meter.total() <= 27


@pytest.mark.parametrize(
    ("name", "codec", "exact"),
    [
        ("b.mkv", "mpeg4", True),
        ("b.mkv", "libx264", True),
        ("b.mp4", "mpeg4", False),
        ("b.avi", "mpeg4", False),
    ],
)
def test_a_burst_after_a_gap_keeps_its_times_or_is_named(
    name: str, codec: str, exact: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pts = [*range(0, 1600, 40), *range(2000, 2030, 3), *range(2040, 4000, 40)]
    assert len(pts) == 99  # as many as an even film of this length has, nearly
    source = make_film(tmp_path / "a.mkv", pts=pts, time_base=MS, rate=25, codec="ffv1")
    colour(source, tmp_path / name, codec=codec)
    assert ("frames come faster than the 25 a second" in caplog.text) is not exact
    if exact:
        assert_same_times(source, tmp_path / name)


def test_frames_that_share_a_tick_at_a_seam_stay_apart(tmp_path: Path) -> None:
    pts = [0, 40, 80, 120, 160, 200, 216, 240, 280]  # 200 and 216 are nearest to one tick of 40
    source = make_film(tmp_path / "a.mkv", pts=pts, time_base=MS, rate=25, codec="ffv1")
    with mock.patch("vidcolor.resumable._MOST_FRAMES", 6), mock.patch("vidcolor.resumable._FEWEST_FRAMES", 6):
        colour(source, tmp_path / "b.mp4", codec="mpeg4")
    assert len(set(times_of(tmp_path / "b.mp4"))) == len(pts)


def test_the_picture_s_own_length_is_counted_not_the_sound_s(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", frames=50, audio="aac")
    with av.open(str(source)) as film:
        assert film.duration is not None and film.duration > 2_010_000  # microseconds, of the sound
        meter = Meter(container=film, stream=film.streams.video[0], options=Options(), callback=None)
        assert meter.total() == 50


@pytest.mark.parametrize(
    ("start", "duration", "frames"), [(0, 1000, 50), (1, 1000, 25), (1, "0.4", 10), (3, 1, 0)]
)
def test_no_more_is_expected_than_there_is(
    start: int, duration: int | str, frames: int, tmp_path: Path
) -> None:
    source = make_film(tmp_path / "a.mkv", frames=50)
    options = Options(start=Fraction(start), duration=Fraction(duration))
    with av.open(str(source)) as film:
        meter = Meter(container=film, stream=film.streams.video[0], options=options, callback=None)
        assert meter.total() == frames


@pytest.mark.parametrize("suffix", ["mkv", "nut", "wmv", "mp4", "flv"])
def test_a_film_that_begins_late_is_not_taken_for_one_that_began_at_zero(suffix: str, tmp_path: Path) -> None:
    codec = {"wmv": "wmv2", "flv": "flv1"}.get(suffix, "mpeg4")
    pts = [n * 40 + 3_600_000 for n in range(50)]
    source = make_film(tmp_path / f"a.{suffix}", pts=pts, time_base=MS, codec=codec, rate=25)
    with av.open(str(source)) as film:
        for start, expected in ((None, 50), (1, 25)):
            options = on_its_clock(Options(start=start and Fraction(start)), film, source.name)
            meter = Meter(container=film, stream=film.streams.video[0], options=options, callback=None)
            assert expected - 2 <= meter.total() <= expected + 2


def test_a_meter_counts_what_this_run_has_made(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", frames=20)
    told: list[Progress] = []
    with av.open(str(source)) as film:
        meter = Meter(container=film, stream=film.streams.video[0], options=Options(), callback=told.append)
        meter.started -= 10.0
        last: Any = SimpleNamespace(seconds=Fraction(0))
        meter.go_to(100)  # which earlier runs have made
        meter.tell(last, 30)
        meter.tell(last, 50)
        meter.go_to(150)
        meter.tell(last, 10)
        meter.go_to(400)
        meter.tell(last, 40)
    assert [now.frames for now in told] == [130, 150, 160, 440]
    assert [now.fps for now in told] == pytest.approx([3.0, 5.0, 6.0, 10.0], rel=0.05)


def test_a_coarse_time_base_leaves_room_for_frames_that_share_a_time(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.avi", frames=3, codec="mpeg4")
    with av.open(str(source)) as film:
        assert film.streams.video[0].time_base == Fraction(1, 25)
        clock, given = FrameClock(film.streams.video[0], DecodeReport()), []
        for pts in (0, 0, 0, 1, 2):
            frame = av.VideoFrame(16, 16)
            frame.pts = pts
            given.append(clock.pts(frame) * clock.time_base * 1000)
    assert given == [0, 1, 2, 40, 80]


@pytest.mark.parametrize(("back", "step"), [(500, 1), (60_000, 40)])
def test_frames_after_a_clock_that_jumps_back_come_a_frame_apart(
    back: int, step: int, tmp_path: Path
) -> None:
    source = make_film(tmp_path / "a.mkv", frames=2)
    with av.open(str(source)) as film:
        clock, given = FrameClock(film.streams.video[0], DecodeReport()), []
        for pts in (100_000, 100_040, 100_040 - back, 100_080 - back):
            frame = av.VideoFrame(16, 16)
            frame.pts = pts
            given.append(round(clock.pts(frame) * clock.time_base * 1000))
    assert given[2:] == [100_040 + step, 100_040 + 2 * step]


def test_frames_that_share_a_time_are_told_apart_by_matroska_too(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.ts", frames=2)
    with av.open(str(source)) as film:
        clock, given = FrameClock(film.streams.video[0], DecodeReport()), []
        for pts in (0, 3600, 3600, 3600, 7200):
            frame = av.VideoFrame(16, 16)
            frame.pts = pts
            given.append(clock.pts(frame) * clock.time_base)
    assert [round(seconds * 1000) for seconds in given] == [0, 40, 41, 42, 80]


@pytest.mark.parametrize(
    ("average", "guessed", "expected"),
    [
        (Fraction(24), Fraction(25), 24),
        (Fraction(60000), Fraction(30000, 1001), Fraction(30000, 1001)),
        (None, None, 25),
        (Fraction(1000), Fraction(1000), 1000),
        (None, Fraction(1000), 25),
        (Fraction(1000), Fraction(25), 25),
        (Fraction(1000), None, 25),
    ],
)
def test_a_rate_is_one_that_can_be_believed(
    average: Fraction | None, guessed: Fraction | None, expected: Fraction
) -> None:
    """Raw DV claims 60,000; guess of Matroska and average of wmv may be a tick; sequences have up to 1000."""
    stream: Any = SimpleNamespace(average_rate=average, guessed_rate=guessed)
    assert sane_rate(stream) == expected


def test_before_the_beginning_nothing_can_begin(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="start -1: not before 0"):
        colour(make_film(tmp_path / "a.mkv"), tmp_path / "b.mkv", start=Fraction(-1))


def joined(tmp_path: Path, suffix: str, *, later: int = 0, parts: int = 2, rate: int = 25) -> Path:
    """Recordings of 30 frames one after another, each on a clock of its own; that of the first is later."""
    source = tmp_path / f"joined.{suffix}"
    codec = "mpeg2video" if suffix == "mpg" else "libx264"
    with open(source, "wb") as whole:
        for number in range(parts):
            part = make_film(
                tmp_path / f"part.{suffix}",
                frames=30,
                rate=rate,
                codec=codec,
                audio="mp2",
                format={"mpg": "vob"}.get(suffix),
                options={"g": "10"},
                container_options={"output_ts_offset": str(0 if number else later)},
            )
            whole.write(part.read_bytes())
    return source


@pytest.mark.parametrize("target", ["mkv", "mp4"])
@pytest.mark.parametrize("audio", ["auto", "aac"])
@pytest.mark.parametrize(("suffix", "later"), [("ts", 0), ("mpg", 0), ("ts", 100)])
def test_where_the_clock_begins_again_picture_and_sound_go_on_together(
    suffix: str, later: int, audio: str, target: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, result = joined(tmp_path, suffix, later=later), tmp_path / f"out.{target}"
    assert colour(source, result, audio=audio).frames == 60
    assert sum("its clock begins again" in line for line in caplog.messages) == 1
    times = times_of(result)
    assert all(Fraction(1, 50) < b - a < Fraction(1, 10) for a, b in pairwise(times))
    (sound,) = packets_of(result, "audio").values()
    heard = [at for at, _ in sound if at is not None]
    assert all(0 <= b - a < Fraction(1, 5) for a, b in pairwise(heard))  # a packet may overlap at the joint
    assert abs(heard[-1] - times[-1]) < Fraction(3, 20)


@pytest.mark.parametrize("start", [10, 35, 80])
def test_a_place_in_a_joined_recording_is_found(start: int, tmp_path: Path) -> None:
    source = joined(tmp_path, "ts", rate=1, parts=3)
    assert (
        colour(source, tmp_path / "out.mkv", crf=0, start=Fraction(start), duration=Fraction(4)).frames == 4
    )
    first = luma_of_film(tmp_path / "out.mkv")[0]
    assert first.tolist() == luma_of_film(source)[start].tolist()


@pytest.mark.parametrize(("seek", "read"), [(None, True), (Fraction(10), False)])
def test_a_recording_is_looked_through_only_where_nobody_knows_the_frame(
    seek: Fraction | None, read: bool, tmp_path: Path
) -> None:
    source = make_film(tmp_path / "a.ts", frames=30, rate=1, options={"g": "5"})
    settings = DecodeSettings(start=Fraction(20), seek=seek)
    with (
        av.open(str(source)) as film,
        mock.patch("vidcolor.media.seeking._jumps", return_value=False) as looked,
    ):
        stream = film.streams.video[0]
        first = next(decode(film, stream, settings, DecodeReport(video_index=stream.index)))
    assert isinstance(first, Frame) and first.seconds == 20
    assert looked.called == read


def test_a_clock_that_begins_late_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pts = [n * 40 + 5_000_000 for n in range(10)]
    source = make_film(tmp_path / "a.ts", pts=pts, time_base=MS)
    colour(source, tmp_path / "b.mkv")
    assert sum("begins at 01:23:20 on its clock" in line for line in caplog.messages) == 1
    caplog.clear()
    colour(source, tmp_path / "c.mkv", start=Fraction(0))
    assert "on its clock" not in caplog.text
    assert abs(times_of(tmp_path / "c.mkv")[0]) < Fraction(1, 20)


def test_a_joined_recording_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    source = joined(tmp_path, "ts", parts=3)
    resumed(source, tmp_path / "whole.mkv")
    for stop in (20, 20, 20):
        with pytest.raises(Stop):
            resumed(source, tmp_path / "broken.mkv", stop_after=stop)
    assert resumed(source, tmp_path / "broken.mkv").frames == 90
    assert fingerprint(tmp_path / "broken.mkv") == fingerprint(tmp_path / "whole.mkv")


@pytest.mark.parametrize("frames_between", [0, 2])
def test_mxf_through_a_pipe_has_the_times_of_the_file(tmp_path: Path, frames_between: int) -> None:
    settings = {"options": {"bf": str(frames_between)}, "audio": "pcm_s16le", "codec": "mpeg2video"}
    film = make_film(tmp_path / "a.mxf", frames=20, size=(96, 64), **settings)
    pipe = tmp_path / "pipe.mxf"
    os.mkfifo(pipe)
    feeder = threading.Thread(target=lambda: pipe.write_bytes(film.read_bytes()))
    feeder.start()
    colour(pipe, tmp_path / "piped.mkv")
    feeder.join()
    colour(film, tmp_path / "read.mkv")
    assert times_of(tmp_path / "piped.mkv") == times_of(tmp_path / "read.mkv")


@pytest.mark.parametrize("suffix", ["mkv", "ts", "nut"])
def test_start_works_on_a_pipe_which_cannot_seek(tmp_path: Path, suffix: str) -> None:
    film = make_film(tmp_path / f"a.{suffix}", frames=50, options={"g": "10", "bf": "0"})
    pipe = tmp_path / f"pipe.{suffix}"
    os.mkfifo(pipe)
    feeder = threading.Thread(target=lambda: pipe.write_bytes(film.read_bytes()))
    feeder.start()
    result = colour(pipe, tmp_path / "b.mkv", start=Fraction(1))
    feeder.join()
    assert result.frames == 25


@pytest.mark.parametrize("suffix", ["ts", "nut", "wmv"])
def test_containers_without_times_before_zero_move_all_tracks_and_say_so(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_film(tmp_path / "a.mkv", frames=30, audio="aac")
    colour(source, tmp_path / f"b.{suffix}")
    shift = times_of(tmp_path / f"b.{suffix}")[0] - times_of(source)[0]
    assert shift > 0
    assert "begins at zero at the earliest" in caplog.text
    assert f"{float(shift):.3f} s later" in caplog.text
    (before,), (after,) = (packets_of(f, "audio").values() for f in (source, tmp_path / f"b.{suffix}"))
    assert abs(after[5][0] - before[5][0] - shift) < Fraction(1, 500)


def test_a_raw_stream_is_cut_by_the_times_that_it_gets(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.h264", frames=60, options={"bf": "0", "g": "10"}, format="h264")
    result = colour(source, tmp_path / "b.mkv", start=Fraction(1))
    assert result.frames == 35
    assert times_of(tmp_path / "b.mkv")[0] == 0


@pytest.mark.parametrize(
    ("pts", "dts", "duration", "base", "wanted"),
    [
        (1, -1, 3, Fraction(1, 3), (1, -1, 2)),
        (1, -1, 1, Fraction(1, 4), (1, -1, 1)),
        (7, None, 0, Fraction(1, 1000), (0, None, 0)),
        (90000, 3, 2, Fraction(1, 1), (180000, 6, 4)),
        (5, 4, 3, Fraction(0), (5, 4, 3)),
    ],
)
def test_times_are_brought_to_the_nearest_tick(
    pts: int, dts: int | None, duration: int, base: Fraction, wanted: tuple[int | None, ...]
) -> None:
    packet = av.Packet(b"x")
    packet.pts, packet.dts, packet.duration, packet.time_base = pts, dts, duration, base
    rescale(packet, Fraction(1, 2))
    assert (packet.pts, packet.dts, packet.duration or 0) == wanted
    assert packet.time_base == Fraction(1, 2)


@pytest.mark.parametrize(("target", "codec"), [("mpg", None), ("mkv", "mpeg2video")])
@pytest.mark.parametrize("late", [0, 10, 33])
def test_an_encoder_that_counts_in_frames_moves_all_tracks_with_the_picture(
    target: str, codec: str | None, late: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_film(tmp_path / "a.mkv", pts=[late + 40 * n for n in range(10)], time_base=MS, audio="mp2")
    result = tmp_path / f"b.{target}"
    colour(source, result, codec=codec)
    moved = Fraction(-late % 40, 1000)
    (before,), (after,) = packets_of(source, "audio").values(), packets_of(result, "audio").values()
    apart = times_of(result)[0] - times_of(source)[0] - (after[0][0] - before[0][0])
    assert abs(apart) <= MS
    said = f"all tracks are {float(moved):.3f} s later"
    assert sum(said in line for line in caplog.messages) == (moved > 0)


def test_a_first_frame_that_avi_shows_early_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for begin, said in ((0, 0), (10, 1)):
        source = make_film(tmp_path / "a.mkv", frames=5, pts=[begin + i for i in range(5)], audio="mp2")
        colour(source, tmp_path / f"{begin}.avi")
        assert caplog.text.count("avi shows the first frame from the beginning on, not from 0.400 s") == said


def test_a_clock_that_begins_late_begins_at_once_in_avi(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_film(tmp_path / "a.ts", frames=12, audio="mp2")
    shifted = tmp_path / "b.ts"
    with (
        av.open(str(source)) as film,
        av.open(str(shifted), "w", options={"output_ts_offset": "3000"}) as out,
    ):
        streams = {s.index: out.add_stream_from_template(s) for s in film.streams}
        for packet in film.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                out.mux(packet)
    colour(shifted, tmp_path / "c.avi")
    assert len(times_of(tmp_path / "c.avi")) == 12
    assert times_of(tmp_path / "c.avi")[-1] < 1
    (before,), (after,) = (packets_of(name, "audio").values() for name in (shifted, tmp_path / "c.avi"))
    assert [packet[1] for packet in after] == [packet[1] for packet in before]  # none is made anew
    assert [line for line in caplog.messages if "avi begins at once" in line]
    assert not [line for line in caplog.messages if "on its clock" in line or "from the beginning on" in line]


@pytest.mark.parametrize("target", ["avi", "y4m"])
def test_containers_that_number_their_frames_move_nothing(
    target: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_film(tmp_path / "a.mkv", pts=[10 + 40 * n for n in range(10)], time_base=MS)
    colour(source, tmp_path / f"b.{target}")
    assert "all tracks are" not in caplog.text


@pytest.mark.parametrize(
    ("rate", "start"), [(Fraction(25), Fraction(1, 2)), (Fraction(30000, 1001), Fraction("0.28347"))]
)
def test_frames_half_way_between_two_numbers_stay_a_frame_apart(
    rate: Fraction, start: Fraction, tmp_path: Path
) -> None:
    """The first was shown twice: of 12.5 and 13.5 the nearest even numbers are 12 and 14."""
    source = make_film(tmp_path / "a.mkv", frames=30, rate=rate)
    colour(source, tmp_path / "b.avi", start=start, codec="ffv1")
    wanted = [time for time in times_of(source) if time >= start]
    assert times_of(tmp_path / "b.avi") == [n / rate for n in range(len(wanted))]


@pytest.mark.parametrize("target", ["mp4", "mkv"])
def test_a_pause_near_the_end_of_an_mp4_does_not_lengthen_the_film(tmp_path: Path, target: str) -> None:
    pts = [*range(20), *range(270, 290)]
    chosen = {"qp": "12", "bf": "3", "b_strategy": "0", "g": "12"}
    source = make_film(tmp_path / "a.mp4", pts=pts, options=chosen, audio="aac")
    colour(source, tmp_path / f"b.{target}")
    with av.open(str(source)) as before, av.open(str(tmp_path / f"b.{target}")) as after:
        assert abs(before.duration - after.duration) <= 40_000
    assert_same_times(source, tmp_path / f"b.{target}")


@pytest.mark.parametrize("start", [0, 20])
def test_all_pictures_of_an_mp4_last_equally_long_wherever_it_begins(start: int, tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", pts=range(start, start + 30), codec="ffv1")
    colour(source, tmp_path / "b.mp4", encoder_options={"bf": "2", "b_strategy": "0"})
    with av.open(str(tmp_path / "b.mp4")) as film:
        lasts = [p.duration * p.time_base for p in film.demux(video=0) if p.size and p.duration]
    assert lasts == [Fraction(1, 25)] * 30
