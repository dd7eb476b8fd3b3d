"""Odd input that must be coloured all the same, or refused with the right words."""

from __future__ import annotations

import io
import logging
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import av
import numpy as np
import pytest
from calling import call
from media import (
    change_packets,
    grey_frame,
    luma_codes,
    luma_of_film,
    make_film,
    planes_of,
    read_film,
    times_of,
)
from PIL import Image, ImageCms
from quick import colour, same_luma

from vidcolor.errors import InputError, UsageError
from vidcolor.media.boxes import ends_properly
from vidcolor.media.losses import DecodeReport
from vidcolor.media.pixels import luma_of, signal_of
from vidcolor.media.repair import FirstShape
from vidcolor.media.streams import pick_video
from vidcolor.writing import mark_of


def make_picture(path: Path, rgb: np.ndarray, codec: str) -> Path:
    """Write one picture from R'G'B' ``(h, w, 3)``."""
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height = rgb.shape[1], rgb.shape[0]
        stream.pix_fmt = "yuvj444p" if codec == "mjpeg" else "rgb24"
        out.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, "rgb24")))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (17, 31), (1, 40), (40, 1), (3, 2)])
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("target", ["b.mp4", "b.mkv", "b.webm"])
def test_any_size_is_coloured(
    tmp_path: Path, size: tuple[int, int], target: str, interlaced: bool, caplog: pytest.LogCaptureFixture
) -> None:
    flags: dict[str, Any] = {"options": {"field_order": "tt"}} if interlaced else {}
    source = make_film(tmp_path / "a.nut", size=size, frames=3, codec="rawvideo", pix_fmt="yuv420p", **flags)
    with caplog.at_level(logging.WARNING, logger="vidcolor"):
        colour(source, tmp_path / target, crf=0)
    found = luma_of_film(tmp_path / target)
    assert len(found) == 3
    assert all(map(np.array_equal, luma_of_film(source), found))
    odd = size[0] % 2 or size[1] % 2
    assert any("4:4:4" in line for line in caplog.messages) == bool(odd and not target.endswith("webm"))


@pytest.mark.parametrize(
    "name",
    [
        "чёрно-белое 电影.mkv",
        "é" * 125 + "a.mkv",
        "100% of %d: a:b.mkv",
        "-dash.mkv",
        "a'b\"c;$HOME.mkv",
        "file:x.mkv",
        "b.mkv ",
    ],
)
def test_any_name_is_taken_for_source_and_target(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    make_film(tmp_path / "plain.mkv", frames=2).rename(tmp_path / name)
    target = name if name.endswith(".mkv") else "plain.mkv"
    colour(name, Path("out") / target)
    assert len(read_film(f"file:out/{target}")) == 2
    assert [p.name for p in (tmp_path / "out").iterdir()] == [target]


PLAIN = {
    "monob": "gray",
    "monow": "gray",
    "ya8": "gray",
    "nv12": "yuv420p",
    "yuyv422": "yuv422p",
    "uyvy422": "yuv422p",
}
FORMATS = [
    *PLAIN,
    "yuv411p",
    "yuv410p",
    "yuv440p",
    "yuva420p",
    "yuva444p10le",
    "gray9le",
    "gray14le",
    "yuv420p9le",
]


@pytest.mark.parametrize("fmt", [*FORMATS, "yuv444p14le", "gray16be", "yuv422p12be"])
def test_any_pixel_format_keeps_its_luma_and_depth(tmp_path: Path, fmt: str) -> None:
    with av.open(str(tmp_path / "a.nut"), "w") as out:
        stream = out.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, fmt
        for index in range(2):
            frame = grey_frame(64, 48, "yuv444p", index).reformat(format=fmt)
            frame.pts = index
            out.mux(stream.encode(frame))
    colour(tmp_path / "a.nut", tmp_path / "b.mkv", codec="ffv1")
    frames = read_film(tmp_path / "b.mkv")
    assert len(frames) == 2
    for old, new in zip(read_film(tmp_path / "a.nut"), frames, strict=True):
        assert old.format.name == fmt
        assert new.color_range == (2 if fmt.startswith(("mono", "ya", "gray")) else 1)
        assert new.format.components[0].bits == max(8, old.format.components[0].bits)
        plain = PLAIN.get(fmt, fmt).replace("be", "le")
        if plain != fmt:
            old = old.reformat(format=plain)
        assert np.array_equal(planes_of(old)[0], planes_of(new)[0])


def test_grey_of_floating_point_keeps_its_values(tmp_path: Path) -> None:
    codes = np.tile(np.arange(256, dtype="<f4"), (64, 1))
    codes[0, :4] = np.nan, -300, 300, np.inf
    picture = tmp_path / "grey.pfm"
    picture.write_bytes(b"Pf\n256 64\n-1.0\n" + (codes / 255)[::-1].tobytes())
    colour(picture, tmp_path / "b.mkv", codec="ffv1")
    (luma,) = luma_of_film(tmp_path / "b.mkv")
    assert luma[0, :4].tolist() == [0, 0, 65535, 65535]
    assert np.array_equal(luma[1:], codes[1:].astype(np.uint16) * 257)
    (frame,) = read_film(tmp_path / "b.mkv")
    assert frame.color_range == 2


@pytest.mark.parametrize("name", ["grayf16le", "grayf16be", "grayf32be", "yaf16be", "yaf16le"])
def test_any_floating_point_is_read(name: str) -> None:
    frame = av.VideoFrame(6, 4, name)
    plane = frame.planes[0]
    kind = np.dtype((">" if name.endswith("be") else "<") + ("f4" if "f32" in name else "f2"))
    parts = 2 if name.startswith("ya") else 1
    lines = np.zeros((4, plane.line_size // kind.itemsize), kind)
    lines[:, : 6 * parts : parts] = np.arange(24).reshape(4, 6) / 32
    plane.update(lines.tobytes())
    signal = signal_of(frame)
    assert (signal.depth, signal.full_range) == (16, True)
    assert np.array_equal(luma_of(frame, signal), np.rint(np.arange(24).reshape(4, 6) / 32 * 65535))


@pytest.mark.parametrize(
    ("suffix", "options"),
    [("mp4", {"movflags": "faststart"}), ("mkv", {}), ("avi", {}), ("mxf", {}), ("ts", {})],
)
def test_a_film_cut_off_is_coloured_up_to_there_and_ends_with_losses(
    tmp_path: Path, suffix: str, options: dict, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / f"a.{suffix}"
    make_film(source, frames=60, options={"g": "10"}, container_options=options)
    whole = luma_of_film(source)
    data = source.read_bytes()
    source.write_bytes(data[: len(data) * 6 // 10])
    with caplog.at_level(logging.WARNING, logger="vidcolor"):
        result = colour(source, tmp_path / "b.mkv", codec="ffv1")
    assert 20 < result.frames < 50
    if suffix != "ts":  # which nowhere says how long it is
        assert abs(result.frames + result.lost - 60) <= 2
        assert result.exit_code == 7
        assert any(f"{result.lost} frames could not be decoded" in line for line in caplog.messages)
    done = luma_of_film(tmp_path / "b.mkv")
    assert len(done) == result.frames
    assert all(map(np.array_equal, done[:20], whole[:20]))


def write_pictures(out: Any, stream: Any, frames: int) -> None:
    """All frames of a track of 64×48."""
    for number in range(frames):
        frame = grey_frame(64, 48, "yuv420p", number)
        frame.pts = number
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


@pytest.mark.parametrize(("suffix", "options"), [("mkv", {}), ("mp4", {"movflags": "faststart"})])
def test_a_title_that_stays_beyond_the_cut_hides_no_loss(
    suffix: str, options: dict[str, str], tmp_path: Path
) -> None:
    source = tmp_path / f"a.{suffix}"
    with av.open(str(source), "w", options=options) as out:
        stream = out.add_stream("libx264", 25, options={"g": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        words = out.add_mux_stream("subrip" if suffix == "mkv" else "mov_text")
        words.time_base = Fraction(1, 1000)
        title = av.Packet(b"title" if suffix == "mkv" else b"\0\5title")
        title.stream, title.time_base = words, Fraction(1, 1000)
        title.pts, title.dts, title.duration = 0, 0, 2400
        out.start_encoding()
        out.mux(title)
        write_pictures(out, stream, 60)
    assert colour(source, tmp_path / "whole.mkv").exit_code == 0
    data = source.read_bytes()
    source.write_bytes(data[: len(data) * 6 // 10])
    result = colour(source, tmp_path / "b.mkv")
    assert result.exit_code == 7
    assert abs(result.frames + result.lost - 60) <= 2


def test_a_last_picture_that_stays_while_sound_goes_on_is_no_loss(tmp_path: Path) -> None:
    source = tmp_path / "a.mkv"
    with av.open(str(source), "w") as out:
        stream, sound = out.add_stream("libx264", 25), out.add_stream("aac", 48000)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        write_pictures(out, stream, 50)
        for begin in range(0, 5 * 48000, 1024):
            wave = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
            wave.sample_rate, wave.pts = 48000, begin
            out.mux(sound.encode(wave))
        out.mux(sound.encode(None))
    with mock.patch("vidcolor.media.losses.tagged_length", return_value=Fraction(5)):  # as some muxers write
        assert colour(source, tmp_path / "b.mkv").exit_code == 0


@pytest.mark.parametrize(("suffix", "options"), [("mkv", {}), ("mp4", {"movflags": "faststart"})])
def test_sound_that_is_cut_off_after_the_picture_is_a_loss(
    suffix: str, options: dict[str, str], tmp_path: Path
) -> None:
    source = tmp_path / f"a.{suffix}"
    with av.open(str(source), "w", options=options) as out:
        stream, sound = (
            out.add_stream("libx264", 25),
            out.add_stream("pcm_s16le" if suffix == "mkv" else "aac", 48000),
        )
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        write_pictures(out, stream, 50)
        noise = np.random.default_rng(1).integers(-9000, 9000, (1, 6 * 48000 * 2), np.int16)
        whole = av.AudioFrame.from_ndarray(noise, "s16", "stereo")
        whole.sample_rate, whole.pts = 48000, 0
        resampler = av.AudioResampler(sound.format.name, "stereo", 48000, frame_size=1024)
        for part in [*resampler.resample(whole), *resampler.resample(None)]:
            out.mux(sound.encode(part))
        out.mux(sound.encode(None))
    assert colour(source, tmp_path / "whole.mkv").exit_code == 0
    data = source.read_bytes()
    source.write_bytes(data[: len(data) * 6 // 10])
    assert colour(source, tmp_path / "b.mkv").exit_code == 7


def test_damage_before_the_start_is_no_loss_of_the_span(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.avi", frames=100, codec="mpeg4", options={"bf": "2", "g": "30"})
    broken = tmp_path / "broken.avi"
    change_packets(source, broken, lambda index, data: b"\0" * 9 if index in (11, 12) else data)
    assert colour(broken, tmp_path / "whole.mkv").exit_code == 7
    result = colour(broken, tmp_path / "b.mkv", start=Fraction(3))
    assert (result.frames, result.exit_code) == (25, 0)


def test_a_film_without_a_packet_has_nothing_to_colour(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        stream = out.add_stream("ffv1", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        out.start_encoding()
    with pytest.raises(InputError, match="holds no picture"):
        colour(tmp_path / "a.mkv", tmp_path / "b.mkv")


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_damage_in_the_middle_costs_the_frames_that_it_hits(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_film(tmp_path / f"a.{suffix}", frames=40, codec="ffv1", options={"slicecrc": "1"})
    broken = tmp_path / f"broken.{suffix}"
    change_packets(source, broken, lambda index, data: b"\x00" * 9 if index in (10, 11) else data)
    with caplog.at_level(logging.WARNING, logger="vidcolor"):
        result = colour(broken, tmp_path / "b.mkv", codec="ffv1")
    assert (result.frames, result.lost, result.exit_code) == (38, 2, 7)
    assert any("2 frames could not be decoded" in line for line in caplog.messages)
    again = colour(broken, tmp_path / "b.mkv", codec="ffv1")
    assert (again.already, again.frames, again.lost, again.exit_code) == (True, 38, 2, 7)
    with mock.patch("vidcolor.finished.mark_of", return_value=""):  # as of a file that was copied
        again = colour(broken, tmp_path / "b.mkv", codec="ffv1")
    assert (again.already, again.lost, again.exit_code) == (True, 2, 7)
    times = times_of(tmp_path / "b.mkv")
    assert times[9:11] == [Fraction(9, 25), Fraction(12, 25)]


@pytest.mark.parametrize("begins_well", [True, False])
def test_after_endless_damage_what_decoded_is_kept(tmp_path: Path, begins_well: bool) -> None:
    source = tmp_path / "a.nut"
    with av.open(str(source), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        good = stream.encode(grey_frame(64, 48, "yuv420p", 0))
        if begins_well:
            out.mux(good)
        for index in range(1, 500):
            bad = av.Packet(b"\x00" * 9)
            bad.pts = bad.dts = index
            bad.time_base, bad.stream = Fraction(1, 25), stream
            out.mux(bad)
    if begins_well:
        result = colour(source, tmp_path / "b.mkv")
        assert (result.frames, result.exit_code) == (1, 7)
        return
    with pytest.raises(InputError, match="200 frames in a row do not decode"):
        colour(source, tmp_path / "b.mkv")
    assert not (tmp_path / "b.mkv").exists()


def test_damage_here_and_there_ends_no_film_however_much_it_is(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", frames=40, codec="ffv1", options={"g": "1"})
    broken = tmp_path / "broken.mkv"
    change_packets(source, broken, lambda index, data: b"\x00" * 9 if index % 4 == 3 else data)
    with mock.patch("vidcolor.stages.decode.MAX_FAILURES_IN_A_ROW", 3):
        result = colour(broken, tmp_path / "b.mkv")
    assert (result.frames + result.lost, result.exit_code) == (40, 7)
    # PyAV 17 takes good ones along
    assert result.lost == 10 or (av.__version__.startswith("17.") and result.lost > 10)


def test_a_change_of_size_in_mid_stream_is_scaled_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = make_film(tmp_path / "1.ts", frames=5, options={"repeat_headers": "1"})
    second = make_film(tmp_path / "2.ts", frames=5, size=(96, 80), pts=range(5, 10))
    (tmp_path / "a.ts").write_bytes(first.read_bytes() + second.read_bytes())
    with caplog.at_level(logging.WARNING, logger="vidcolor"):
        result = colour(tmp_path / "a.ts", tmp_path / "b.mkv", codec="ffv1")
    assert result.frames == 10
    frames = read_film(tmp_path / "b.mkv")
    assert {(f.width, f.height) for f in frames} == {(64, 48)}
    assert sum("changes from 64×48" in line for line in caplog.messages) == 1
    wave = luma_codes(96, 80, 4)
    assert abs(float(planes_of(frames[9])[0].mean()) - float(wave.mean())) < 8


@pytest.mark.parametrize("target", ["b.mp4", "b.webm", "b.avi", "b.png"])
def test_a_film_of_one_frame(tmp_path: Path, target: str) -> None:
    source = make_film(tmp_path / "a.mkv", frames=1)
    assert colour(source, tmp_path / target).frames == 1
    assert len(read_film(tmp_path / target)) == 1


@pytest.mark.parametrize("pix_fmt", ["gray16le", "yuv420p16le", "yuv420p14le"])
def test_sixteen_bits_go_into_mkv_and_not_into_mp4(tmp_path: Path, pix_fmt: str) -> None:
    source = make_film(tmp_path / "a.mkv", frames=2, codec="ffv1", pix_fmt=pix_fmt)
    assert colour(source, tmp_path / "b.mkv").codec == "ffv1"
    assert same_luma(source, tmp_path / "b.mkv")
    with pytest.raises(UsageError, match=r"(16|14) bits.*mkv \(FFV1\).*--pix-fmt yuv420p10le") as caught:
        colour(source, tmp_path / "b.mp4")
    assert caught.value.exit_code == 2
    assert colour(source, tmp_path / "c.mp4", pix_fmt="yuv420p10le").codec == "libx264"
    assert read_film(tmp_path / "c.mp4")[0].format.name == "yuv420p10le"


def test_ten_bits_of_webm_stay_ten_bits(tmp_path: Path) -> None:
    source = make_film(
        tmp_path / "a.webm", frames=3, codec="libsvtav1", pix_fmt="yuv420p10le", options={"preset": "12"}
    )
    colour(source, tmp_path / "b.webm", crf=0)
    assert same_luma(source, tmp_path / "b.webm")
    assert read_film(tmp_path / "b.webm")[0].format.name == "yuv420p10le"


def test_repeated_and_missing_times_become_rising_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = make_film(tmp_path / "made.mkv", frames=6, codec="mjpeg", pix_fmt="yuvj420p", full=True)
    source = tmp_path / "a.mkv"
    with av.open(str(made)) as old, av.open(str(source), "w") as out:
        stream = out.add_stream_from_template(old.streams.video[0])
        for index, packet in enumerate(old.demux(video=0)):
            if packet.size:
                packet.stream = stream
                packet.pts = packet.dts = [0, 40, 40, 80, 80, 120][index]
                out.mux(packet)
    with caplog.at_level(logging.WARNING, logger="vidcolor"):
        assert colour(source, tmp_path / "b.mkv").frames == 6
    times = times_of(tmp_path / "b.mkv")
    assert len(set(times)) == 6
    assert times == sorted(times)
    assert sum("missing, repeated" in line for line in caplog.messages) == 1


def test_cover_art_is_not_taken_for_the_film(tmp_path: Path) -> None:
    cover = make_picture(tmp_path / "c.png", np.zeros((20, 20, 3), np.uint8), "png")
    film = make_film(tmp_path / "plain.mp4", frames=4)
    with av.open(str(film)) as old, av.open(str(cover)) as art, av.open(str(tmp_path / "a.mp4"), "w") as out:
        picture = out.add_stream_from_template(art.streams.video[0])
        picture.disposition = av.stream.Disposition.attached_pic
        stream = out.add_stream_from_template(old.streams.video[0])
        for source, target in ((art, picture), (old, stream)):
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = target
                    out.mux(packet)
    assert colour(tmp_path / "a.mp4", tmp_path / "b.mp4", crf=0).frames == 4
    with av.open(str(tmp_path / "b.mp4")) as result:
        shapes = {(s.codec_context.width, bool(s.disposition & 0x400)) for s in result.streams.video}
        assert shapes == {(64, False), (20, True)}


def test_frames_that_an_avi_left_out_on_purpose_are_not_lost(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.avi", pts=[0, 1, 2, 20, 21, 40], codec="ffv1")
    result = colour(source, tmp_path / "b.mkv")
    assert (result.frames, result.exit_code) == (6, 0)


def test_an_avi_that_went_through_a_pipe_has_no_count_to_be_believed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pipe = io.BytesIO()
    written = SimpleNamespace(write=pipe.write)  # which cannot go back to fill in the count
    with av.open(str(make_film(tmp_path / "a.mkv", frames=10))) as film, av.open(written, "w", "avi") as out:
        stream = out.add_stream_from_template(film.streams.video[0])
        for packet in film.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    (tmp_path / "a.avi").write_bytes(pipe.getvalue())
    with av.open(str(tmp_path / "a.avi")) as film:
        assert film.streams.video[0].frames == 1 << 30
    result = colour(tmp_path / "a.avi", tmp_path / "b.mkv")
    assert (result.frames, result.lost, result.exit_code) == (10, 0, 0)
    assert "MB may be needed" not in caplog.text


def test_an_edit_list_that_ends_a_late_film_early_is_no_loss(tmp_path: Path) -> None:
    whole = make_film(tmp_path / "a.mp4", frames=100, pts=[20 + i for i in range(100)], options={"g": "5"})
    data = bytearray(whole.read_bytes())
    lists = data.find(b"elst") + 8
    count, *_ = struct.unpack_from(">I", data, lists)
    empty, lasts = (struct.unpack_from(">Ii", data, lists + 4 + 12 * entry) for entry in range(2))
    assert (count, empty[1]) == (2, -1)
    struct.pack_into(">I", data, lists + 16, lasts[0] * 4 // 5)
    whole.write_bytes(data)
    result = colour(whole, tmp_path / "b.mkv")
    assert (result.frames, result.lost, result.exit_code) == (80, 0, 0)


def test_frames_that_an_edit_list_hides_between_others_are_no_loss(tmp_path: Path) -> None:
    """Of H.265 a packet without a frame is a loss, unless it is one that is decoded for later ones alone."""
    options = {"x265-params": "log-level=none:keyint=15:bframes=2:open-gop=0"}
    whole = make_film(
        tmp_path / "a.mp4", frames=100, pts=[20 + i for i in range(100)], codec="libx265", options=options
    )
    data = bytearray(whole.read_bytes())
    lists = data.find(b"elst") + 8
    count, _, _, _, length, begin, _ = struct.unpack_from(">I" + "Iii" * 2, data, lists)
    with av.open(str(whole)) as film:
        later = begin + int(2 / (film.streams.video[0].time_base or 1))  # fifty frames
    edits = (length * 2 // 5, begin, 1 << 16, length * 2 // 5, later, 1 << 16)
    struct.pack_into(">I" + "Iii" * 2, data, lists, count, *edits)
    whole.write_bytes(data)
    result = colour(whole, tmp_path / "b.mkv")
    assert (result.frames, result.lost, result.exit_code) == (80, 0, 0)


def test_a_recording_cut_off_in_a_frame_keeps_all_frames_before_it(tmp_path: Path) -> None:
    whole = make_film(
        tmp_path / "whole.mp4",
        frames=60,
        options={"g": "20", "bf": "2"},
        container_options={"movflags": "frag_keyframe+empty_moov"},
    )
    with av.open(str(whole)) as film:
        at = [(p.pos, p.size) for p in film.demux(video=0) if p.size]
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: at[50][0] + at[50][1] // 2])
    result = colour(cut, tmp_path / "b.mkv")
    assert (result.frames, result.lost, result.exit_code) == (50, 1, 7)


def test_fragments_that_damage_hides_are_a_loss(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """FFmpeg takes a damaged box for the end of a fragmented mp4, without a word."""
    source, damaged = tmp_path / "a.mp4", tmp_path / "b.mp4"
    options = {"movflags": "frag_keyframe+empty_moov"}
    make_film(source, frames=60, options={"g": "10"}, audio="aac", container_options=options)
    assert colour(source, tmp_path / "c.mkv").exit_code == 0
    data = source.read_bytes()
    middle = data.index(b"moof", len(data) // 2) - 4
    damaged.write_bytes(data[:middle] + b"\xff" * 100 + data[middle:])
    result = colour(damaged, tmp_path / "d.mkv")
    assert 10 < result.frames < 50
    assert result.exit_code == 7
    assert "no fragment is found after" in caplog.text
    assert colour(damaged, tmp_path / "e.mkv", duration=Fraction(1, 2)).exit_code == 0


@pytest.mark.parametrize("kind", ["free", "uuid", "mdat", "udta"])
def test_boxes_after_the_last_fragment_are_no_damage(kind: str, tmp_path: Path) -> None:
    source = tmp_path / "a.mp4"
    make_film(source, options={"g": "4"}, container_options={"movflags": "frag_keyframe+empty_moov"})
    content = source.read_bytes()
    source.write_bytes(content + (len(content) + 8).to_bytes(4, "big") + kind.encode() + bytes(len(content)))
    assert colour(source, tmp_path / "b.mkv").exit_code == 0
    source.write_bytes(source.read_bytes() + content[content.index(b"moof") - 4 :])
    damaged = bytearray(source.read_bytes())
    damaged[len(content) : len(content) + 8] = bytes(8)
    source.write_bytes(damaged)
    assert colour(source, tmp_path / "c.mkv").exit_code == 7


def test_boxes_of_any_length_are_passed_over_to_the_end(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    fragment = struct.pack(">I4s8x", 16, b"moof")
    large = struct.pack(">I4sQ4x", 1, b"free", 20)
    rest = struct.pack(">I4s4x", 0, b"mdat")
    for after, proper in (
        (b"", True), (large, True), (large + rest, True), (large + fragment, False), (rest[:7], False),
        (struct.pack(">I4s", 8, b"wide"), True), (struct.pack(">I4s", 9, b"wide"), False), (bytes(16), False),
    ):  # fmt: skip
        file.write_bytes(fragment + after)
        assert ends_properly(f"file:{file}", len(fragment)) == proper
        assert not ends_properly(f"file:{file}", len(fragment) - 1)
    assert not ends_properly("pipe:0", 0)


def test_an_index_that_is_large_beside_its_fragments_is_no_damage(tmp_path: Path) -> None:
    """A fragment for each frame, and frames of some ten bytes."""
    source = tmp_path / "a.mp4"
    movflags = {"movflags": "frag_every_frame+empty_moov+default_base_moof"}
    with av.open(str(source), "w", options=movflags) as out:
        stream = out.add_stream("libx264", rate=25, options={"g": "1000", "x264-params": "no-info=1"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(100):
            frame = grey_frame(64, 48, "yuv420p", 0)
            frame.pts = index
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert colour(source, tmp_path / "b.mkv").exit_code == 0


def test_a_film_cut_off_is_noticed_with_a_start_too(tmp_path: Path) -> None:
    whole = make_film(tmp_path / "a.mkv", frames=100, codec="ffv1")
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert colour(cut, tmp_path / "b.mkv", start=Fraction(1, 5)).exit_code == 7
    assert colour(cut, tmp_path / "c.mkv", duration=Fraction(1, 5)).exit_code == 0


def test_slices_whose_checksum_fails_are_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = make_film(tmp_path / "a.mkv", frames=12, codec="ffv1", options={"slicecrc": "1", "level": "3"})
    broken = tmp_path / "broken.mkv"

    def flipped(index: int, data: bytearray) -> bytearray:
        data[len(data) // 3] ^= 4 if index in (0, 5, 6) else 0
        return data

    change_packets(source, broken, flipped)
    for film, damaged in ((source, 0), (broken, 2)):  # the first is believed to have no checksums
        result = colour(film, tmp_path / f"b-{film.name}", codec="ffv1")
        assert (result.frames, result.damaged, result.lost) == (12, damaged, 0)
    assert "2 frames decoded with damage" in caplog.text


@pytest.mark.parametrize("full", [False, True], ids=["limited first", "full first"])
def test_a_range_that_changes_is_converted(full: bool, caplog: pytest.LogCaptureFixture) -> None:
    shape = FirstShape(report := DecodeReport())
    first, other = (grey_frame(64, 48, "yuv420p", 0, full=one) for one in (full, not full))
    assert shape.fit(first) is first
    fitted = shape.fit(other)
    assert fitted.color_range == first.color_range
    assert np.abs(planes_of(fitted)[0].astype(int) - planes_of(first)[0]).max() <= 1
    assert report.rescaled == 1
    ranges = ("full", "limited") if full else ("limited", "full")
    assert "yuv420p, {} range, to 64×48 yuv420p, {} range".format(*ranges) in caplog.text


def test_an_aspect_ratio_that_changes_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    shape, frame = FirstShape(DecodeReport()), grey_frame(64, 48, "yuv420p", 0)
    for aspect in (None, Fraction(16, 15), Fraction(16, 15), None):
        shape.fit(frame, aspect)
    assert not caplog.messages
    for _ in range(2):
        shape.fit(frame, Fraction(64, 45))
    (line,) = caplog.messages
    assert "from 16:15 to 64:45 in mid-stream" in line


def test_pictures_of_a_sequence_keep_their_numbers(tmp_path: Path) -> None:
    for number in range(117, 123):
        rgb = np.full((48, 64, 3), number, np.uint8)
        make_picture(tmp_path / f"scan_{number:05d}.png", rgb, "png")
    (tmp_path / "scan_00119.png").write_bytes(b"no picture")
    result = colour(tmp_path / "scan_%05d.png", tmp_path / "out_%05d.png")
    assert (result.frames, result.lost, result.exit_code) == (5, 1, 7)
    made = [117, 118, 120, 121, 122]
    assert sorted(p.name for p in tmp_path.glob("out_*")) == [f"out_{number:05d}.png" for number in made]
    colour(tmp_path / "scan_%05d.png", tmp_path / "late_%05d.png", start=Fraction(4, 25))
    assert sorted(p.name for p in tmp_path.glob("late_*")) == ["late_00121.png", "late_00122.png"]


@pytest.mark.parametrize("codec", ["dts", "flac"])  # of one even the kind of samples stays unknown
def test_sound_of_which_nothing_decodes_is_a_loss(
    codec: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_film(tmp_path / "a.mkv", frames=25, audio="flac")
    broken = tmp_path / "broken.mkv"
    with av.open(str(source)) as old, av.open(str(broken), "w") as out:
        streams = [out.add_stream_from_template(old.streams.video[0])]
        whole = out.add_stream_from_template(old.streams.audio[0]) if codec == "flac" else None
        streams.append(whole or out.add_mux_stream(codec, rate=48000, layout="stereo"))
        for packet in old.demux():
            if packet.size:
                sound = packet.stream.type == "audio"
                bad = av.Packet(b"\x55" * 400 if sound else bytes(packet))
                bad.pts, bad.dts, bad.duration = packet.pts, packet.dts, packet.duration
                bad.time_base, bad.stream = packet.time_base, streams[packet.stream_index]
                bad.is_keyframe = packet.is_keyframe
                out.mux(bad)
    result = colour(broken, tmp_path / "b.webm", codec="libvpx")
    assert (result.frames, result.lost, result.silent, result.exit_code) == (25, 0, 1, 7)
    assert f"audio track #1 ({codec}) is lost: none of its packets could be decoded" in caplog.text
    again = colour(broken, tmp_path / "b.webm", codec="libvpx")
    assert again.already
    assert again.exit_code == (7 if mark_of(tmp_path / "b.webm") else 0)  # kept in an attribute of the file


def test_packets_that_a_broadcast_lost_are_damage(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.ts", frames=30, options={"g": "1", "crf": "30"}, size=(320, 240))
    data = source.read_bytes()
    blocks = [data[at : at + 188] for at in range(0, len(data), 188)]
    picture = [i for i, b in enumerate(blocks) if (b[1] & 0x1F) << 8 | b[2] == 0x100 and not b[1] & 0x40]
    del blocks[picture[len(picture) // 2]]
    source.write_bytes(b"".join(blocks))
    result = colour(source, tmp_path / "b.mkv")
    assert (result.frames, result.damaged, result.lost) == (30, 1, 0)


COLOURED = """
import sys
sys.path[:0] = [{tests!r}]
from quick import colour
colour(*sys.argv[1:])
"""


@pytest.mark.parametrize(("name", "target"), [("a0.png", "b.png"), ("a%d.png", "b.mkv")])
def test_pictures_with_a_colour_profile_are_coloured(name: str, target: str, tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010E] = "the yard"  # PyAV has no name for EXIF, which comes behind the profile
    for number in range(3):
        name_of_one = tmp_path / f"a{number}.png"
        Image.new("L", (64, 48), 90 + number).save(name_of_one, icc_profile=profile, exif=exif)
    code = COLOURED.format(tests=str(Path(__file__).parent))
    command = [sys.executable, "-c", code, str(tmp_path / name), str(tmp_path / target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr  # its name was freed twice, which ended the process
    assert len(read_film(tmp_path / target)) == (3 if target == "b.mkv" else 1)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("b.png", []),
        ("b.jpg", ["EXIF"]),
        ("b.tif", ["EXIF", "colour profile"]),
        ("b.webp", ["EXIF", "colour profile"]),
        ("b.mkv", []),
    ],
)
def test_what_a_photograph_loses_is_named(
    target: str, said: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010E] = "the yard"
    source = tmp_path / "a.jpg"
    Image.new("L", (64, 48), 90).save(source, icc_profile=profile, exif=exif)
    colour(source, tmp_path / target)
    assert [m for m in caplog.messages if "left out" in m] == [
        f"the picture's {name} is left out: png keeps it" for name in said
    ]
    if not target.endswith(".mkv"):
        with Image.open(tmp_path / target) as made:
            assert bool(made.info.get("icc_profile")) == ("colour profile" not in said)
            assert (made.getexif().get(0x010E) == "the yard") == ("EXIF" not in said)


@pytest.mark.parametrize("target", ["b.png", "b.jpg", "b.webp"])
@pytest.mark.parametrize("space", ["GRAY", "CMYK", " " * 4])
def test_a_colour_profile_for_other_pictures_is_left_out(
    space: str, target: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = space.encode()
    grey = Image.fromarray(np.arange(64 * 48, dtype=np.uint8).reshape(48, 64))
    for name, kept in (("a.jpg", bytes(profile)), ("without.jpg", None)):
        grey.save(tmp_path / name, icc_profile=kept)
        colour(tmp_path / name, tmp_path / f"{name}.{target}")
    lines, told = [m for m in caplog.messages if "left out" in m], space.strip() or "unknown colours"
    assert lines == [f"the picture's colour profile is left out: it is for {told} alone"]
    with (
        Image.open(tmp_path / f"a.jpg.{target}") as made,
        Image.open(tmp_path / f"without.jpg.{target}") as plain,
    ):
        assert made.info.get("icc_profile") is None
        np.testing.assert_array_equal(made, plain)


def test_a_colour_profile_that_is_lost_where_a_picture_is_turned_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (64, 48), 90).save(tmp_path / "a.jpg", icc_profile=profile, exif=exif)
    colour(tmp_path / "a.jpg", tmp_path / "b.jpg")
    assert "the picture's colour profile is left out: png keeps it" in caplog.messages


@pytest.mark.parametrize(("tags", "said"), [({}, False), ({274: 1}, False), ({271: "Kodak"}, True)])
def test_what_every_tiff_says_of_itself_is_no_exif(
    tags: dict[int, Any], said: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "a.tif"
    Image.new("L", (64, 48), 90).save(source, tiffinfo=tags)
    colour(source, tmp_path / "b.tif")
    assert ("EXIF is left out" in caplog.text) == said


def test_a_track_of_chapters_that_ends_later_than_the_film_hides_no_loss(tmp_path: Path) -> None:
    source = tmp_path / "chapters.mp4"
    with av.open(str(make_film(tmp_path / "a.mkv", frames=20))) as film, av.open(str(source), "w") as out:
        stream = out.add_stream_from_template(film.streams.video[0])
        chapter = {"id": 1, "start": 0, "end": 6000, "time_base": Fraction(1, 1000)}
        out.set_chapters([chapter | {"metadata": {"title": "one"}}])
        for packet in film.demux(video=0):
            packet.stream = stream
            if packet.size:
                out.mux(packet)
    result = colour(source, tmp_path / "b.mkv")
    assert (result.frames, result.lost, result.exit_code) == (20, 0, 0)


def test_pixels_that_change_their_shape_in_mid_stream_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parts = [
        make_film(tmp_path / f"{n}.ts", frames=10, sample_aspect_ratio=Fraction(n, 11)) for n in (12, 16, 15)
    ]
    (tmp_path / "both.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    assert colour(tmp_path / "both.ts", tmp_path / "b.mkv").frames == 30
    assert caplog.text.count("aspect ratio") == caplog.text.count("from 12:11 to 16:11 in mid-stream") == 1
    caplog.clear()
    colour(parts[0], tmp_path / "c.mkv")
    assert "mid-stream" not in caplog.text


def test_a_picture_in_tiles_is_refused() -> None:
    tile = SimpleNamespace(disposition=av.stream.Disposition.dependent, duration=None)
    container = SimpleNamespace(
        format=SimpleNamespace(name="mov,mp4,m4a,3gp,3g2,mj2"),
        streams=SimpleNamespace(video=[tile] * 4, audio=[]),
    )
    with pytest.raises(InputError, match="picture in 4 tiles"):
        pick_video(container, "grid.heic")  # type: ignore[arg-type]


@pytest.mark.skipif(".avif" not in Image.registered_extensions(), reason="Pillow writes no AVIF here")
def test_all_frames_of_an_animated_avif_are_coloured(tmp_path: Path) -> None:
    pictures = [Image.fromarray(luma_codes(64, 48, number)) for number in range(6)]
    times = [40, 100, 30, 500, 70, 20]
    pictures[0].save(tmp_path / "a.avif", save_all=True, append_images=pictures[1:], duration=times)
    assert colour(tmp_path / "a.avif", tmp_path / "b.mkv").frames == 6
    found = [round(float(time) * 1000) for time in times_of(tmp_path / "b.mkv")]
    assert found == [sum(times[:number]) for number in range(6)]


def test_texts_that_are_no_utf_8_are_read_as_windows_1252(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.avi"), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        out.metadata["title"] = "MXYller"
        write_pictures(out, stream, 3)
    film = tmp_path / "a.avi"
    film.write_bytes(film.read_bytes().replace(b"MXYller", b"M\xfc\xe4ller"))
    colour(film, tmp_path / "b.mkv")
    with av.open(str(tmp_path / "b.mkv")) as made:
        assert made.metadata["title"] == "Müäller"


@pytest.mark.parametrize("frames", [3, 40])
def test_a_film_becomes_an_animated_png(tmp_path: Path, frames: int) -> None:
    source = make_film(tmp_path / "a.mkv", frames=frames)
    with (
        mock.patch("vidcolor.resumable._FEWEST_FRAMES", 4),
        mock.patch("vidcolor.resumable._MOST_FRAMES", 16),
    ):
        assert call(source, tmp_path / "b.apng") == 0
    assert len(read_film(tmp_path / "b.apng")) == frames


def test_a_damaged_animated_png_keeps_the_frames_before(tmp_path: Path) -> None:
    source, damaged = tmp_path / "a.apng", tmp_path / "b.apng"
    with av.open(str(source), "w", format="apng") as out:
        stream = out.add_stream("apng", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray"
        write_pictures(out, stream, 12)
    data = source.read_bytes()
    middle = data.index(b"fcTL", len(data) // 2) - 4
    damaged.write_bytes(data[:middle] + bytes(5) + data[middle:])
    result = colour(damaged, tmp_path / "c.mkv")
    assert 3 < result.frames < 12
    assert result.exit_code == 7


def test_an_unknown_encoder_of_sound_is_refused_where_there_is_no_sound(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no encoder 'bogus'"):
        colour(make_film(tmp_path / "a.mkv", frames=2), tmp_path / "b.mkv", audio="bogus")


def test_a_film_becomes_one_gif_however_long_it_is(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", frames=40)
    short = [mock.patch(f"vidcolor.resumable.{name}", 8) for name in ("_FEWEST_FRAMES", "_MOST_FRAMES")]
    with short[0], short[1]:
        assert call(source, tmp_path / "b.gif") == 0
    blob = (tmp_path / "b.gif").read_bytes()
    assert blob.count(b"GIF89a") == 1
    with Image.open(tmp_path / "b.gif") as gif:
        assert sum(_lasts(gif, number) for number in range(gif.n_frames)) == 1600


def _lasts(gif: Any, number: int) -> int:
    gif.seek(number)
    return int(gif.info["duration"])


def test_a_gif_of_more_frames_than_it_can_tell_apart_is_made(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", frames=12, rate=120)
    assert call(source, tmp_path / "b.gif") == 0
    assert len(read_film(tmp_path / "b.gif")) == 12


def test_an_animated_png_goes_to_no_pipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(make_film(tmp_path / "a.mkv", frames=2), "-", "--format", "apng") == 2
    assert "has to go to a file" in capsys.readouterr().err


def test_an_indexed_picture_may_begin_a_sequence_of_others(tmp_path: Path) -> None:
    grey = np.arange(48 * 64).reshape(48, 64) % 200
    pictures = [Image.fromarray(grey.astype(np.uint8)).convert(mode) for mode in ("P", "L", "P", "RGB")]
    pictures[2] = pictures[2].resize((48, 48))
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / f"s_{number}.png")
    assert call(tmp_path / "s_%d.png", tmp_path / "b.mkv", "--codec", "ffv1") == 0
    lumas = luma_of_film(tmp_path / "b.mkv")
    assert len(lumas) == 4
    for index in (1, 3):
        assert np.abs(lumas[index].astype(int) - lumas[0]).max() <= 1
    pictures[0].convert("1").save(tmp_path / "t_0.png")
    pictures[1].save(tmp_path / "t_1.png")
    assert call(tmp_path / "t_%d.png", tmp_path / "t.mkv", "--codec", "ffv1") == 0
    assert len(np.unique(luma_of_film(tmp_path / "t.mkv")[1])) > 100, "no dither"


def test_a_matrix_that_changes_in_mid_stream_changes_no_colour(tmp_path: Path) -> None:
    films = {}
    for name, matrices in (("changes", (1, 6)), ("stays", (1, 1))):
        parts = [
            make_film(tmp_path / f"{name}{n}.ts", frames=6, colorspace=matrix)
            for n, matrix in enumerate(matrices)
        ]
        films[name] = tmp_path / f"{name}.ts"
        films[name].write_bytes(b"".join(part.read_bytes() for part in parts))
        colour(films[name], tmp_path / f"{name}.mkv", codec="ffv1")
    changes, stays = (read_film(tmp_path / f"{name}.mkv") for name in ("changes", "stays"))
    assert len(changes) == len(stays) == 12
    for one, other in zip(changes, stays, strict=True):
        assert int(one.colorspace) == 1
        for plane, expected in zip(planes_of(one), planes_of(other), strict=True):
            assert np.array_equal(plane, expected)


def test_a_sequence_of_webp_is_a_picture_for_each_frame(tmp_path: Path) -> None:
    """It was one animation, in a file with the per cent sign in its name."""
    source = make_film(tmp_path / "in.mkv", frames=3)
    assert call(source, tmp_path / "out_%02d.webp") == 0
    assert call(source, tmp_path / "out.webp") == 0  # which is an animation
    assert call(source, tmp_path / "by_%d.webp", "--format", "webp") == 0
    made = sorted(path.name for path in tmp_path.iterdir() if path != source)
    by_name = [f"by_{n}.webp" for n in (1, 2, 3)]
    assert made == [*by_name, "out.webp", "out_01.webp", "out_02.webp", "out_03.webp"]
    with Image.open(tmp_path / "out_03.webp") as picture:
        assert (picture.format, picture.size) == ("WEBP", (64, 48))


def test_webp_goes_to_a_pipe(tmp_path: Path) -> None:
    assert (
        call(
            make_picture(tmp_path / "a.png", np.full((48, 64, 3), 90, np.uint8), "png"),
            tmp_path / "b",
            "--format",
            "webp",
        )
        == 0
    )
    with Image.open(tmp_path / "b") as made:
        assert (made.format, made.size) == ("WEBP", (64, 48))
