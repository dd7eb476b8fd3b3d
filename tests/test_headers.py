"""The pixels' aspect ratio in headers that FFmpeg writes without it."""

from __future__ import annotations

import re
import zlib
from fractions import Fraction
from pathlib import Path

import av
import pytest
from media import make_film, packets_of
from quick import colour
from test_pipes import piped

from vidcolor.media.headers import _element, _elements, _track_with_shape, mend_file, with_aspect
from vidcolor.sink import Sink

ASPECT = Fraction(16, 15)  # of 64 pixels in width, this is not rounded to a whole number
WIDE = Fraction(5, 4)


def tracks_of(data: bytes) -> int:
    """Where the tracks begin: their id stands in the index at the beginning, too."""
    return data.index(b"\x16\x54\xae\x6b", data.index(b"Lavf"))


def told(path: Path) -> tuple[Fraction | None, str | None]:
    """Aspect ratio of the pixels and title of the picture's track, as a reader gets them."""
    with av.open(str(path)) as film:
        picture = film.streams.video[0]
        assert sum(1 for _ in film.decode(picture)) == 3
        return picture.sample_aspect_ratio, picture.metadata.get("title")


def titled(path: Path, title: str | None, key: str = "title", suffix: str = ".mkv") -> Path:
    """The film in another container, by default Matroska, its picture with a title."""
    target = path.with_suffix(".titled" + suffix)
    with av.open(str(path)) as source, av.open(str(target), "w") as film:
        stream = film.add_stream_from_template(source.streams.video[0])
        if title is not None:
            stream.metadata["language"], stream.metadata[key] = "fin", title
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                film.mux(packet)
    return target


@pytest.mark.parametrize("title", [None, "The picture", "long" * 60])
@pytest.mark.parametrize(
    ("target", "codec"), [("b.webm", "libvpx-vp9"), ("b.mkv", "rawvideo"), ("b.mkv", "libx264")]
)
def test_matroska_tells_the_pixels_aspect_ratio_whatever_the_codec(
    tmp_path: Path, target: str, codec: str, title: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    source = titled(make_film(tmp_path / "a.mp4", frames=3, sample_aspect_ratio=WIDE), title)
    colour(source, tmp_path / target, codec=codec)
    assert told(tmp_path / target) == (WIDE, title)
    with av.open(str(tmp_path / target)) as film:
        assert film.streams.video[0].metadata.get("language") == ("fin" if title else None)
    assert not any("aspect" in line for line in caplog.messages)
    assert colour(source, tmp_path / target, codec=codec).already


@pytest.mark.parametrize(("target", "codec"), [("b.wmv", "wmv2"), ("b.wmv", "msmpeg4"), ("b.apng", None)])
def test_what_else_tells_the_pixels_aspect_ratio_is_not_said_to_lose_it(
    tmp_path: Path, target: str, codec: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_film(tmp_path / "a.mp4", frames=3, sample_aspect_ratio=WIDE)
    colour(source, tmp_path / target, codec=codec)
    assert told(tmp_path / target)[0] == WIDE
    assert not any("aspect" in line for line in caplog.messages)


def test_a_title_in_capitals_is_kept(tmp_path: Path) -> None:
    plain = make_film(tmp_path / "a.mp4", frames=3, sample_aspect_ratio=WIDE)
    source = titled(plain, "The picture", "TITLE", ".nut")
    colour(source, tmp_path / "b.mkv")
    assert told(tmp_path / "b.mkv") == (WIDE, "The picture")


def test_so_does_ffv1_and_the_checksum_of_the_tracks_is_right(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", frames=3, sample_aspect_ratio=WIDE)
    colour(source, tmp_path / "b.mkv", codec="ffv1")
    data = (tmp_path / "b.mkv").read_bytes()
    assert b"\x54\xb0\x81\x50\x54\xba\x81\x30" in data  # DisplayWidth 80, DisplayHeight 48
    begin = tracks_of(data) + 6  # its size takes two bytes
    size = int.from_bytes(data[begin - 2 : begin], "big") & 0x3FFF
    assert data[begin : begin + 2] == b"\xbf\x84"
    checksum = zlib.crc32(data[begin + 6 : begin + size])
    assert data[begin + 2 : begin + 6] == checksum.to_bytes(4, "little")


@pytest.mark.parametrize("aspect", [Fraction(2**31 - 1), Fraction(1, 2**31 - 1)])
@pytest.mark.parametrize("target", ["b.webm", "b.mkv"])
def test_an_absurd_aspect_ratio_costs_no_film(tmp_path: Path, target: str, aspect: Fraction) -> None:
    plain = make_film(tmp_path / "a.y4m", frames=3, codec="rawvideo").read_bytes()
    shape = f" A{aspect.numerator}:{aspect.denominator}".encode()
    header, _, frames = plain.partition(b"\n")
    (tmp_path / "a.y4m").write_bytes(re.sub(rb" A\d+:\d+", shape, header) + b"\n" + frames)
    colour(tmp_path / "a.y4m", tmp_path / target)
    assert told(tmp_path / target)[1] is None
    data = (tmp_path / target).read_bytes()
    shown = data[data.index(b"\x54\xb0", tracks_of(data)) :][2:]
    wide = int.from_bytes(shown[1 : 1 + (shown[0] & 0x7F)], "big")
    assert wide == (2**32 - 1 if aspect > 1 else 1)


@pytest.mark.parametrize("format_", ["webm", "matroska"])
def test_so_does_matroska_in_a_pipe(tmp_path: Path, format_: str) -> None:
    source = make_film(tmp_path / "a.mkv", frames=3, sample_aspect_ratio=WIDE)
    code, written = piped(source, "-", "--format", format_, "--codec", "vp9")
    (tmp_path / "b.mkv").write_bytes(written)
    assert (code, told(tmp_path / "b.mkv")) == (0, (WIDE, None))


def test_long_headers_of_other_tracks_do_not_hide_it_in_a_pipe(tmp_path: Path) -> None:
    plain = make_film(tmp_path / "a.mkv", frames=3, sample_aspect_ratio=WIDE)
    styles = "".join(f"Style: S{i},Arial,20,&Hffffff\n" for i in range(9000))
    text = tmp_path / "a.ass"
    line = "Dialogue: 0,0:00:00.00,0:00:00.10,S1,,0,0,0,,Hello\n"
    text.write_text(f"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\n{styles}\n[Events]\n{line}")
    with (
        av.open(str(plain)) as old,
        av.open(str(text)) as words,
        av.open(str(tmp_path / "b.mkv"), "w") as film,
    ):
        film.add_stream_from_template(words.streams.subtitles[0])
        picture = film.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = picture
                film.mux(packet)
    code, written = piped(tmp_path / "b.mkv", "-", "--format", "matroska", "--codec", "ffv1")
    (tmp_path / "c.mkv").write_bytes(written)
    assert written.index(b"Style: S8999") < written.index(b"\x54\xb0\x81\x50")
    assert (code, told(tmp_path / "c.mkv")) == (0, (WIDE, None))


def test_a_pipe_that_ends_within_the_header_gets_all_of_it(tmp_path: Path) -> None:
    with open(tmp_path / "out", "wb") as file:
        sink = Sink(f"pipe:{file.fileno()}", lambda data: b"")
        for part in (b"ab", b"c"):
            assert sink.write(part) == len(part)
        sink.close()
        sink.close()
    assert (tmp_path / "out").read_bytes() == b"abc"


def test_square_pixels_change_nothing(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", frames=3)
    colour(source, tmp_path / "b.mkv", codec="ffv1")
    assert told(tmp_path / "b.mkv") == (None, None)


def made(tmp_path: Path) -> bytes:
    """A film whose header has been given room, and not been mended."""
    with av.open(str(tmp_path / "a.mkv"), "w") as film:
        stream = film.add_stream("libvpx-vp9", rate=25, width=64, height=48, pix_fmt="yuv420p")
        stream.metadata["title"] = "Name [pixels' aspect]"
        for _ in range(3):
            film.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        film.mux(stream.encode(None))
    return (tmp_path / "a.mkv").read_bytes()


def test_tracks_far_behind_the_beginning_of_a_file_are_found(tmp_path: Path) -> None:
    data = made(tmp_path)
    at = tracks_of(data)
    void = b"\xec\x01" + (300_000).to_bytes(7, "big") + bytes(300_000)
    path = tmp_path / "b.mkv"
    path.write_bytes(data[:at] + void + data[at:])
    mend_file("matroska", str(path), ASPECT)
    mended = path.read_bytes()
    assert len(mended) == len(data) + len(void)
    assert b"pixels' aspect" not in mended
    assert b"\x53\x6e\x84Name" in mended
    assert b"\x54\xb0\x81\x44\x54\xba\x81\x30" in mended  # 68 pixels, of 68.27


def test_of_a_header_that_comes_in_pieces_more_is_wanted_until_its_tracks_are_there(tmp_path: Path) -> None:
    data = made(tmp_path)
    whole = data.index(b"\x1f\x43\xb6\x75")  # the first cluster
    pieces = [with_aspect("matroska", data[:n], ASPECT) for n in range(1, whole + 1)]
    end = next(n for n, piece in enumerate(pieces) if piece)
    assert tracks_of(data) < end < whole
    assert all(piece == pieces[-1][: n + 1] for n, piece in enumerate(pieces[end:], end))
    assert pieces[-1] != data[:whole]
    assert with_aspect("matroska", b"\0" * 99, ASPECT) == b""


@pytest.mark.parametrize("spare", [0, *range(112, 122), 3000])
def test_a_track_keeps_its_length_whatever_room_is_left(spare: int) -> None:
    """What stands behind it does not move; FFmpeg leaves 3 kB where a header of AV1 is to come."""
    picture = _element(b"\xb0", b"\x40") + _element(b"\xba", b"\x30")
    name = _element(b"\x53\x6e", b"Name [pixels' aspect]")
    before = name + _element(b"\xe0", picture) + (_element(b"\xec", bytes(spare)) if spare else b"")
    after = _track_with_shape(before, WIDE)
    assert len(after) == len(before)
    found = [(kind, after[begin:end], end) for kind, begin, end in _elements(after, 0)]
    shown = b"\x54\xb0\x81\x50\x54\xba\x81\x30"
    assert [payload for _, payload, _ in found[:2]] == [b"Name", picture + shown]
    assert [(kind, any(payload), end) for kind, payload, end in found[2:]] == [(b"\xec", False, len(before))]


def test_a_file_without_tracks_stays_as_it_is(tmp_path: Path) -> None:
    for content in (b"", bytes(99), made(tmp_path)[:60]):
        (tmp_path / "b.mkv").write_bytes(content)
        mend_file("matroska", str(tmp_path / "b.mkv"), ASPECT)
        assert (tmp_path / "b.mkv").read_bytes() == content


def test_headers_of_other_containers_stay_as_they_are(tmp_path: Path) -> None:
    data = made(tmp_path)
    assert with_aspect("mpegts", data, ASPECT) == data
    assert with_aspect("matroska", data, Fraction(1)) == data


def test_what_is_in_the_file_stays_as_it_is(tmp_path: Path) -> None:
    made(tmp_path)
    before = packets_of(tmp_path / "a.mkv", "video")
    mend_file("matroska", str(tmp_path / "a.mkv"), ASPECT)
    assert packets_of(tmp_path / "a.mkv", "video") == before
    assert told(tmp_path / "a.mkv") == (Fraction(68, 64), "Name")
