"""What is said of a film whose owner should know."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from calling import call
from media import fill_plane, grey_frame, make_film
from test_decode import interlaced
from test_recolor import frame_of

from vidcolor.frames import Frame
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
