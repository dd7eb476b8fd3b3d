"""The remux stage keeps everything beside the picture, or names what it cannot keep."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from av.stream import Discard, Disposition
from media import grey_frame, make_film
from quick import colour

from vidcolor.errors import UsageError
from vidcolor.media.chapters import advance_timecode, clip_chapters, timecode_fits
from vidcolor.media.containers import holds_covers
from vidcolor.media.covers import CoverAttachment
from vidcolor.media.languages import _TWO_TO_THREE, is_three_letters
from vidcolor.media.packets import Clock
from vidcolor.media.places import missing_keys
from vidcolor.media.traits import traits_of
from vidcolor.stages.remux import Remuxer, RemuxSettings

FPS = 25
RATE = 48_000
FONT = bytes(range(256)) * 3


def add_pictures(output, frames: int = 50, codec: str = "mpeg4", **options: str) -> Callable[[], None]:
    """Add a small video stream; the returned function writes its packets."""
    stream = output.add_stream(codec, rate=FPS, options=options)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"

    def write() -> None:
        for index in range(frames):
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([index * 5 % 200 + 16]) * plane.buffer_size)
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))

    return write


def add_sound(output, codec: str = "aac", seconds: float = 2.0, **metadata: str) -> Callable[[], None]:
    """Add a stereo tone; the returned function writes its packets."""
    stream = output.add_stream(codec, rate=RATE)
    stream.layout = "stereo"
    stream.metadata.update(metadata)

    def write() -> None:
        time = np.arange(int(seconds * RATE)) / RATE
        wave = np.repeat((np.sin(2 * np.pi * 440 * time) * 8000).astype(np.int16)[:, None], 2, 1)
        for begin in range(0, len(wave), 4800):
            frame = av.AudioFrame.from_ndarray(wave[begin : begin + 4800].reshape(1, -1), "s16", "stereo")
            frame.rate, frame.pts, frame.time_base = RATE, begin, Fraction(1, RATE)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))

    return write


def make(path: Path, *, sound: tuple[str, ...] = ("aac",), chapters: bool = False, **picture: str) -> Path:
    """Write a film with one picture and one track per codec in ``sound``."""
    languages = ["deu", "fra", "jpn"]
    with av.open(str(path), "w", options=traits_of("mp4").options if path.suffix == ".mp4" else {}) as output:
        if chapters:
            output.set_chapters(marks())
        writers = [add_pictures(output, **picture)]
        for number, codec in enumerate(sound):
            writers.append(add_sound(output, codec, language=languages[number], title=f"Ton {number}"))
        if len(sound) > 1:
            output.streams[1].disposition = Disposition.default
            output.streams[2].disposition = Disposition.comment
        for write in writers:
            write()
    return path


def marks() -> list[dict]:
    base = Fraction(1, 1000)
    return [
        {"id": 1, "start": 0, "end": 1000, "time_base": base, "metadata": {"title": "Eins"}},
        {"id": 2, "start": 1000, "end": 2000, "time_base": base, "metadata": {"title": "Zwei"}},
    ]


def carry(source: Path, target, format_name: str | None = None, *, encode: bool = False, **settings) -> None:
    """Run the stage like the pipeline; unless ``encode`` the source's packets stand in for coloured ones."""
    suffixes = {".mkv": "matroska", ".ts": "mpegts", ".y4m": "yuv4mpegpipe"}
    if format_name is None:
        format_name = suffixes.get(target.suffix, target.suffix[1:])
    name = str(target) if isinstance(target, Path) else target
    with (
        av.open(str(source)) as film,
        av.open(name, "w", format=format_name, options=traits_of(format_name).options) as output,
    ):
        picture = film.streams.video[0]
        remuxer = Remuxer(film, output, picture, RemuxSettings(**settings))
        video = remuxer.add_streams(lambda: add_coloured(output, picture, format_name, encode))
        shift = round(settings.get("offset", 0) / picture.time_base)
        for packet in film.demux():
            if packet.stream.index != picture.index:
                remuxer.write(packet)
            elif encode:
                for frame in packet.decode():
                    frame.pict_type = 0
                    remuxer.write_video(video.encode(frame))
            elif packet.size and video.codec_context.name == picture.codec_context.name:
                packet.stream = video
                packet.pts += shift
                packet.dts = (packet.dts if packet.dts is not None else packet.pts - shift) + shift
                remuxer.write_video([packet])
        remuxer.finish()


def add_coloured(output, picture, format_name: str, encode: bool = False):
    if encode or format_name in ("webm", "yuv4mpegpipe"):
        codec = {"webm": "libvpx", "yuv4mpegpipe": "rawvideo"}.get(format_name, "mpeg4")
        video = output.add_stream(codec, rate=FPS)
        video.width, video.height = 64, 48
        return video
    video = output.add_stream_from_template(picture, opaque=True)
    return video


def packets(path: Path, kind: str, number: int = 0) -> list[bytes]:
    with av.open(str(path)) as film:
        stream = [s for s in film.streams if s.type == kind][number]
        return [bytes(p) for p in film.demux(stream) if p.size]


def times(path: Path, kind: str) -> list[Fraction]:
    with av.open(str(path)) as film:
        stream = next(s for s in film.streams if s.type == kind)
        found = [p.pts * p.time_base for p in film.demux(stream) if p.size and p.pts is not None]
    return sorted(found)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts", ".avi", ".nut"])
def test_sound_that_the_container_takes_is_copied_byte_for_byte(tmp_path, suffix):
    source = make(tmp_path / "in.mkv", sound=("ac3", "ac3"))
    carry(source, tmp_path / f"out{suffix}")
    for number in (0, 1):
        assert packets(tmp_path / f"out{suffix}", "audio", number) == packets(source, "audio", number)


def test_mov_knows_languages_by_codes_of_its_own(tmp_path, caplog):
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as output:
        parts = [add_sound(output, "ac3", language=code) for code in ("deu", "nld", "fra", "hrv", "und")]
        for part in (add_pictures(output), *parts):
            part()
    carry(source, tmp_path / "out.mov")
    with av.open(str(tmp_path / "out.mov")) as film:
        assert [s.language for s in film.streams.audio] == ["ger", "dut", "fra", None, None]
    lost = [line for line in caplog.messages if "has no place for language" in line]
    assert len(lost) == 1 and "hrv" in lost[0]


@pytest.mark.parametrize(("suffix", "other"), [(".mp4", None), (".ts", "l01")])
def test_languages_of_two_letters_get_three_and_others_are_named(suffix, other, tmp_path, caplog):
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as output:
        parts = [add_sound(output, "ac3", language=code) for code in ("de", "pt-BR", "l01", "hrv")]
        for part in (add_pictures(output), *parts):
            part()
    carry(source, tmp_path / f"out{suffix}")
    with av.open(str(tmp_path / f"out{suffix}")) as film:
        assert [s.language for s in film.streams.audio] == ["deu", None, other, "hrv"]
    lost = [line for line in caplog.messages if "has no place for language" in line]
    named = ["pt-BR"] if other else ["pt-BR", "l01"]
    assert all(code in line for code, line in zip(named, lost, strict=True))


@pytest.mark.parametrize("name", ["mpeg", "vob", "svcd", "dvd", "mxf"])
def test_containers_without_text_say_so(name):
    assert missing_keys(name, {"title": "Film", "artist": "Me"}, track=False) == ["title", "artist"]
    assert missing_keys(name, {"language": "deu"}, track=True) == ["language"]
    assert missing_keys("mxf", {"timecode": "01:00:00:00", "creation_time": "2026-01-01"}, track=False) == []
    assert missing_keys("flv", {"language": "deu", "title": "Ton"}, track=True) == ["language", "title"]


@pytest.mark.parametrize(("place", "kept"), [("Berlin", False), ("+52.5200+013.4050/", True)])
def test_only_a_place_by_its_degrees_has_one_in_mp4(place, kept):
    assert missing_keys("mp4", {"LOCATION": place}, track=False) == ([] if kept else ["LOCATION"])


def test_a_title_in_another_language_is_named_or_kept(tmp_path, caplog):
    with av.open(str(tmp_path / "in.mkv"), "w") as output:
        output.metadata.update({"title": "Film", "title-fre": "Le film"})
        add_pictures(output)()
    for suffix in ("avi", "mp4", "mov"):
        caplog.clear()
        carry(tmp_path / "in.mkv", tmp_path / f"out.{suffix}")
        with av.open(str(tmp_path / f"out.{suffix}")) as film:
            kept = "Le film" in film.metadata.values()
        assert kept == (suffix != "avi")
        assert ("avi has no place for the metadata TITLE-fre" in caplog.text) == (not kept)
    told = {"location": "+52.5200+013.4050/", "location-eng": "+52.5200+013.4050/"}
    assert missing_keys("mp4", told, track=False) == []


@pytest.mark.parametrize("suffix", ["wmv", "3gp", "f4v", "ipod"])
def test_titles_and_marks_of_tracks_that_have_no_place_are_named(suffix, tmp_path, caplog):
    with av.open(str(tmp_path / "in.mkv"), "w") as output:
        writers = add_pictures(output), add_sound(output, "aac", title="Ton")
        output.streams[1].disposition = Disposition.comment
        for write in writers:
            write()
    colour(tmp_path / "in.mkv", tmp_path / "out", format=suffix, codec="wmv2" if suffix == "wmv" else "h264")
    with av.open(str(tmp_path / "out")) as film:
        sound = film.streams.audio[0]
        assert not sound.disposition & Disposition.comment and "Ton" not in sound.metadata.values()
    assert f"{suffix} has no place for title, comment" in caplog.text


def test_a_language_that_wmv_has_no_code_for_is_named_and_not_another_s(tmp_path, caplog):
    with av.open(str(tmp_path / "in.mkv"), "w") as output:
        parts = [add_sound(output, "aac", language=code) for code in ("haw", "ger", "fra", "und")]
        for part in (add_pictures(output), *parts):
            part()
    colour(tmp_path / "in.mkv", tmp_path / "out.wmv")
    with av.open(str(tmp_path / "out.wmv")) as film:
        assert [s.language for s in film.streams.audio] == [None, "ger", "fre", None]
    assert [line for line in caplog.messages if "language" in line] == [
        "audio track #0 (aac, haw): wmv has no place for language"
    ]


def test_the_title_of_a_cover_is_named_where_it_has_no_place(tmp_path, caplog):
    picture = cover_of(add_cover(tmp_path / "in.mp4"))
    with av.open(str(tmp_path / "a.mkv"), "w") as output:
        write = add_pictures(output)
        output.add_attachment("front.png", "image/png", picture).metadata["title"] = "Front of the box"
        write()
    carry(tmp_path / "a.mkv", tmp_path / "out.mp4")
    assert cover_of(tmp_path / "out.mp4") == picture
    assert "video track #1 (png): mp4 has no place for title" in caplog.text


def test_what_phones_containers_and_avi_hold_of_a_film_s_metadata(tmp_path, caplog):
    assert missing_keys("3gp", {"title": "Film", "mood": "blue"}, track=False) == ["mood"]
    assert missing_keys("avi", {"encoded_by": "me", "timecode": "01:00:00:00"}, track=False) == []
    with av.open(str(tmp_path / "in.mkv"), "w") as output:
        output.metadata.update({"mood": "blue", "encoded_by": "somebody", "timecode": "01:02:03:04"})
        add_pictures(output)()
    colour(tmp_path / "in.mkv", tmp_path / "out.3gp")
    assert "3gp has no place for the metadata MOOD, ENCODED_BY" in caplog.text
    colour(tmp_path / "in.mkv", tmp_path / "out.avi")
    assert b"somebody" in (tmp_path / "out.avi").read_bytes()
    assert b"01:02:03:04" in (tmp_path / "out.avi").read_bytes()


def test_languages_are_those_of_the_standard():
    assert len(_TWO_TO_THREE) == 183  # ISO 639-1 without sh, which is deprecated
    assert all(len(two) == 2 and is_three_letters(three) for two, three in _TWO_TO_THREE.items())
    assert len(set(_TWO_TO_THREE.values())) == 183


def test_tracks_keep_order_language_title_and_disposition(tmp_path):
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as output:
        first = add_sound(output, "ac3", language="deu", title="Ton")
        write = add_pictures(output)
        second = add_sound(output, "flac", language="fra")
        output.streams[0].disposition = Disposition.default
        output.streams[2].disposition = Disposition.comment
        for part in (first, write, second):
            part()
    for suffix in (".mkv", ".mp4"):
        target = tmp_path / f"out{suffix}"
        carry(source, target)
        with av.open(str(target)) as film:
            assert [s.type for s in film.streams] == ["audio", "video", "audio"]
            assert [s.language for s in film.streams.audio] == ["deu", "fra"]
            assert "Ton" in film.streams[0].metadata.values()
            assert film.streams[0].disposition & Disposition.default
            assert film.streams[2].disposition & Disposition.comment
    carry(tmp_path / "out.mp4", tmp_path / "back.mkv")
    with av.open(str(tmp_path / "back.mkv")) as film:
        assert film.streams[0].metadata["title"] == "Ton"


@pytest.mark.parametrize(
    "first, second", [("in.mp4", "out.mp4"), ("in.mp4", "out.mkv"), ("in.mkv", "out.mp4")]
)
def test_priming_before_zero_moves_neither_picture_nor_sound(tmp_path, first, second):
    source = make(tmp_path / first)
    carry(source, tmp_path / second)
    assert times(tmp_path / second, "video")[0] == times(source, "video")[0] == 0
    pairs = zip(times(source, "audio"), times(tmp_path / second, "audio"), strict=True)
    assert all(abs(a - b) <= Fraction(1, 1000) for a, b in pairs)
    assert times(source, "audio")[0] < 0


def test_the_picture_of_a_b_frame_film_keeps_its_times(tmp_path):
    source = make(tmp_path / "in.mp4", codec="libx264", preset="veryfast", bf="2")
    carry(source, tmp_path / "out.mp4")
    assert times(tmp_path / "out.mp4", "video") == times(source, "video")


def test_offset_moves_packets_and_chapters(tmp_path):
    source = make(tmp_path / "in.mkv", sound=("ac3",), chapters=True)
    carry(source, tmp_path / "out.mkv", offset=Fraction(3, 2))
    moved = times(tmp_path / "out.mkv", "audio")
    assert moved == [t + Fraction(3, 2) for t in times(source, "audio")]
    with av.open(str(tmp_path / "out.mkv")) as film:
        assert [c["start"] * c["time_base"] for c in film.chapters()] == [Fraction(3, 2), Fraction(5, 2)]


def test_span_leaves_out_packets_and_clips_chapters(tmp_path):
    source = make(tmp_path / "in.mkv", sound=("ac3",), chapters=True)
    carry(source, tmp_path / "out.mkv", start=Fraction(1, 2), end=Fraction(3, 2))
    kept = times(tmp_path / "out.mkv", "audio")
    assert kept == [t for t in times(source, "audio") if Fraction(1, 2) <= t < Fraction(3, 2)]
    with av.open(str(tmp_path / "out.mkv")) as film:
        bounds = [(c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in film.chapters()]
    assert bounds == [(Fraction(1, 2), 1), (1, Fraction(3, 2))]


def test_chapters_that_only_touch_the_span_are_left_out_and_those_of_no_length_are_kept():
    ids = [
        [chapter["id"] for chapter in clip_chapters(marks(), clock)]
        for clock in (Clock(start=Fraction(1)), Clock(end=Fraction(1)), Clock(start=Fraction(2)))
    ]
    assert ids == [[2], [1], []]
    points = [{**mark, "end": mark["start"]} for mark in marks()]
    assert clip_chapters(points, Clock()) == points
    assert clip_chapters([{**points[0], "end": -1}], Clock()) == []


def test_chapters_are_moved_to_the_nearest_tick():
    (chapter, _) = clip_chapters(marks(), Clock(offset=Fraction(2, 3000)))
    assert chapter["time_base"] == Fraction(1, 1000)
    assert (chapter["start"], chapter["end"]) == (1, 1001)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".nut"])
def test_chapters_are_kept(tmp_path, suffix, caplog):
    source = make(tmp_path / "in.mp4", chapters=True)
    carry(source, tmp_path / f"out{suffix}")
    with av.open(str(tmp_path / f"out{suffix}")) as film:
        found = [(c["metadata"]["title"], c["start"] * c["time_base"]) for c in film.chapters()]
        assert found == [("Eins", 0), ("Zwei", 1)]
        tracks = [s for s in film.streams if s.type == "data"]
    # The text track in which mp4 keeps chapter titles is made anew, not copied beside the new one.
    assert len(tracks) == (1 if suffix in (".mp4", ".mov") else 0)
    assert "left out" not in caplog.text


def test_chapters_without_a_place_are_named(tmp_path, caplog):
    for chapters in (False, True):
        carry(make(tmp_path / "in.mkv", sound=("ac3",), chapters=chapters), tmp_path / "out.avi")
        assert ("chapters" in caplog.text) == chapters
    assert "2 chapters are left out" in caplog.text


def test_chapters_without_a_title_are_kept_and_their_other_tags_are_named(tmp_path, caplog):
    base, tags = Fraction(1, 1000), ({"title": "Eins", "MOOD": "blue"}, {}, {"title": "Drei"})
    with av.open(str(tmp_path / "in.mkv"), "w") as output:
        output.set_chapters(
            [
                {"id": n + 1, "start": 500 * n, "end": 500 * n + 500, "time_base": base, "metadata": tag}
                for n, tag in enumerate(tags)
            ]
        )
        add_pictures(output)()
    for suffix in ("mov", "mp4", "mkv"):
        caplog.clear()
        carry(tmp_path / "in.mkv", tmp_path / f"out.{suffix}")
        named = f"{suffix} has no place for the chapters' MOOD" in caplog.text
        assert named == (suffix != "mkv")
        with av.open(str(tmp_path / f"out.{suffix}")) as film:
            found = [(c["metadata"].get("title", ""), c["start"] * c["time_base"]) for c in film.chapters()]
            titled = ["title" in c["metadata"] for c in film.chapters()]
        assert found[:3] == [("Eins", 0), ("", Fraction(1, 2)), ("Drei", 1)]
        assert suffix != "mkv" or titled == [True, False, True]


def add_font(path: Path) -> Path:
    with av.open(str(path), "w") as output:
        write = add_pictures(output)
        output.add_attachment("letters.ttf", "font/ttf", FONT)
        write()
    return path


def test_attachments_are_kept_in_mkv(tmp_path):
    carry(add_font(tmp_path / "in.mkv"), tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as film:
        (font,) = film.streams.attachments
        assert (font.name, font.mimetype, font.data) == ("letters.ttf", "font/ttf", FONT)


def test_attachments_are_named_where_they_cannot_be_kept(tmp_path, caplog):
    carry(add_font(tmp_path / "in.mkv"), tmp_path / "out.mp4")
    assert "letters.ttf is left out" in caplog.text


def add_cover(path: Path, codec: str = "png", pix_fmt: str = "rgb24") -> Path:
    with av.open(str(path), "w") as output:
        write = add_pictures(output)
        cover = output.add_stream(codec, rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, pix_fmt
        cover.disposition = Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 77, np.uint8), "rgb24")
        frame = frame.reformat(format=pix_fmt)
        frame.pts, frame.time_base = 0, Fraction(1)
        output.mux([*cover.encode(frame), *cover.encode(None)])
        write()
    return path


def cover_of(path: Path) -> bytes:
    with av.open(str(path)) as film:
        cover = next(s for s in film.streams.video if s.disposition & Disposition.attached_pic)
        return b"".join(bytes(p) for p in film.demux(cover))


def test_a_second_picture_of_an_unknown_codec_is_left_out_by_name(tmp_path, caplog):
    """As some FFmpeg writes a cover into a fragmented mp4."""
    source = tmp_path / "in.mp4"
    with av.open(str(source), "w", options={"movflags": "frag_keyframe+empty_moov"}) as output:
        write = add_pictures(output, codec="libx264")
        second = output.add_stream("png", rate=25)
        second.width, second.height, second.pix_fmt = 32, 32, "rgb24"
        output.mux(second.encode(av.VideoFrame.from_ndarray(np.full((32, 32, 3), 77, np.uint8), "rgb24")))
        output.mux(second.encode(None))
        write()
    data = source.read_bytes().replace(b"mp4v", b"\0\0\0\1").replace(b"esds", b"free")
    source.write_bytes(data)  # a codec that no decoder is known for
    with av.open(str(source)) as film:
        assert film.streams.video[1].codec_context is None
    assert colour(source, tmp_path / "out.mkv").exit_code == 0
    assert "video track #1 (unknown) is left out" in caplog.text


@pytest.mark.parametrize(("codec", "pix_fmt"), [("png", "rgb24"), ("mjpeg", "yuvj420p")])
def test_cover_art_is_kept(codec, pix_fmt, tmp_path):
    source = add_cover(tmp_path / "in.mp4", codec, pix_fmt)
    picture = cover_of(source)
    for first, second in (("in.mp4", "a.mp4"), ("in.mp4", "b.mkv"), ("b.mkv", "c.mkv"), ("c.mkv", "d.mp4")):
        carry(tmp_path / first, tmp_path / second)
        assert cover_of(tmp_path / second) == picture
    with av.open(str(tmp_path / "c.mkv")) as film:
        (cover,) = film.streams.video[1:]
        kind = {"png": ("cover.png", "image/png"), "mjpeg": ("cover.jpg", "image/jpeg")}[codec]
        assert (cover.metadata["filename"], cover.metadata["mimetype"]) == kind


def test_the_title_of_a_cover_is_kept(tmp_path):
    carry(add_cover(tmp_path / "in.mp4"), tmp_path / "a.mkv")
    for source, target, title in (("a", "b", "Front of the box"), ("b", "c", None)):
        with av.open(str(tmp_path / f"{source}.mkv")) as film, av.open(str(tmp_path / "x.mkv"), "w") as out:
            video = out.add_stream_from_template(film.streams.video[0])
            cover = next(s for s in film.streams.video if s.disposition & Disposition.attached_pic)
            kept = out.add_attachment("front.png", "image/png", cover_of(tmp_path / f"{source}.mkv"))
            kept.metadata["title"] = title or cover.metadata["title"]
            for packet in film.demux(video=0):
                packet.stream = video
                if packet.size:
                    out.mux(packet)
        carry(tmp_path / "x.mkv", tmp_path / f"{target}.mkv")
    with av.open(str(tmp_path / "c.mkv")) as film:
        cover = next(s for s in film.streams.video if s.disposition & Disposition.attached_pic)
        assert (cover.metadata["title"], cover.metadata["filename"]) == ("Front of the box", "front.png")


def test_cover_art_becomes_a_track_of_mov(tmp_path, caplog):
    source = add_cover(tmp_path / "in.mp4")
    carry(source, tmp_path / "out.mov")
    assert packets(tmp_path / "out.mov", "video", 1) == [cover_of(source)]
    assert "mov has no place for a cover" in caplog.text


def test_another_picture_is_copied(tmp_path):
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as output:
        for write in [add_pictures(output), add_pictures(output, codec="libx264", preset="veryfast", bf="2")]:
            write()
    for suffix in (".mkv", ".mp4"):
        carry(source, tmp_path / f"out{suffix}")
        assert len(packets(tmp_path / f"out{suffix}", "video", 1)) == 50
        with av.open(str(tmp_path / f"out{suffix}")) as film:
            shown = [f.pts * f.time_base for f in film.decode(film.streams.video[1])]
        assert shown == [Fraction(k, FPS) for k in range(50)]


def test_another_picture_of_few_frames_is_copied_whole(tmp_path):
    source, few = tmp_path / "in.mkv", {"codec": "libx264", "preset": "veryfast", "bf": "2"}
    with av.open(str(source), "w") as output:
        for write in [add_pictures(output), add_pictures(output, 3, **few)]:
            write()
    with av.open(str(source)) as film:  # so short that Matroska's demuxer knows no decode time of it
        assert [p.dts for p in film.demux(film.streams.video[1]) if p.size] == [None] * 3
    carry(source, tmp_path / "out.mkv")
    assert packets(tmp_path / "out.mkv", "video", 1) == packets(source, "video", 1)


def test_a_second_picture_begins_with_a_key_frame_after_the_start(tmp_path):
    with av.open(str(tmp_path / "in.mkv"), "w") as output:
        for write in [add_pictures(output), add_pictures(output, g="12")]:
            write()
    with av.open(str(tmp_path / "in.mkv")) as film:
        packets = [p for p in film.demux(film.streams.video[1]) if p.size and p.pts * p.time_base >= 1]
        key = next(p for p in packets if p.is_keyframe)
        assert key is not packets[0]
        wanted = bytes(key)
    colour(tmp_path / "in.mkv", tmp_path / "out.mkv", start=Fraction(1))
    with av.open(str(tmp_path / "out.mkv")) as film:
        assert bytes(next(film.demux(film.streams.video[1]))) == wanted


def test_a_second_picture_without_a_key_frame_after_the_start_is_named(tmp_path, caplog):
    with av.open(str(tmp_path / "in.mkv"), "w") as output:
        for write in [add_pictures(output), add_pictures(output, g="300")]:
            write()
    with av.open(str(tmp_path / "in.mkv")) as film:
        last = max(p.pts * p.time_base for p in film.demux(film.streams.video[1]) if p.size and p.is_keyframe)
    colour(tmp_path / "in.mkv", tmp_path / "out.mkv", start=last + Fraction(1, 100))
    assert "video track #1 (mpeg4): nothing of it is kept: it has no key frame in the span" in caplog.text


def test_a_cover_is_attached_once_and_before_the_header_is_written(tmp_path, caplog):
    with av.open(str(make(tmp_path / "in.mkv"))) as film, av.open(io.BytesIO(), "w", "matroska") as output:
        for begun, attached in ((False, 1), (True, 1)):
            cover = CoverAttachment(output, film.streams.video[0], lambda begun=begun: begun)
            for _ in range(2):
                cover.write(av.Packet(b"a picture"))
            cover.finish()
            assert len(output.streams) == attached
            assert ("left out: it came after the file had begun" in caplog.text) == begun


def test_timecode_track_is_made_anew(tmp_path, caplog):
    source = tmp_path / "in.mov"
    with av.open(str(source), "w") as output:
        write = add_pictures(output)
        output.streams[0].metadata["timecode"] = "01:02:03:04"
        write()
    for suffix in (".mov", ".mp4"):
        carry(source, tmp_path / f"out{suffix}", encode=True)
        with av.open(str(tmp_path / f"out{suffix}")) as film:
            (track,) = film.streams.data
            assert track.metadata["timecode"] == "01:02:03:04"
    assert "timecode" not in caplog.text and "cannot hold" not in caplog.text
    assert missing_keys("mp4", {"timecode": "01:02:03:04", "mood": "blue"}, track=False) == ["mood"]
    carry(source, tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as film:
        assert film.streams.video[0].metadata["TIMECODE"] == "01:02:03:04"
    assert "becomes a tag of the picture" in caplog.text


def test_the_name_of_a_reel_goes_with_its_timecode(tmp_path, caplog):
    source = tmp_path / "in.mov"
    with av.open(str(source), "w") as output:
        write = add_pictures(output)
        output.streams[0].metadata.update(timecode="01:02:03:04", reel_name="R1")
        write()
    carry(source, tmp_path / "out.mov", encode=True)
    with av.open(str(tmp_path / "out.mov")) as film:
        assert film.streams.data[0].metadata["reel_name"] == "R1"
    assert "reel" not in caplog.text
    for target in ("out.mkv", "out.mp4", "out.avi"):
        caplog.clear()
        colour(source, tmp_path / target)
        assert "the reel's name, R1, is left out" in caplog.text
        named = "timecode 01:02:03:04 is left out: avi cannot hold it; the reel's name" in caplog.text
        assert named == (target == "out.avi")
        assert ("becomes a tag of the picture: 01:02:03:04; the reel" in caplog.text) == (target == "out.mkv")


@pytest.mark.parametrize(("start", "expected"), [("0.39", 10), ("0.41", 11), ("0.43", 11), ("0.44", 11)])
def test_timecode_is_that_of_the_first_frame_written(start, expected, tmp_path):
    with av.open(str(tmp_path / "in.mov"), "w") as output:
        write = add_pictures(output)
        output.streams[0].metadata["timecode"] = "01:00:00:00"
        write()
    colour(tmp_path / "in.mov", tmp_path / "out.mov", start=Fraction(start))
    with av.open(str(tmp_path / "out.mov")) as film:
        assert film.streams.data[0].metadata["timecode"] == f"01:00:00:{expected}"


@pytest.mark.parametrize("target", ["out.mkv", "out.mov"])
@pytest.mark.parametrize("place", ["file", "picture"])
def test_a_timecode_that_is_a_tag_moves_with_the_start(place, target, tmp_path):
    with av.open(str(tmp_path / "in.mkv"), "w") as output:
        write = add_pictures(output)
        (output if place == "file" else output.streams[0]).metadata["TIMECODE"] = "01:00:00:00"
        write()
    colour(tmp_path / "in.mkv", tmp_path / target, start=Fraction(1))
    with av.open(str(tmp_path / target)) as film:
        tags = [film.metadata, *(stream.metadata for stream in film.streams)]
        found = {value for tag in tags for key, value in tag.items() if key.lower() == "timecode"}
    assert found == {"01:00:01:00"}


def test_a_second_picture_is_named(tmp_path, caplog):
    with av.open(str(tmp_path / "in.mkv"), "w") as output:
        for write in [add_pictures(output), add_pictures(output)]:
            write()
    colour(tmp_path / "in.mkv", tmp_path / "out.mkv")
    assert "video track #1 (mpeg4) is copied as it is" in caplog.text


def test_timecode_advances_by_drop_frame_rules():
    rate = Fraction(30_000, 1001)
    assert advance_timecode("00:00:59;29", rate, 1 / rate) == "00:01:00;02"
    assert advance_timecode("00:09:59;29", rate, 1 / rate) == "00:10:00;00"
    assert advance_timecode("00:00:00;00", rate, Fraction(3600)) == "01:00:00;00"
    assert advance_timecode("23:59:59:24", Fraction(25), Fraction(1, 25)) == "00:00:00:00"


@pytest.mark.parametrize(("fps", "drop", "mark"), [(30, 2, ";"), (60, 4, "."), (24, 0, ":")])
def test_a_timecode_advances_as_one_counts(fps, drop, mark):
    rate = Fraction(1000 * fps, 1001)
    seconds = [*range(3), *range(57, 63), *range(597, 603), *range(719, 723)]
    left_out = [(s, f) for s in seconds for f in range(drop) if s % 60 == 0 and s % 600]
    labels = [(s, f) for s in seconds for f in range(fps) if (s, f) not in left_out]
    frames = [s * fps + f - drop * (s // 60 - s // 600) for s, f in labels]
    written = [f"23:{s // 60:02}:{s % 60:02}{mark}{f:02}" for s, f in labels]
    for begin in (0, 7, 5 * fps, len(labels) // 2):
        for place in range(begin + 1, len(labels)):
            later = (frames[place] - frames[begin]) / rate
            assert advance_timecode(written[begin], rate, later) == written[place]


def test_a_timecode_that_is_none_stays_as_it_is():
    assert advance_timecode("noon", Fraction(25), Fraction(1)) == "noon"
    assert not timecode_fits("noon", Fraction(25)) and not timecode_fits("01:00:00:00", None)


@pytest.mark.parametrize(
    "rate", [Fraction(1, 3), Fraction(25), Fraction(30_000, 1001), Fraction(60), Fraction(255), Fraction(256)]
)
def test_a_timecode_fits_where_a_track_is_made_of_it(rate):
    for timecode in ("01:00:00:00", "01:00:00;00"):
        target = io.BytesIO()
        try:
            with av.open(target, "w", format="mov") as output:
                stream = output.add_stream("mpeg4", rate=rate)
                stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
                stream.metadata["timecode"] = timecode
                output.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
            target.seek(0)
            with av.open(target) as film:
                made = bool(film.streams.data)
        except av.FFmpegError:
            made = False
        assert timecode_fits(timecode, rate) == made


def make_telemetry(path: Path) -> Path:
    with av.open(str(path), "w") as output:
        write = add_pictures(output)
        track = output.add_data_stream("klv")
        track.time_base = Fraction(1, 90_000)
        write()
        packet = av.Packet(b"\x06\x0e\x2b\x34" + bytes(28))
        packet.stream, packet.pts, packet.dts, packet.time_base = track, 0, 0, Fraction(1, 90_000)
        output.mux(packet)
    return path


def test_data_track_is_copied_or_named(tmp_path, caplog):
    source = make_telemetry(tmp_path / "in.ts")
    carry(source, tmp_path / "out.ts")
    assert packets(tmp_path / "out.ts", "data") == packets(source, "data")
    assert not caplog.records
    carry(source, tmp_path / "out.mkv")
    assert "data track #1 (klv) is left out" in caplog.text


@pytest.mark.parametrize("codec", ["aac", "mp2", "ac3"])
def test_a_film_called_m2ts_has_sound_of_a_blu_ray(codec, tmp_path, caplog):
    make_film(tmp_path / "in.ts", audio=codec)
    colour(tmp_path / "in.ts", tmp_path / "out.m2ts")
    with av.open(str(tmp_path / "out.m2ts")) as film:
        assert film.streams.audio[0].codec_context.name == "ac3"
    assert caplog.text.count("re-encoded with ac3 for m2ts") == (codec != "ac3")
    caplog.clear()
    colour(tmp_path / "in.ts", tmp_path / "none.m2ts", format="webm")  # the muxer counts, not the name alone
    assert "for webm" in caplog.text
    if codec == "ac3":
        assert packets(tmp_path / "out.m2ts", "audio") == packets(tmp_path / "in.ts", "audio")


@pytest.mark.parametrize("kind", ["klv", "dvb_subtitle", "mpeg2video"])
def test_what_a_film_called_m2ts_has_no_place_for_is_left_out_and_named(kind, tmp_path, caplog):
    with av.open(str(tmp_path / "in.ts"), "w") as output:
        write = add_pictures(output, 6, "mpeg2video")
        if kind == "mpeg2video":
            more = add_pictures(output, 6, kind)
        else:
            track = output.add_data_stream(kind) if kind == "klv" else output.add_mux_stream(kind)
        write()
        if kind == "mpeg2video":
            more()
        else:
            packet = av.Packet(bytes.fromhex("0f1000010002051 00f8000010000".replace(" ", "")))
            packet.stream, packet.pts, packet.dts, packet.time_base = track, 0, 0, Fraction(1, 90_000)
            output.mux(packet)
    result = colour(tmp_path / "in.ts", tmp_path / "out.m2ts")
    assert result.frames == 6
    assert f"track #1 ({kind}) is left out: m2ts cannot hold it" in caplog.text
    caplog.clear()
    colour(tmp_path / "in.ts", tmp_path / "out.ts")
    assert "left out" not in caplog.text


def test_what_mxf_says_of_the_old_file_goes_without_a_line(tmp_path, caplog):
    source = make_film(tmp_path / "a.mxf", frames=5, codec="mpeg2video", size=(128, 96))
    with av.open(str(source)) as film:
        assert {"uid", "product_uid", "material_package_umid"} <= film.metadata.keys()
    for target in ("b.mxf", "b.mov"):
        colour(source, tmp_path / target)
    assert "no place" not in caplog.text


def test_stale_metadata_goes_and_other_metadata_stays(tmp_path):
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as output:
        output.metadata.update({"title": "Film", "REEL": "7", "encoder": "old", "major_brand": "xyz"})
        write = add_pictures(output)
        output.streams[0].metadata.update(
            {"BPS-eng": "12", "NUMBER_OF_FRAMES": "99999", "_STATISTICS_TAGS": "BPS", "encoder": "old"}
        )
        write()
    for suffix in (".mp4", ".mkv"):
        carry(source, tmp_path / f"out{suffix}")
        with av.open(str(tmp_path / f"out{suffix}")) as film:
            found = film.metadata | film.streams[0].metadata
        assert (found["title"], found["REEL"]) == ("Film", "7")
        assert not {"BPS-eng", "NUMBER_OF_FRAMES", "_STATISTICS_TAGS"} & set(found)
        assert not {"old", "xyz"} & set(found.values())


def test_copy_is_refused_with_the_choices(tmp_path):
    source = make(tmp_path / "in.mkv", sound=("ac3",))
    with pytest.raises(UsageError, match=r"webm cannot hold audio track #1 \(ac3, deu\).*libopus.*none.*mkv"):
        carry(source, tmp_path / "out.webm", audio="copy")


@pytest.mark.parametrize(
    "name, words", [("nonsense", "no encoder"), ("libx264", "not sound"), ("ac3", "webm")]
)
def test_an_encoder_that_cannot_serve_is_refused(tmp_path, name, words):
    source = make(tmp_path / "in.mkv", sound=("ac3",))
    with pytest.raises(UsageError, match=words):
        carry(source, tmp_path / "out.webm", audio=name)


def test_no_sound_on_request_and_every_track_by_name(tmp_path):
    source = make(tmp_path / "in.mkv", sound=("ac3", "aac"))
    carry(source, tmp_path / "none.mkv", audio="none")
    carry(source, tmp_path / "flac.mkv", audio="flac")
    with av.open(str(tmp_path / "none.mkv")) as none, av.open(str(tmp_path / "flac.mkv")) as flac:
        assert not none.streams.audio
        assert [s.codec_context.name for s in flac.streams.audio] == ["flac", "flac"]


def test_re_encoding_is_said_in_one_line_a_track(tmp_path, caplog):
    carry(make(tmp_path / "in.mkv", sound=("ac3", "ac3")), tmp_path / "out.webm")
    lines = [r.getMessage() for r in caplog.records if "re-encoded" in r.getMessage()]
    assert [("#1" in a, "#2" in a, "libopus" in a) for a in lines] == [
        (True, False, True),
        (False, True, True),
    ]


def test_y4m_says_that_it_holds_no_sound(tmp_path, caplog):
    carry(make(tmp_path / "in.mkv"), tmp_path / "out.y4m")
    assert [r.getMessage().startswith("y4m holds the picture only") for r in caplog.records] == [True]
    assert "chapters" not in caplog.text
    caplog.clear()
    with av.open(str(make(tmp_path / "plain.mkv", chapters=True))) as film:
        film.metadata["title"] = "Titel"
        with av.open(str(tmp_path / "out.y4m"), "w", format="yuv4mpegpipe") as output:
            remuxer = Remuxer(film, output, film.streams.video[0], RemuxSettings(audio="none"))
            remuxer.add_streams(lambda: output.add_stream("wrapped_avframe", rate=FPS))
    assert caplog.messages == ["y4m holds the picture only; left out: metadata title, 2 chapters"]
    caplog.clear()
    carry(make(tmp_path / "mute.mkv", sound=()), tmp_path / "mute.y4m")
    assert not caplog.records


class Feed:
    """A remuxer of one copied sound track whose packets a test makes up."""

    def __init__(self, tmp_path: Path, buffer: io.BytesIO, format_name: str = "matroska") -> None:
        self.source = av.open(str(make(tmp_path / "in.mkv", sound=("ac3",))))
        self.output = av.open(buffer, "w", format=format_name)
        picture = self.source.streams.video[0]
        self.remuxer = Remuxer(self.source, self.output, picture, RemuxSettings())
        self.video = self.remuxer.add_streams(lambda: add_coloured(self.output, picture, format_name))

    def sound(self) -> list[av.Packet]:
        return [p for p in self.source.demux(self.source.streams.audio[0]) if p.size]

    def close(self) -> None:
        self.remuxer.finish()
        self.output.close()
        self.source.close()


@pytest.mark.parametrize("format_name", ["matroska", "mp4", "mpegts"])
def test_decode_times_that_run_backwards_are_moved_with_one_warning(tmp_path, caplog, format_name):
    buffer = io.BytesIO()
    feed = Feed(tmp_path, buffer, format_name)
    track = feed.sound()
    for number in (10, 20):
        track[number].dts -= 100
        track[number].pts -= 100
    for packet in track:
        feed.remuxer.write(packet)
    feed.close()
    assert [r.getMessage() for r in caplog.records if "backwards" in r.getMessage()] == [
        "audio track #1 (ac3, deu): 2 decode times ran backwards and were moved"
    ]
    with av.open(io.BytesIO(buffer.getvalue())) as film:
        assert sum(1 for p in film.demux(audio=0) if p.size) == len(track)


def test_packets_without_timestamps_follow_one_another(tmp_path):
    buffer = io.BytesIO()
    feed = Feed(tmp_path, buffer, "mp4")
    for packet in feed.sound():
        packet.pts = packet.dts = None
        feed.remuxer.write(packet)
    feed.close()
    with av.open(io.BytesIO(buffer.getvalue())) as film:
        found = [p.pts * p.time_base for p in film.demux(audio=0) if p.size]
    assert found == pytest.approx([k * 0.032 for k in range(len(found))], abs=0.002)


def test_a_sparse_track_does_not_hold_up_the_others(tmp_path):
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as output:
        write = add_pictures(output, frames=1000)
        words = output.add_mux_stream("subrip", time_base=Fraction(1, 1000))
        packet = av.Packet(b"only line")
        packet.stream, packet.pts, packet.dts, packet.duration = words, 0, 0, 500
        packet.time_base = Fraction(1, 1000)
        output.mux(packet)
        write()
    buffer = io.BytesIO()
    with av.open(str(source)) as film, av.open(buffer, "w", format="matroska") as output:
        picture = film.streams.video[0]
        remuxer = Remuxer(film, output, picture, RemuxSettings())
        video = remuxer.add_streams(lambda: add_coloured(output, picture, "matroska"))
        written = 0
        for packet in film.demux():
            if packet.stream.index != picture.index:
                remuxer.write(packet)
            elif packet.size:
                written += packet.size
                packet.stream = video
                remuxer.write_video([packet])
        # 40 seconds went in; no more than the muxer's 10 seconds of patience may still wait.
        assert buffer.tell() > written * 0.6
        remuxer.finish()


def test_packets_of_left_out_tracks_and_ends_of_streams_are_ignored(tmp_path):
    buffer = io.BytesIO()
    feed = Feed(tmp_path, buffer)
    everything = list(feed.source.demux(audio=0))
    assert everything[-1].size == 0
    for packet in [everything[-1], *everything]:
        feed.remuxer.write(packet)
    feed.close()
    with av.open(io.BytesIO(buffer.getvalue())) as film:
        assert sum(1 for p in film.demux(audio=0) if p.size) == len(everything) - 1


def test_the_library_logs_and_the_chapter_track_is_known_by_its_discard_mark(tmp_path):
    source = make(tmp_path / "in.mp4", chapters=True)
    with av.open(str(source)) as film:
        assert [s.discard for s in film.streams if s.type == "data"] == [Discard.all]
    assert logging.getLogger("vidcolor.stages.remux").handlers == []


def test_priming_does_not_delay_sound_where_files_begin_at_zero(tmp_path):
    source = make(tmp_path / "in.mp4")
    carry(source, tmp_path / "out.avi")
    # The first packet holds only what lies before zero; avi would play it first and everything later.
    assert packets(tmp_path / "out.avi", "audio") == packets(source, "audio")[1:]


def test_sound_that_starts_late_is_padded_for_avi(tmp_path, caplog):
    source = tmp_path / "in.mkv"
    carry(make(tmp_path / "whole.mkv", sound=("pcm_s16le",)), source)
    with av.open(str(tmp_path / "whole.mkv")) as film, av.open(str(source), "w") as output:
        streams = [output.add_stream_from_template(s, opaque=True) for s in film.streams]
        for packet in film.demux():
            if packet.size:
                late = 1000 if packet.stream.type == "audio" else 0
                packet.stream = streams[packet.stream.index]
                packet.pts, packet.dts = packet.pts + late, (packet.dts or packet.pts) + late
                output.mux(packet)
    carry(source, tmp_path / "out.avi")
    sound = b"".join(packets(tmp_path / "out.avi", "audio"))
    assert not any(sound[: RATE * 4 - 400])  # a second of silence, stereo of 16 bits
    assert any(sound[RATE * 4 : RATE * 4 + 4000])
    assert "re-encoded with pcm_s16le for avi" in caplog.text


def test_avi_is_given_lossless_sound_as_pcm(tmp_path, caplog):
    source = make(tmp_path / "in.mkv", sound=("flac",))
    carry(source, tmp_path / "out.avi")
    assert "(flac, deu) is re-encoded with pcm_s16le for avi" in caplog.text
    sounds = []
    for name in ("in.mkv", "out.avi"):
        with av.open(str(tmp_path / name)) as film:
            frames = [f.to_ndarray().reshape(-1, f.layout.nb_channels) for f in film.decode(audio=0)]
            sounds.append(np.concatenate(frames))
    assert len(sounds[0]) == len(sounds[1])
    np.testing.assert_array_equal(*sounds)


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_data_of_which_mov_would_not_tell_what_it_is_is_named(tmp_path, caplog, suffix):
    carry(make_telemetry(tmp_path / "in.ts"), tmp_path / f"out.{suffix}")
    assert f"data track #1 (klv) is left out: {suffix} cannot hold it" in caplog.text
    with av.open(str(tmp_path / "in.mp4"), "w") as output:
        write = add_pictures(output)
        track = output.add_data_stream("bin_data")
        write()
        for begin in (0, 1000):
            packet = av.Packet(b"GoPro")
            packet.stream, packet.time_base, packet.pts, packet.dts = track, Fraction(1, 1000), begin, begin
            packet.duration = 1000
            output.mux(packet)
    caplog.clear()
    carry(tmp_path / "in.mp4", tmp_path / f"out.{suffix}")
    assert packets(tmp_path / f"out.{suffix}", "data") == [b"GoPro"] * 2
    assert "left out" not in caplog.text


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_data_that_mov_leaves_out_in_silence_is_named(tmp_path, caplog, suffix):
    with av.open(str(tmp_path / "in.ts"), "w") as output:
        picture = output.add_stream("mpeg2video", rate=25)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        track = output.add_data_stream("timed_id3")
        for index in range(6):
            output.mux(picture.encode(grey_frame(64, 48, "yuv420p", index)))
            packet = av.Packet(b"ID3\4\0\0\0\0\0\0")
            packet.stream, packet.time_base, packet.pts, packet.dts = track, Fraction(1, 25), index, index
            output.mux_one(packet)
        output.mux(picture.encode(None))
    carry(tmp_path / "in.ts", tmp_path / f"out.{suffix}")
    assert f"data track #1 (timed_id3) is left out: {suffix} cannot hold it" in caplog.text


def test_pcm_goes_into_mp4_only_on_request(tmp_path):
    source = make(tmp_path / "in.mkv", sound=("pcm_s16le",))
    carry(source, tmp_path / "auto.mp4")
    carry(source, tmp_path / "copy.mp4", audio="copy")
    with av.open(str(tmp_path / "auto.mp4")) as auto, av.open(str(tmp_path / "copy.mp4")) as copy:
        assert auto.streams.audio[0].codec_context.name == "aac"
        assert copy.streams.audio[0].codec_context.name == "pcm_s16le"
    assert b"".join(packets(tmp_path / "copy.mp4", "audio")) == b"".join(packets(source, "audio"))


@pytest.mark.parametrize("place", ["options", "container_options"])
def test_flags_of_the_caller_survive_beside_those_for_metadata(tmp_path, place):
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as output:
        output.metadata["REEL"] = "7"
        add_pictures(output)()
    buffer = io.BytesIO()
    flags = {place: {"movflags": "frag_keyframe+delay_moov"}}
    with av.open(str(source)) as film, av.open(buffer, "w", format="mp4", **flags) as output:
        picture = film.streams.video[0]
        remuxer = Remuxer(film, output, picture, RemuxSettings())
        video = remuxer.add_streams(lambda: add_coloured(output, picture, "mp4"))
        for packet in film.demux(picture):
            if packet.size:
                packet.stream = video
                packet.dts = packet.pts
                remuxer.write_video([packet])
        remuxer.finish()
    assert b"moof" in buffer.getvalue()
    with av.open(io.BytesIO(buffer.getvalue())) as film:
        assert film.metadata["REEL"] == "7"


@pytest.mark.parametrize("format_name", ["mp4", "mov", "matroska", "webm", "avi"])
def test_the_muxer_is_told_to_leave_negative_times_alone(format_name):
    assert traits_of(format_name).options == {"avoid_negative_ts": "disabled"}
    assert traits_of("mpegts").options == {}


def test_marks_of_a_track_that_have_no_place_are_named(tmp_path, caplog):
    carry(make(tmp_path / "in.mkv", sound=("ac3", "ac3")), tmp_path / "out.mov")
    assert "audio track #2 (ac3, fra): mov has no place for comment" in caplog.text


@pytest.mark.parametrize(("kind", "kept"), [(Disposition.attached_pic, True), (Disposition(0), False)])
def test_a_cover_belongs_to_every_span(kind, kept):
    stream = SimpleNamespace(disposition=kind)
    packet = SimpleNamespace(pts=0, dts=0, time_base=Fraction(1, 1000), stream=stream)
    assert Clock(start=Fraction(2)).keeps(packet) == kept


@pytest.mark.parametrize(("flags", "held"), [("faststart", True), ("frag_keyframe+empty_moov", False)])
def test_fragments_hold_no_cover(flags, held, tmp_path):
    with av.open(str(tmp_path / "out.mp4"), "w", options={"movflags": flags}) as output:
        assert holds_covers(output) == held
        add_pictures(output, frames=1)()


@pytest.mark.parametrize(
    ("source", "sound", "target", "said"),
    [
        ("mkv", "mp2", "avi", True),
        ("mp4", "aac", "avi", True),  # mp4 has the packet before the hole last until its end
        ("mkv", "pcm_s16le", "mov", True),
        ("mkv", "mp2", "ts", False),
        ("mp4", "aac", "mov", False),
    ],
)
def test_holes_in_sound_are_named_where_the_container_closes_them(
    source, sound, target, said, tmp_path, caplog
):
    whole = make_film(tmp_path / f"whole.{source}", frames=50, audio=sound)
    film = tmp_path / f"film.{source}"
    with av.open(str(whole)) as old, av.open(str(film), "w") as out:
        streams = {s.index: out.add_stream_from_template(s) for s in old.streams}
        for packet in old.demux():
            sounds = packet.stream.type == "audio"
            if packet.size and not (sounds and 0.5 <= packet.pts * packet.time_base < 1.2):
                packet.stream = streams[packet.stream_index]
                out.mux(packet)
    for name in (whole, film):
        caplog.clear()
        colour(name, tmp_path / f"out.{target}", overwrite=True)
        lines = [line for line in caplog.messages if "has holes" in line]
        assert len(lines) == (said and name == film)
        assert all(re.search(r"up to 0\.[67]\d\d s early", line) for line in lines)


def test_flac_in_wmv_would_be_read_late_and_is_re_encoded(tmp_path, caplog):
    source = make_film(tmp_path / "a.mkv", frames=75, audio="flac")
    colour(source, tmp_path / "b.wmv")
    assert any("is re-encoded with wmav2 for wmv" in line for line in caplog.messages)
    with av.open(str(tmp_path / "b.wmv")) as film:
        times = [float(p.pts * p.time_base) for p in film.demux(audio=0) if p.size and p.pts is not None]
    assert max(b - a for a, b in pairwise(times)) < 0.5
