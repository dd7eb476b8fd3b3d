"""Promises: luma is untouched, time is untouched."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from media import make_film, planes_of, read_film
from quick import colour, same_luma

DEEP = [f"{name}{depth}le" for name in ("gray", "yuv420p", "yuv422p", "yuv444p") for depth in (10, 12, 16)]
FFV1 = ["gray", "yuv420p", "yuv422p", "yuv444p", "yuv411p", "yuv410p", *DEEP]


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("pix_fmt", FFV1)
def test_luma_of_every_format_is_untouched_in_ffv1(tmp_path: Path, pix_fmt: str, full: bool) -> None:
    source = make_film(tmp_path / "a.mkv", frames=3, codec="ffv1", pix_fmt=pix_fmt, full=full)
    colour(source, tmp_path / "b.mkv", codec="ffv1")
    assert same_luma(source, tmp_path / "b.mkv")
    first = read_film(tmp_path / "b.mkv")[0]
    assert first.color_range == (2 if full else 1)
    assert first.format.components[0].bits == av.VideoFormat(pix_fmt).components[0].bits
    if pix_fmt.startswith("gray"):
        assert first.format.name.startswith("yuv420p")
    elif pix_fmt[3:6] in ("420", "422", "444"):
        assert first.format.name == pix_fmt


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize(
    "pix_fmt", ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"]
)
def test_luma_is_untouched_by_libx264_at_crf_0(tmp_path: Path, pix_fmt: str, suffix: str) -> None:
    full = pix_fmt.startswith("yuvj")
    source = make_film(tmp_path / f"a.{suffix}", frames=4, pix_fmt=pix_fmt, full=full)
    assert colour(source, tmp_path / f"b.{suffix}", crf=0).codec == "libx264"
    assert same_luma(source, tmp_path / f"b.{suffix}")
    result = read_film(tmp_path / f"b.{suffix}")[0]
    assert (result.color_range, result.format.name) == (2 if full else 1, pix_fmt)


@pytest.mark.parametrize("pix_fmt", ["gray12le", "yuv420p12le", "yuv422p12le", "yuv444p12le"])
def test_luma_of_twelve_bits_is_untouched_by_x265_at_crf_0(tmp_path: Path, pix_fmt: str) -> None:
    source = make_film(tmp_path / "a.mkv", frames=3, codec="ffv1", pix_fmt=pix_fmt)
    assert colour(source, tmp_path / "b.mp4", crf=0).codec == "libx265"
    assert same_luma(source, tmp_path / "b.mp4")


def test_luma_is_untouched_by_vp9_at_crf_0(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", frames=3)
    assert colour(source, tmp_path / "b.webm", crf=0).codec == "libvpx-vp9"
    assert same_luma(source, tmp_path / "b.webm")


@pytest.mark.parametrize("size", [(64, 48), (64, 720)])
@pytest.mark.parametrize("pix_fmt", ["bgr0", "gbrp10le", "gbrp12le", "rgb48le"])
def test_luma_of_rgb_follows_the_matrix_that_is_written(
    tmp_path: Path, pix_fmt: str, size: tuple[int, int]
) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        rgb = np.random.default_rng(1).integers(0, 65536, (size[1], size[0], 3), np.uint16)
        out.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, "rgb48le").reformat(format=pix_fmt)))
        out.mux(stream.encode(None))
    colour(tmp_path / "a.mkv", tmp_path / "b.mkv", codec="ffv1")
    deep = pix_fmt != "bgr0"
    codes = read_film(tmp_path / "a.mkv")[0].to_ndarray(format="rgb48le" if deep else "rgb24")
    seen = codes / (65535.0 if deep else 255.0)
    result = read_film(tmp_path / "b.mkv")[0]
    kr, kb = {1: (0.2126, 0.0722), 6: (0.299, 0.114)}[int(result.colorspace)]
    assert int(result.colorspace) == (1 if size[1] > 576 else 6)
    assert result.color_range == 1
    unit = 1 << (result.format.components[0].bits - 8)
    y = kr * seen[..., 0] + (1 - kr - kb) * seen[..., 1] + kb * seen[..., 2]
    assert np.abs(planes_of(result)[0] - (16 + 219 * y) * unit).max() <= 0.51 + 0.002 * unit


TAGS = ("colorspace", "color_primaries", "color_trc", "color_range")


@pytest.mark.parametrize(
    ("size", "given", "wanted"),
    [
        ((64, 480), {}, (6, 6, 6, 1)),
        ((64, 576), {}, (5, 5, 6, 1)),
        ((64, 720), {}, (1, 1, 1, 1)),
        ((64, 48), {"colorspace": 1, "color_primaries": 1, "color_trc": 1}, (1, 1, 1, 1)),
        ((64, 48), {"colorspace": 9, "color_primaries": 9, "color_trc": 16}, (9, 9, 16, 1)),
        ((64, 720), {"colorspace": 5, "color_primaries": 5, "color_trc": 4, "full": True}, (5, 5, 4, 2)),
    ],
)
@pytest.mark.parametrize("target", ["b.mp4", "b.mkv", "b.webm"])
def test_colour_tags_are_written(
    tmp_path: Path, size: tuple[int, int], given: dict, wanted: tuple[int, ...], target: str
) -> None:
    source = make_film(tmp_path / "a.mkv", frames=2, size=size, **given)
    colour(source, tmp_path / target)
    frame = read_film(tmp_path / target)[0]
    assert tuple(int(getattr(frame, tag)) for tag in TAGS) == wanted


@pytest.mark.parametrize(("suffix", "codec"), [("png", "png"), ("nut", "png")])
@pytest.mark.parametrize("pix_fmt", ["gray", "gray16be"])
def test_grey_png_is_full_range_and_never_tagged_as_rgb(
    tmp_path: Path, suffix: str, codec: str, pix_fmt: str
) -> None:
    source = tmp_path / f"a.{suffix}"
    with av.open(str(source), "w", options={"update": "1"} if suffix == "png" else {}) as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        kind, top = (np.uint8, 255) if pix_fmt == "gray" else (np.uint16, 65535)
        picture = np.linspace(0, top, 64 * 48).astype(kind).reshape(48, 64)
        out.mux(
            stream.encode(
                av.VideoFrame.from_ndarray(picture, pix_fmt.replace("be", "le")).reformat(format=pix_fmt)
            )
        )
        out.mux(stream.encode(None))
    colour(source, tmp_path / "b.mkv")
    frame = read_film(tmp_path / "b.mkv")[0]
    assert int(frame.colorspace) == 6
    assert frame.color_range == 2
    colour(source, tmp_path / "c.mkv", codec="ffv1")
    assert np.array_equal(planes_of(read_film(tmp_path / "c.mkv")[0])[0], picture)
