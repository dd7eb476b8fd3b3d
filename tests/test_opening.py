"""Images, image sequences and names are opened; what would follow other files is not."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

import av
import numpy as np
import pytest
from media import make_film, planes_of, read_film, times_of
from PIL import Image
from quick import colour, quickly

from vidcolor.cli import command
from vidcolor.errors import InputError, UsageError
from vidcolor.media.names import folded
from vidcolor.media.opening import open_source, sequence_files
from vidcolor.media.sidedata import display_matrix
from vidcolor.media.streams import pick_video

RAMP = np.repeat(np.linspace(20, 235, 128).astype(np.uint8)[None, :, None], 64, 0).repeat(3, 2)
MATRICES = {1: None, 3: (-1, 0, 0, -1), 6: (0, 1, -1, 0), 8: (0, -1, 1, 0), 2: (-1, 0, 0, 1), 5: (0, 1, 1, 0)}


def picture(path: Path, codec: str, pix_fmt: str, rgb: np.ndarray = RAMP) -> Path:
    """Write one picture."""
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as out:
        stream = out.add_stream(codec, rate=25, options={"flags": "+qscale", "global_quality": "118"})
        stream.width, stream.height, stream.pix_fmt = rgb.shape[1], rgb.shape[0], pix_fmt
        frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format=pix_fmt, dst_color_range=2)
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def photograph(path: Path, orientation: int) -> Path:
    """A JPEG that says in EXIF how it was held."""
    data = picture(path, "mjpeg", "yuvj444p").read_bytes()
    tags = struct.pack("<HHHIHHI", 1, 0x112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + tags
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
    return path


def signs(frame: av.VideoFrame) -> tuple[int, ...]:
    """Signs of a, b, c, d of the display matrix."""
    matrix = display_matrix(frame) or (1, 0, 0, 0, 1)
    return tuple(int(np.sign(matrix[i])) for i in (0, 1, 3, 4))


def assert_upright_colours(frame: av.VideoFrame) -> None:
    """Redder to the right, yellower at the bottom, as the picture is shown."""
    a, b, c, d = signs(frame)
    stored = frame.to_ndarray(format="rgb24").astype(int)
    height, width = stored.shape[:2]
    for p, q in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
        x, y = a * p + c * q, b * p + d * q
        row, column = height // 2 + q * height // 4, width // 2 + p * width // 4
        red, green, blue = stored[row, column]
        assert (red > green) == (x > 0)
        assert (blue > green if x > 0 else blue > red) == (y < 0)


@pytest.mark.parametrize("orientation", MATRICES)
@pytest.mark.parametrize("target", ["b.mp4", "b.mkv", "b.png", "b.jpg", "b.webp", "b.tif"])
def test_a_photograph_is_coloured_as_it_is_held(tmp_path: Path, target: str, orientation: int) -> None:
    source = photograph(tmp_path / "a.jpg", orientation)
    before = read_film(source)[0]
    assert signs(before) == (MATRICES[orientation] or (1, 0, 0, 1))
    assert colour(source, tmp_path / target).frames == 1
    (after,) = read_film(tmp_path / target)
    assert_upright_colours(after)
    shown = [f.width > f.height if signs(f)[0] else f.height > f.width for f in (before, after)]
    assert shown[0] == shown[1]


@pytest.mark.parametrize("pix_fmt", ["gray", "rgb24", "pal8", "gray16be", "monob"])
@pytest.mark.parametrize("target", ["b.png", "b.jpg", "b.webp", "b.bmp", "b.tif"])
def test_brightness_of_pictures_is_kept(tmp_path: Path, pix_fmt: str, target: str) -> None:
    source = tmp_path / "a.png"
    if pix_fmt == "pal8":
        with av.open(str(source), "w", format="image2", options={"update": "1"}) as out:
            stream = out.add_stream("png", rate=25)
            stream.width, stream.height, stream.pix_fmt = 128, 64, "pal8"
            palette = np.stack([np.full(256, 255), *[np.arange(256)] * 3], 1).astype(np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray((RAMP[..., 0], palette), "pal8")))
            out.mux(stream.encode(None))
    else:
        picture(source, "png", pix_fmt)
    colour(source, tmp_path / target)
    before = read_film(source)[0].to_ndarray(format="rgb24").astype(float)
    after = read_film(tmp_path / target)[0].to_ndarray(format="rgb24").astype(float)
    weights = np.array([0.299, 0.587, 0.114])
    jpeg_edges = pix_fmt == "monob" and target in ("b.jpg", "b.webp")  # these subsample chroma
    assert np.abs((before - after) @ weights).mean() < (15 if jpeg_edges else 2.5)
    if pix_fmt != "monob":  # black and white have no room for colour
        assert np.ptp(after - before, axis=2).mean() > 5


@pytest.mark.parametrize("rate", [None, Fraction(24000, 1001), Fraction(5)])
def test_an_image_sequence_becomes_a_film_at_the_frame_rate(tmp_path: Path, rate: Fraction | None) -> None:
    for index in range(7, 12):
        picture(tmp_path / f"scan_{index:05d}.png", "png", "gray", RAMP // 2 + index)
    options = {} if rate is None else {"framerate": rate}
    colour(tmp_path / "scan_%05d.png", tmp_path / "b.mp4", codec="ffv1", format="mkv", **options)
    frames = read_film(tmp_path / "b.mp4")
    assert len(frames) == 5
    for index, time in enumerate(times_of(tmp_path / "b.mp4")):
        assert abs(time - index / (rate or 25)) <= Fraction(1, 2000)
    assert [int(planes_of(f)[0][0, 0]) for f in frames] == [10 + index for index in range(7, 12)]


def test_a_name_with_a_percent_sign_that_exists_is_a_file_and_no_sequence(tmp_path: Path) -> None:
    picture(tmp_path / "%03d.png", "png", "gray")
    picture(tmp_path / "001.png", "png", "gray")
    assert colour(tmp_path / "%03d.png", tmp_path / "b.mkv").frames == 1


def test_a_name_that_begins_with_a_dash_follows_two_dashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_film(tmp_path / "-a.mkv", frames=2)
    with quickly():
        arguments = ["--render-size", "32", "--progress", "none", "--", "-a.mkv", "-b.mkv"]
        assert command.main(args=arguments, standalone_mode=False) == 0
    assert len(read_film(tmp_path / "-b.mkv")) == 2


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile secret.mkv\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.mkv\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    ],
    ids=["concat", "hls", "sdp"],
)
def test_a_playlist_does_not_make_other_files_be_read(tmp_path: Path, text: str) -> None:
    make_film(tmp_path / "secret.mkv", frames=2)
    (tmp_path / "evil.mp4").write_text(text)
    with pytest.raises(InputError, match="--allow-references"):
        colour(tmp_path / "evil.mp4", tmp_path / "b.mkv")
    assert not (tmp_path / "b.mkv").exists()


def test_a_playlist_is_opened_when_that_is_allowed(tmp_path: Path) -> None:
    make_film(tmp_path / "part.mkv", frames=2)
    (tmp_path / "list.ffconcat").write_text("ffconcat version 1.0\nfile part.mkv\nfile part.mkv\n")
    assert colour(tmp_path / "list.ffconcat", tmp_path / "b.mkv", allow_references=True).frames == 4


@pytest.mark.parametrize("name", ["http://127.0.0.1:9/a.mp4", "missing.mp4", "", "rtsp://127.0.0.1:9/x"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        open_source(name)
    assert ("--allow-network" in str(caught.value)) == ("://" in name)


def test_what_holds_no_picture_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a film\n" * 100)
    data = make_film(tmp_path / "film.mp4", frames=5).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: data.index(b"moov") - 4])
    for name, reason in {"empty": "is empty", "text": "not a video", "cut": "without its index"}.items():
        with pytest.raises(InputError, match=reason):
            open_source(str(tmp_path / f"{name}.mp4"))
    with av.open(str(tmp_path / "sound.wav"), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 4000), np.int16), "s16", "mono")
        sound.sample_rate = 8000
        out.mux(stream.encode(sound))
        out.mux(stream.encode(None))
    with open_source(str(tmp_path / "sound.wav")) as source, pytest.raises(InputError, match="only sound"):
        pick_video(source, "sound.wav")


@contextmanager
def piped(path: Path) -> Iterator[None]:
    """The file comes through standard input."""
    kept = os.dup(0)
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as cat:
        assert cat.stdout is not None
        os.dup2(cat.stdout.fileno(), 0)
        try:
            yield
        finally:
            os.dup2(kept, 0)
            os.close(kept)
            cat.stdout.close()


def test_why_an_animation_is_not_read_is_said(tmp_path: Path) -> None:
    pictures = [Image.fromarray(np.full((16, 16, 3), 40 * number, np.uint8)) for number in range(4)]
    more: dict[str, Any] = {"save_all": True, "append_images": pictures[1:]}
    for name in ("a.png", "a.webp", "a.tiff"):
        pictures[0].save(tmp_path / name, **more, duration=[40, 90, 10, 40])
    with pytest.raises(InputError, match="no animated WebP"):
        colour(tmp_path / "a.webp", tmp_path / "b.mkv")
    with piped(tmp_path / "a.png"), pytest.raises(InputError, match="cannot be read from a pipe"):
        colour("-", tmp_path / "b.mkv")
    with piped(tmp_path / "a.tiff"), pytest.raises(InputError, match=r"no frame of it decodes$"):
        colour("-", tmp_path / "b.mkv")
    assert colour(tmp_path / "a.png", tmp_path / "b.mkv").frames == 4


def test_the_pictures_of_a_sequence_are_not_looked_at_one_by_one(tmp_path: Path) -> None:
    """On a network each look takes its time, and there may be 100 000 of them."""
    for number in range(20):
        (tmp_path / f"p_{number:03d}.png").touch()
    (tmp_path / "p_0004.png").touch()  # FFmpeg does not find it by this name
    (tmp_path / "p_020.png").symlink_to("p_000.png")
    (tmp_path / "p_021.png").symlink_to("nowhere.png")
    with mock.patch("os.stat", wraps=os.stat) as looked:
        assert list(sequence_files(str(tmp_path / "p_%03d.png"))) == list(range(21))
    assert looked.call_count <= 2, "but for links"


def test_a_missing_picture_of_a_sequence_is_named(tmp_path: Path) -> None:
    for number in (7, 8, 9, 11, 12):
        picture(tmp_path / f"scan_{number:05}.png", "png", "rgb24")
    with pytest.raises(InputError, match=r"scan_00010\.png is missing"):
        open_source(str(tmp_path / "scan_%05d.png"))
    picture(tmp_path / "scan_00010.png", "png", "rgb24")
    with open_source(str(tmp_path / "scan_%05d.png")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 6
    with pytest.raises(InputError, match="no such file"):
        open_source(str(tmp_path / "other_%05d.png"))
    with pytest.raises(UsageError, match="image sequences"):
        open_source(str(tmp_path / "scan_00010.png"), framerate=Fraction(12))


@pytest.mark.parametrize(
    ("there", "asked"),
    [("A_%03d.PNG", "a_%03d.png"), ("e\N{COMBINING ACUTE ACCENT}_%d.png", "é_%d.png")],
)
def test_a_sequence_is_found_by_a_name_that_is_one_to_the_file_system(
    tmp_path: Path, there: str, asked: str
) -> None:
    for number in range(3, 6):
        (tmp_path / (there % number)).touch()
    with pytest.raises(InputError, match="no such file"):
        sequence_files(str(tmp_path / asked))  # two names here

    def same(one: Path, other: Path) -> bool:
        return folded(str(one)) == folded(str(other))

    with mock.patch("os.path.samefile", same):  # as Windows and macOS see them
        assert list(sequence_files(str(tmp_path / asked))) == [3, 4, 5]
