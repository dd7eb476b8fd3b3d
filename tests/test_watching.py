"""What is said of a film whose owner should know."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from calling import call
from media import change_packets, fill_plane, grey_frame, make_film, planes_of, read_film
from quick import colour
from test_decode import interlaced
from test_recolor import frame_of
from test_resume import short_segments

from vidcolor.frames import Frame
from vidcolor.media.sidedata import has_captions
from vidcolor.watching import in_colour


def film_of(path: Path, frames: list[av.VideoFrame]) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, frames[0].format.name
        for frame in frames:
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def toned(kind: str, pix_fmt: str = "yuv420p") -> av.VideoFrame:
    """A textured frame that is grey, noisy, sepia, or in colour."""
    random = np.random.default_rng(5)
    texture = np.kron(random.integers(30, 220, (12, 16)), np.ones((8, 8)))
    frame = av.VideoFrame(128, 96, pix_fmt)
    depth = frame.format.components[0].bits
    unit, dtype = 1 << (depth - 8), np.uint8 if depth == 8 else np.uint16
    fill_plane(frame.planes[0], (texture * unit).astype(dtype))
    small = texture[::2, ::2]
    noise = random.normal(0, 2, small.shape)
    patches = np.kron(random.integers(100, 156, (6, 8)), np.ones((8, 8)))
    chroma = {
        "grey": (small * 0 + 128, small * 0 + 128),
        "noisy": (128 + noise, 128 - noise),
        "tinted": (small * 0 + 110, small * 0 + 150),
        "sepia": (128 - 0.12 * small, 128 + 0.1 * small),
        "colour": (patches, 255 - patches),
    }[kind]
    for plane, values in zip(frame.planes[1:], chroma, strict=True):
        fill_plane(plane, (values * unit).astype(dtype))
    return frame


@pytest.mark.parametrize(("codec", "lost"), [("libx264", 0), ("mpeg2video", 0), ("ffv1", 1), ("libx265", 0)])
def test_captions_that_an_encoder_loses_are_named(
    codec: str, lost: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = make_film(tmp_path / "plain.ts", frames=9, codec="mpeg2video")
    captions = b"\0\0\1\xb2GA94\3\xc1\xff\xfc\x80\x80\xff"

    def captioned(_: int, data: bytearray) -> bytes:
        at = data.index(b"\0\0\1\1")  # user data stands before the first slice
        return bytes(data[:at]) + captions + bytes(data[at:])

    source = change_packets(plain, tmp_path / "a.mkv", captioned)
    assert has_captions(read_film(source)[0])
    colour(source, tmp_path / "b.mkv", codec=codec)
    assert caplog.text.count(f"closed captions have no place in {codec}") == lost
    assert has_captions(read_film(tmp_path / "b.mkv")[0]) == (not lost)


def frame_with(video: av.VideoFrame) -> Frame:
    frame = frame_of(np.zeros((4, 4), np.uint8))
    frame.video = video
    return frame


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("kind", ["grey", "noisy", "tinted", "sepia", "colour"])
def test_a_tone_is_no_colour(kind: str, pix_fmt: str) -> None:
    assert in_colour(frame_with(toned(kind, pix_fmt))) == (kind == "colour")


def test_formats_without_chroma_and_with_other_channels() -> None:
    assert not in_colour(frame_with(grey_frame(64, 48, "gray", 0)))
    rgb = np.random.default_rng(1).integers(0, 255, (6, 8, 3)).repeat(16, 0).repeat(16, 1).astype(np.uint8)
    assert in_colour(frame_with(av.VideoFrame.from_ndarray(rgb, "rgb24")))
    assert not in_colour(frame_with(av.VideoFrame.from_ndarray(rgb[..., :1].repeat(3, 2).copy(), "rgb24")))


def test_a_film_in_colour_is_coloured_anew_and_says_so_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = film_of(tmp_path / "in.mkv", [toned("colour") for _ in range(50)])
    assert call(source, tmp_path / "out.mp4") == 0
    assert capsys.readouterr().err.count("colours of its own at 00:00:00: they are replaced") == 1


def test_colours_that_come_later_are_seen_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = [toned("sepia") for _ in range(30)] + [toned("colour") for _ in range(30)]
    assert call(film_of(tmp_path / "in.mkv", frames), tmp_path / "out.mp4") == 0
    assert "colours of its own at 00:00:01" in capsys.readouterr().err


@pytest.mark.parametrize(("swing", "said"), [(0, False), (6, True)])
def test_brightness_that_flickers(
    swing: int, said: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random, frames = np.random.default_rng(2), []
    for index in range(70):  # brighter all the time, which is no flicker
        frame = grey_frame(96, 64, "yuv420p", 0)
        change = random.normal(0, swing) + index * 0.7
        codes = np.kron(np.arange(24).reshape(4, 6) * 4 + 60, np.ones((16, 16))) + change
        fill_plane(frame.planes[0], codes.astype(np.uint8))
        frames.append(frame)
    assert call(film_of(tmp_path / "in.mkv", frames), tmp_path / "out.mp4") == 0
    assert ("brightness flickers at 00:00:0" in capsys.readouterr().err) == said


def test_moving_texture_of_a_small_film_is_no_flicker(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random, frames = np.random.default_rng(2), []
    for _ in range(60):
        frame = grey_frame(96, 64, "yuv420p", 0)
        fill_plane(frame.planes[0], random.integers(20, 236, (64, 96)).astype(np.uint8))
        frames.append(frame)
    assert call(film_of(tmp_path / "in.mkv", frames), tmp_path / "out.mp4") == 0
    assert "flickers" not in capsys.readouterr().err


def test_active_formats_of_broadcasts_are_said_to_be_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = make_film(tmp_path / "plain.mkv", frames=3, codec="mpeg2video")
    first, mark = b"\0\0\1\1", b"\0\0\1\xb2DTG1\x41\xf8"  # of a picture's slices; user data before it
    source = change_packets(plain, tmp_path / "in.mkv", lambda _, data: data.replace(first, mark + first, 1))
    assert call(source, tmp_path / "out.mkv") == 0
    assert capsys.readouterr().err.count("(AFD) are left out") == 1


def test_interlaced_film_is_told_of_deinterlace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = interlaced(tmp_path / "in.mkv", top_first=True)
    assert call(source, tmp_path / "out.mkv") == 0
    assert capsys.readouterr().err.count("--deinterlace makes whole frames") == 1
    assert call(source, tmp_path / "whole.mkv", "--deinterlace") == 0
    assert "--deinterlace" not in capsys.readouterr().err


def test_of_a_plain_film_nothing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(make_film(tmp_path / "in.mp4", frames=60), tmp_path / "out.mp4") == 0
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "60 frames" in lines[0]


def barred(index: int, *, rows: int = 0, columns: int = 0, pix_fmt: str = "yuv420p") -> av.VideoFrame:
    """A lively grey frame with black bars of so many rows and columns on both sides."""
    frame = toned("grey", pix_fmt)
    unit = 1 << (frame.format.components[0].bits - 8)
    luma = np.roll(planes_of(frame)[0], index, axis=1).copy()
    for bar in (luma[:rows], luma[96 - rows :], luma[:, :columns], luma[:, 128 - columns :]):
        bar[...] = (16 + index % 2) * unit  # with a little noise
    fill_plane(frame.planes[0], luma)
    return frame


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize(
    ("bars", "said"),
    [
        ({"rows": 12}, "12 pixels at the top, 12 pixels at the bottom"),
        ({"columns": 8}, "8 pixels on the left, 8 pixels on the right"),
        ({}, None),
    ],
)
def test_black_bars_are_said_once_and_stay_black(
    bars: dict[str, int], said: str | None, pix_fmt: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = film_of(tmp_path / "in.mkv", [barred(i, pix_fmt=pix_fmt, **bars) for i in range(100)])
    assert call(source, tmp_path / "out.mkv", "--codec", "ffv1") == 0
    assert capsys.readouterr().err.count(f"black bars ({said}): they stay black") == (said is not None)
    if bars:
        chroma = planes_of(read_film(tmp_path / "out.mkv")[50])[1]
        unit = 1 if pix_fmt == "yuv420p" else 4
        corner = chroma[: bars.get("rows", 8) // 2 - 1, : bars.get("columns", 8) // 2 - 1].astype(int)
        assert np.abs(corner - 128 * unit).max() <= 2 * unit


def test_what_shows_in_many_frames_is_said_of_large_pictures_too_whose_segments_are_short(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random, frames = np.random.default_rng(2), [barred(i, rows=12) for i in range(90)]
    for frame in frames:
        luma = planes_of(frame)[0].copy()
        luma[12:84] += random.integers(0, 24, dtype=np.uint8)
        fill_plane(frame.planes[0], luma)
    with short_segments(16):
        assert call(film_of(tmp_path / "in.mkv", frames), tmp_path / "out.mkv") == 0
    said = capsys.readouterr().err
    assert said.count("black bars (12 pixels at the top, 12 pixels at the bottom)") == 1
    assert said.count("brightness flickers") == 1


def test_a_title_card_is_no_bar_and_bars_are_seen_after_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def card(index: int) -> av.VideoFrame:
        frame = barred(index)
        luma = np.full_like(planes_of(frame)[0], 16)
        luma[38:44, 30:98] = luma[50:56, 40:88] = 200
        fill_plane(frame.planes[0], luma)
        return frame

    frames = [*map(card, range(100)), *(barred(i, rows=12) for i in range(200))]
    source = film_of(tmp_path / "in.mkv", frames[:100])
    assert call(source, tmp_path / "card.mkv", "--codec", "ffv1") == 0
    assert "bars" not in capsys.readouterr().err
    assert call(film_of(tmp_path / "all.mkv", frames), tmp_path / "all-out.mkv", "--codec", "ffv1") == 0
    assert "12 pixels at the top, 12 pixels at the bottom" in capsys.readouterr().err


def test_a_dark_beginning_is_no_bar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = [barred(i, rows=48 if i < 30 else 0) for i in range(110)]
    assert call(film_of(tmp_path / "in.mkv", frames), tmp_path / "out.mkv", "--codec", "ffv1") == 0
    assert "bars" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "says"),
    [((), 1), (("--crf", "12"), 0), (("--encoder-option", "qp=0"), 0), (("--codec", "ffv1"), 0)],
)
def test_a_master_that_becomes_a_smaller_film_says_so(
    given: tuple[str, ...], says: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_film(tmp_path / "in.mov", codec="prores_ks", pix_fmt="yuv422p10le")
    assert call(source, tmp_path / "out.mkv", *given) == 0
    assert capsys.readouterr().err.count("(prores) is of the kind that archives keep") == says


def test_pictures_and_usual_films_are_no_masters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_film(tmp_path / "in.png", frames=1, codec="png", pix_fmt="gray", format="image2")
    assert call(tmp_path / "in.png", tmp_path / "out.png") == 0
    assert call(make_film(tmp_path / "in.mp4"), tmp_path / "out.mp4") == 0
    assert "archives" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("even", "missing", "said"), [(30, 10, 1), (30, 1, 0), (10, 10, 0)], ids=["hole", "one frame", "not even"]
)
def test_a_hole_in_an_even_film_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], even: int, missing: int, said: int
) -> None:
    pts = [*range(even), *range(even + missing, even + missing + 5)]
    make_film(tmp_path / "a.mkv", frames=len(pts), pts=pts, time_base=Fraction(1, 25), codec="ffv1")
    assert call(tmp_path / "a.mkv", tmp_path / "b.mkv") == 0
    assert capsys.readouterr().err.count("the source has no frames for 0.44 s before 00:00:01") == said


@pytest.mark.parametrize(("between", "said"), [([31], 1), ([31, 32, 34], 1), ([31, 32, 33, 34], 0)])
def test_a_hole_that_begins_among_b_frames_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], between: list[int], said: int
) -> None:
    """Of those shown last before it, some were stored in it."""
    pts = [*range(30), *between, *range(between[-1] + 11, between[-1] + 16)]
    make_film(tmp_path / "a.mkv", frames=len(pts), pts=pts, time_base=Fraction(1, 25), codec="ffv1")
    assert call(tmp_path / "a.mkv", tmp_path / "b.mkv") == 0
    assert capsys.readouterr().err.count("the source has no frames for 0.44 s before 00:00:01") == said


def test_a_hole_soon_after_a_segment_s_beginning_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pts = [*range(40), *range(50, 60)]
    make_film(tmp_path / "a.mkv", frames=len(pts), pts=pts, time_base=Fraction(1, 25), codec="ffv1")
    with short_segments():
        assert call(tmp_path / "a.mkv", tmp_path / "b.mkv") == 0
    assert capsys.readouterr().err.count("the source has no frames for 0.44 s before 00:00:02") == 1


def test_a_film_of_uneven_frames_has_no_holes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pts = [index + index // 7 * 9 for index in range(60)]
    make_film(tmp_path / "a.mkv", frames=len(pts), pts=pts, time_base=Fraction(1, 25), codec="ffv1")
    assert call(tmp_path / "a.mkv", tmp_path / "b.mkv") == 0
    assert "no frames" not in capsys.readouterr().err
