"""Text subtitles survive a change of container; pictures of text are named when they cannot."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import pytest
from quick import colour, quickly

from vidcolor.job import colorize
from vidcolor.media.packets import PacketWriter
from vidcolor.media.subtitles import Overlaps, Piece
from vidcolor.media.traits import traits_of
from vidcolor.options import Options
from vidcolor.stages.remux import Remuxer, RemuxSettings

LINES = ["Grüße aus Köln\nzweite Zeile", "日本語の字幕"]
MILLI = Fraction(1, 1000)
HEADER = b"""[Script Info]
ScriptType: v4.00+
PlayResX: 384
PlayResY: 288

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, \
Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, \
MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0
Style: Sign,Arial,30,&H0000ff,&Hffffff,&H0,&H0,-1,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


def add_pictures(output):
    stream = output.add_stream("mpeg4", rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"

    def write() -> None:
        for index in range(75):
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([90]) * plane.buffer_size)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))

    return write


def make(
    path: Path,
    codec: str,
    payloads: list[bytes],
    language: str = "jpn",
    times: Sequence[tuple[int, int]] = ((500, 800), (1500, 800), (2500, 800)),
) -> Path:
    """Write a picture of 3 seconds and lines, by default at 0.5 and 1.5 seconds, that stay for 0.8."""
    with av.open(str(path), "w") as output:
        write = add_pictures(output)
        if codec == "ass":
            words = output.add_stream("ass")
            words.codec_context.subtitle_header = HEADER
            words.codec_context.time_base = MILLI
        else:
            words = output.add_mux_stream(codec)
        words.time_base = MILLI
        words.metadata["language"] = language
        write()
        for payload, (begin, duration) in zip(payloads, times, strict=False):
            packet = av.Packet(payload)
            packet.stream, packet.time_base = words, MILLI
            packet.pts = packet.dts = begin
            packet.duration = duration
            output.mux(packet)
    return path


def carry(source: Path, target: Path) -> None:
    name = {".mkv": "matroska"}.get(target.suffix, target.suffix[1:])
    with (
        av.open(str(source)) as film,
        av.open(str(target), "w", format=name, options=traits_of(name).options) as output,
    ):
        picture = film.streams.video[0]
        remuxer = Remuxer(film, output, picture, RemuxSettings())

        def add_video():
            if name != "webm":
                return output.add_stream_from_template(picture, opaque=True)
            video = output.add_stream("libvpx", rate=25)
            video.width, video.height = 64, 48
            return video

        video = remuxer.add_streams(add_video)
        for packet in film.demux():
            if packet.stream.index != picture.index:
                remuxer.write(packet)
            elif packet.size and name != "webm":
                packet.stream = video
                packet.dts = packet.pts
                remuxer.write_video([packet])
        remuxer.finish()


def spoken(path: Path) -> list[tuple[float, str]]:
    """Return when each line begins (seconds), and its words without markup."""
    found = []
    with av.open(str(path)) as film:
        track = film.streams.subtitles[0]
        for packet in film.demux(track):
            if not packet.size:
                continue
            words = track.codec_context.decode2(packet)
            if words is not None and len(words) and words[0].dialogue:
                found.append((float(packet.pts * packet.time_base), words[0].dialogue.decode()))
    return found


@pytest.mark.parametrize(
    "suffix, codec", [(".mp4", "mov_text"), (".mov", "mov_text"), (".webm", "webvtt"), (".mkv", "subrip")]
)
def test_words_and_times_survive(tmp_path, suffix, codec):
    source = make(tmp_path / "in.mkv", "subrip", [line.encode() for line in LINES])
    carry(source, tmp_path / f"out{suffix}")
    assert [words for _, words in spoken(tmp_path / f"out{suffix}")] == LINES
    assert [at for at, _ in spoken(tmp_path / f"out{suffix}")] == pytest.approx([0.5, 1.5], abs=0.002)
    with av.open(str(tmp_path / f"out{suffix}")) as film:
        assert film.streams.subtitles[0].codec_context.codec.canonical_name == codec
        assert film.streams.subtitles[0].language == "jpn"


@pytest.mark.parametrize("target", ["out.mkv", "out.mp4", "-"])
def test_a_line_on_the_screen_at_the_start_is_shown_from_there_on(tmp_path, target, caplog):
    source = make(tmp_path / "in.mkv", "subrip", [line.encode() for line in LINES])
    out = tmp_path / target.replace("-", "pipe.mkv")
    if target == "-":
        given = Options(start=Fraction(1), render_size=32, device="cpu", engine="torch")
        with open(out, "wb") as file, quickly():
            colorize(source, "-", given, output_fd=file.fileno())
    else:
        colour(source, out, start=Fraction(1))
    assert ("may be missing" in caplog.text) == (target == "-")  # where it is not read from its beginning
    assert [words for _, words in spoken(out)] == LINES
    assert [at for at, _ in spoken(out)] == pytest.approx([0.0, 0.5], abs=0.002)
    with av.open(str(out)) as film:
        durations = [float(p.duration * p.time_base) for p in film.demux(subtitles=0) if p.size > 2]
    assert durations[0] == pytest.approx(0.3, abs=0.002)


def test_a_line_on_the_screen_at_the_end_ends_with_it(tmp_path):
    source = make(tmp_path / "in.mkv", "subrip", [b"short", b"long"], times=((100, 200), (500, 8000)))
    colour(source, tmp_path / "out.mkv", duration=Fraction(1))
    with av.open(str(tmp_path / "out.mkv")) as film:
        lines = [(p.pts, p.duration) for p in film.demux(subtitles=0) if p.size > 2]
        assert lines == [(100, 200), (500, 500)]
        assert film.duration <= 1_050_000  # microseconds


def caption(*words: bytes) -> bytes:
    """CTA-608 of field 1: clear, load, place, write, show; characters have odd parity."""
    parity = [bytes(c | (bin(c).count("1") % 2 == 0) << 7 for c in word) for word in words]
    codes = [b"\x94\xae", b"\x94\x20", b"\x94\x70", *parity, b"\x94\x2c", b"\x94\x2f"]
    return b"".join(b"\xfc" + code for code in codes)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_captions_of_a_track_keep_their_times_and_the_last_one(tmp_path, suffix):
    lines = [caption(b"HE", b"Y "), caption(b"WO", b"RD"), caption(b"EN", b"D ")]
    source = make(tmp_path / "in.mov", "eia_608", lines, times=((500, 500), (1000, 1000), (2000, 500)))
    carry(source, tmp_path / f"out{suffix}")
    plain = ((at, re.sub(r"\{.*?\}", "", words).strip()) for at, words in spoken(tmp_path / f"out{suffix}"))
    found = [(at, words) for at, words in plain if words]
    assert [words for _, words in found] == ["HEY", "WORD", "END"]
    assert [at for at, _ in found] == pytest.approx([0.5, 1.0, 2.0], abs=0.002)


def test_mov_text_becomes_subrip_in_mkv(tmp_path):
    source = make(tmp_path / "in.mkv", "subrip", [line.encode() for line in LINES])
    carry(source, tmp_path / "mid.mp4")
    carry(tmp_path / "mid.mp4", tmp_path / "out.mkv")
    assert spoken(tmp_path / "out.mkv") == spoken(source)
    with av.open(str(tmp_path / "out.mkv")) as film:
        assert film.streams.subtitles[0].codec_context.codec.canonical_name == "subrip"
        durations = [p.duration for p in film.demux(film.streams.subtitles[0]) if p.size]
    assert durations == [800, 800]


def test_styles_that_are_lost_are_said(tmp_path, caplog):
    events = [b"0,0,Default,,0,0,0,,{\\i1}schr\xc3\xa4g{\\i0}\\Nzwei", b"1,0,Default,,0,0,0,,drei"]
    source = make(tmp_path / "in.mkv", "ass", events)
    carry(source, tmp_path / "same.mkv")
    assert not caplog.records
    carry(source, tmp_path / "out.mp4")
    assert "styles are simplified" in caplog.text
    bare = [re.sub(r"\{[^}]*\}", "", words) for _, words in spoken(tmp_path / "out.mp4")]
    assert bare == ["schräg\nzwei", "drei"]


def test_text_is_copied_where_the_container_takes_it(tmp_path, caplog):
    source = make(tmp_path / "in.mkv", "subrip", [line.encode() for line in LINES])
    carry(source, tmp_path / "out.mkv")
    assert not caplog.records
    assert spoken(tmp_path / "out.mkv") == spoken(source)


@pytest.mark.parametrize(
    "codec, suffix",
    [
        ("hdmv_pgs_subtitle", ".mp4"),
        ("hdmv_pgs_subtitle", ".webm"),
        ("subrip", ".avi"),
        ("subrip", ".mpeg"),
        ("subrip", ".vob"),
    ],
)
def test_what_cannot_be_held_is_named(tmp_path, caplog, codec, suffix):
    source = make(tmp_path / "in.mkv", codec, [b"\x16\x00\x0b" + bytes(11) + b"\x80\x00\x00"], language="ita")
    carry(source, tmp_path / f"out{suffix}")
    lines = [r.getMessage() for r in caplog.records if "left out" in r.getMessage()]
    assert len(lines) == 1
    assert lines[0].startswith(f"subtitle track #1 ({codec}, ita) is left out")


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_lines_that_overlap_are_shown_together_where_one_ends_the_other(tmp_path, suffix):
    lines = [b"SIGN", b"one", b"two", b"other", b"three"]
    times = [(100, 2700), (500, 400), (1000, 400), (1000, 400), (2000, 400)]
    carry(make(tmp_path / "in.mkv", "subrip", lines, times=times), tmp_path / f"out{suffix}")
    assert spoken(tmp_path / f"out{suffix}") == [
        (pytest.approx(at, abs=0.001), words)
        for at, words in (
            (0.1, "SIGN"),
            (0.5, "SIGN\none"),
            (0.9, "SIGN"),
            (1.0, "SIGN\ntwo\nother"),
            (1.4, "SIGN"),
            (2.0, "SIGN\nthree"),
            (2.4, "SIGN"),
        )
    ]
    with av.open(str(tmp_path / f"out{suffix}")) as film:
        packets = [p for p in film.demux(subtitles=0) if p.size]
        assert packets[-1].pts * packets[-1].time_base < Fraction(29, 10)


def ass(words: str) -> bytes:
    return f"0,0,Default,,0,0,0,,{words}".encode()


def test_overlaps_are_cut_into_pieces():
    overlaps = Overlaps()
    assert overlaps.add(10, 5, [ass("a, b")]) == []
    assert overlaps.add(20, 10, [ass("c"), ass("c")]) == [Piece(10, 5, (ass("a, b"),))], (
        "not held to the next"
    )
    assert overlaps.add(25, 2, [ass("d, e")]) == [Piece(20, 5, (ass("c"),))], "the same words once"
    assert overlaps.finish() == [
        Piece(25, 2, (ass("c"), b"{\\rDefault}\\Nd, e")),
        Piece(27, 3, (ass("c"),)),
    ]
    assert overlaps.finish() == []


def test_a_line_without_an_end_stays_until_the_next():
    overlaps = Overlaps()
    assert overlaps.add(10, 0, [ass("a")]) == []
    assert overlaps.add(20, 0, [ass("b")]) == [Piece(10, 10, (ass("a"),))]
    assert overlaps.add(20, 0, [ass("c")]) == []
    assert overlaps.finish() == [Piece(20, 0, (ass("b"), b"{\\rDefault}\\Nc"))]
    assert overlaps.moved == 0, "two may begin together"


def test_lines_whose_times_run_backwards_are_moved():
    overlaps = Overlaps()
    assert overlaps.add(100, 20, [ass("a")]) == []
    assert overlaps.add(50, 10, [ass("b")]) == []
    assert overlaps.add(200, 5, [ass("c")]) == [
        Piece(100, 10, (ass("a"), b"{\\rDefault}\\Nb")),
        Piece(110, 10, (ass("a"),)),
    ]
    assert overlaps.moved == 1


def test_a_line_after_a_silence_of_hours_keeps_its_time(tmp_path):
    hour = 3_600_000
    times = [(1000, 2000), (hour, 2000), (9 * hour, 2000)]
    source = make(tmp_path / "in.mkv", "subrip", [b"one", b"two", b"three"], times=times)
    carry(source, tmp_path / "out.mp4")
    assert spoken(tmp_path / "out.mp4") == [(1.0, "one"), (3600.0, "two"), (9 * 3600.0, "three")]


def test_each_of_two_lines_has_its_own_style(tmp_path):
    source = make(
        tmp_path / "in.mkv",
        "ass",
        [b"0,0,Sign,,0,0,0,,SIGN", b"1,0,Default,,0,0,0,,hello"],
        times=[(500, 2000), (1000, 500)],
    )
    carry(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as film:
        track = film.streams.subtitles[0]
        shown = [track.codec_context.decode2(p) for p in film.demux(track) if p.size > 2]
    texts = [words[0].ass.decode() for words in shown if words is not None and len(words)]
    both = next(text for text in texts if "hello" in text)
    assert "SIGN" in both
    after = both[both.index("SIGN") :]
    assert re.search(r"\\b0|\\r", after[: after.index("hello")]), both


def test_pictures_of_text_that_a_ts_would_not_name_are_left_out(tmp_path, caplog):
    segment = bytes.fromhex("8000 00".replace(" ", ""))  # the end of a set, which shows nothing
    source = make(tmp_path / "in.mkv", "hdmv_pgs_subtitle", [segment])
    for name, kept in (("out.ts", 0), ("out.m2ts", 1), ("OUT.M2TS", 1)):
        with (
            av.open(str(source)) as film,
            av.open(str(tmp_path / name), "w", format="mpegts") as output,
        ):
            picture = film.streams.video[0]
            remuxer = Remuxer(film, output, picture, RemuxSettings(suffix=Path(name).suffix))
            remuxer.add_streams(lambda to=output, of=picture: to.add_stream_from_template(of, opaque=True))
            assert len(output.streams.subtitles) == kept
    assert (
        sum("mpegts cannot hold it" in line or "ts cannot hold it" in line for line in caplog.messages) == 1
    )


def test_that_nut_does_not_tell_how_long_a_line_is_shown_is_named(tmp_path, caplog):
    source = make(tmp_path / "in.mkv", "ass", [b"0,0,Default,,0,0,0,,hello"])
    carry(source, tmp_path / "out.nut")
    assert "subtitle track #1 (ass, jpn): nut has no place for how long each line is shown" in caplog.text


def test_a_line_that_is_to_stay_for_ever_does_not_break_the_film(tmp_path):
    source = make(tmp_path / "in.mkv", "subrip", [b"for ever"], times=[(500, 2**32 - 1)])
    with av.open(str(source)) as film:
        packet = next(p for p in film.demux(subtitles=0) if p.size)
        packet.duration = 2**32 - 1  # milliseconds: what Matroska says of pictures of text without an end
        with av.open(str(tmp_path / "out.mkv"), "w") as output:
            track = output.add_stream_from_template(film.streams.subtitles[0])
            PacketWriter(output, track, "text").write(packet)
    with av.open(str(tmp_path / "out.mkv")) as film:
        assert [p.duration for p in film.demux(subtitles=0) if p.size] == [0]


def test_a_line_before_zero_keeps_its_time():
    overlaps = Overlaps()
    assert overlaps.add(-20, 10, [ass("a")]) == []
    assert overlaps.finish() == [Piece(-20, 10, (ass("a"),))]
    assert overlaps.moved == 0


def test_a_blu_ray_s_subtitles_go_into_a_film_called_m2ts(tmp_path, caplog):
    source = make(tmp_path / "in.mkv", "hdmv_pgs_subtitle", [bytes.fromhex("800000")])
    for name, left_out in (("out.m2ts", 0), ("out.ts", 1)):
        caplog.clear()
        colour(source, tmp_path / name)
        assert caplog.text.count("subtitle track #1 (hdmv_pgs_subtitle, jpn) is left out") == left_out
        assert caplog.text.count("m2ts has no place for language") == 1 - left_out
