"""What is handed to the encoder, and in what order its packets come."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from unittest import mock

import av
import numpy as np
import pytest
from media import fill_plane, grey_frame, luma_of_film, make_film, planes_of, read_film, times_of
from quick import colour, same_luma
from test_decode import interlaced

from vidcolor.errors import UsageError
from vidcolor.media.parameters import refused_option
from vidcolor.stages import reencode


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("suffix", ["mp4", "webm"])
@pytest.mark.parametrize("pix_fmt", ["gray", "yuv420p", "yuv422p", "gray10le", "yuv420p10le"])
def test_luma_that_reaches_a_lossy_encoder_is_the_decoded_one(
    tmp_path: Path, pix_fmt: str, suffix: str, full: bool
) -> None:
    source = make_film(tmp_path / "a.mkv", frames=3, codec="ffv1", pix_fmt=pix_fmt, full=full)
    seen: list[np.ndarray] = []
    whole = reencode.with_chroma

    def witness(*arguments: object) -> av.VideoFrame:
        frame = whole(*arguments)  # type: ignore[arg-type]
        seen.append(planes_of(frame)[0])
        assert frame.color_range == (2 if full else 1)
        return frame

    with mock.patch.object(reencode, "with_chroma", witness):
        colour(source, tmp_path / f"b.{suffix}")
    assert len(seen) == 3
    assert all(map(np.array_equal, seen, luma_of_film(source)))


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9", "ffv1"])
@pytest.mark.parametrize("frames", [1, 2, 3, 20])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_packets_are_in_strict_order_of_decoding(
    tmp_path: Path, codec: str, frames: int, suffix: str
) -> None:
    pts = [n * 40 + (n % 3) * 7 for n in range(frames)]
    source = make_film(tmp_path / "a.mkv", pts=pts, time_base=Fraction(1, 1000))
    target = tmp_path / f"b.{suffix}"
    colour(source, target, codec=codec)
    with av.open(str(target)) as film:
        packets = [p for p in film.demux(video=0) if p.size]
    assert len(packets) == frames
    assert packets[0].is_keyframe
    known = [p for p in packets if p.dts is not None]  # Matroska does not store them
    assert all(a.dts < b.dts for a, b in pairwise(known))
    assert all(p.dts <= p.pts for p in known)
    assert times_of(target) == [Fraction(n, 1000) for n in pts]


def test_the_same_job_gives_the_same_frames_however_batches_and_threads_fall(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", frames=24, size=(128, 96))  # below that, x264 itself wavers
    results = []
    for index, batch in enumerate((1, 3, 3, 16)):
        target = tmp_path / f"{index}.mkv"
        colour(source, target, batch_size=batch, temporal="flow")
        results.append([planes_of(frame) for frame in read_film(target)])
    for other in results[1:]:
        for first, second in zip(results[0], other, strict=True):
            assert all(map(np.array_equal, first, second))


@pytest.mark.parametrize("target", ["b.y4m", "b.avi", "b.mpg"])
def test_no_frame_is_lost_where_the_container_counts_frames(tmp_path: Path, target: str) -> None:
    pts = [0, 40, 80, 90, 160, 200, 240, 280, 320, 360]
    source = make_film(tmp_path / "a.mkv", pts=pts, time_base=Fraction(1, 1000))
    colour(source, tmp_path / target)
    times = times_of(tmp_path / target)
    assert len(times) == 10
    assert times == sorted(set(times))


def test_hdr_metadata_and_tags_travel_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    display = (
        "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"
    )
    source = make_film(
        tmp_path / "a.mkv",
        frames=3,
        codec="libx265",
        pix_fmt="yuv420p10le",
        options={"x265-params": f"log-level=error:hdr10=1:repeat-headers=1:{display}"},
        colorspace=9,
        color_primaries=9,
        color_trc=16,
    )
    before = {d.type.name for d in read_film(source)[0].side_data}
    assert {"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"} <= before
    for codec in ("libx264", "libx265", "libsvtav1"):
        target = tmp_path / f"{codec}.mkv"
        colour(source, target, codec=codec)
        frame = read_film(target)[0]
        assert (frame.colorspace, frame.color_primaries, frame.color_trc) == (9, 9, 16)
        told = {d.type.name: bytes(d) for d in frame.side_data}
        assert np.frombuffer(told["CONTENT_LIGHT_LEVEL"], np.uint32)[:2].tolist() == [1000, 400]
        ratios = np.frombuffer(told["MASTERING_DISPLAY_METADATA"], np.int32)[:20].reshape(10, 2)
        x_y = [
            0.68,
            0.32,
            0.265,
            0.69,
            0.15,
            0.06,
            0.3127,
            0.329,
        ]  # red, green, blue, white; then least, most
        assert ratios[:, 0] / ratios[:, 1] == pytest.approx([*x_y, 0.0001, 1000.0], rel=1e-3, abs=5e-5)
    assert sum("PQ (HDR): its metadata is kept" in line for line in caplog.messages) == 3
    colour(source, tmp_path / "ffv1.mkv", codec="ffv1")
    assert any("have no place in ffv1" in line for line in caplog.messages)


def test_no_option_is_blamed_for_what_an_encoder_refuses_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"g": "12", "preset": "fast"}
    assert refused_option("libx264", settings, 31, 31, "yuv420p") == ""  # odd sizes are none of 4:2:0
    assert refused_option("libx264", settings, 32, 32, "yuv420p") == ""
    monkeypatch.setattr("vidcolor.media.parameters._LONGEST_S", 0.01)  # then the encoder itself has to say it
    assert refused_option("libx264", {"preset": "warp"}, 32, 32, "yuv420p") == ""


def test_settings_that_an_encoder_refuses_are_an_error_of_use(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", frames=2)
    with pytest.raises(reencode.UsageError, match=r"refuses profile=baseline: .*support lossless"):
        colour(source, tmp_path / "b.mkv", crf=0, encoder_options={"profile": "baseline"})
    assert not (tmp_path / "b.mkv").exists()


@pytest.mark.parametrize(
    ("codec", "key", "value", "said"),
    [
        ("libx264", "preset", "warp", "Possible presets: ultrafast "),
        ("libx264", "profile", "warp", "Possible profiles: baseline "),
        ("libx264", "g", "many", "'many'"),
        ("libx264", "x264-params", "ref", "Error setting option x264-params"),
        ("libvpx-vp9", "cpu-used", "99", "out of range"),
    ],
)
def test_the_option_that_an_encoder_refuses_is_named_with_its_words(
    tmp_path: Path, codec: str, key: str, value: str, said: str
) -> None:
    source = make_film(tmp_path / "a.mkv", frames=2)
    with pytest.raises(reencode.UsageError, match=f"^{codec} refuses {key}=[^ ]*{value}: .*{said}[^{{]*$"):
        colour(source, tmp_path / "b.mkv", codec=codec, encoder_options={key: value})


def test_settings_that_are_refused_are_named_where_no_process_can_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_film(tmp_path / "a.mkv", frames=2)
    monkeypatch.setattr("sys.executable", "/no/such/python")
    with pytest.raises(reencode.UsageError, match="preset warp"):
        colour(source, tmp_path / "b.mkv", preset="warp")


def test_lossless_fields_are_key_frames(tmp_path: Path) -> None:
    """x264 predicts interlaced frames not quite losslessly, so it is kept from predicting them."""
    woven = {"x264-params": "tff=1", "flags": "+ildct+ilme", "field_order": "tt"}
    source = make_film(tmp_path / "a.mkv", frames=6, size=(128, 96), options=woven)
    assert read_film(source)[0].interlaced_frame
    colour(source, tmp_path / "b.mkv", crf=0)
    assert all(frame.key_frame for frame in read_film(tmp_path / "b.mkv"))
    assert same_luma(source, tmp_path / "b.mkv")


def test_lossless_av1_of_ten_bits_is_key_frames(tmp_path: Path) -> None:
    """SVT-AV1 predicts it not quite losslessly, as where a picture dims."""
    source, noise = tmp_path / "a.mkv", np.random.default_rng(0).integers(64, 940, (96, 128))
    with av.open(source, "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p10le"
        for index in range(4):
            frame = grey_frame(128, 96, "yuv420p10le", 0)
            fill_plane(frame.planes[0], (noise - 8 * index).clip(64).astype(np.uint16))
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    colour(source, tmp_path / "b.webm", crf=0)
    assert read_film(tmp_path / "b.webm")[0].format.name == "yuv420p10le"
    assert same_luma(source, tmp_path / "b.webm")


@pytest.mark.parametrize(
    ("target", "codec", "said"),
    [
        ("out.y4m", None, b" C420mpeg2 "),
        ("out.mkv", "ffv1", b"\x55\xb7\x81\x01"),  # ChromaSitingHorz (RFC 9559): on the left
        ("out.webm", None, b"\x55\xb7\x81\x01"),
    ],
)
def test_chroma_is_said_to_lie_on_the_left_where_it_is_made_for(
    target: str, codec: str | None, said: bytes, tmp_path: Path
) -> None:
    colour(make_film(tmp_path / "in.mkv", frames=3), tmp_path / target, codec=codec)
    assert said in (tmp_path / target).read_bytes()


@pytest.mark.parametrize(("target", "codec"), [("out.wmv", None), ("out.avi", "mjpeg"), ("out.mpg", None)])
def test_encoders_that_know_no_fields_are_not_asked_for_them(
    target: str, codec: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = interlaced(tmp_path / "in.mkv", top_first=True)
    colour(source, tmp_path / target, codec=codec)
    assert len(read_film(tmp_path / target)) == 4
    assert ("no place for interlacing" in caplog.text) == (target != "out.mpg")


def test_which_frames_are_keys_is_the_encoder_s_own_choice(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", frames=12, options={"g": "1"})
    assert all(frame.key_frame for frame in read_film(source))
    colour(source, tmp_path / "b.mkv")
    assert [frame.key_frame for frame in read_film(tmp_path / "b.mkv")] == [True] + [False] * 11


def test_rgb_is_no_darker_than_the_luma_that_it_is_made_of(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", frames=1, size=(96, 640), codec="ffv1")
    colour(source, tmp_path / "b.mkv", codec="libx264rgb", crf=0)
    rgb = read_film(tmp_path / "b.mkv")[0].to_ndarray(format="rgb24").astype(float)
    wanted = np.clip((luma_of_film(source)[0].astype(float) - 16) * 255 / 219, 0, 255)
    error = rgb @ np.array([0.2126, 0.7152, 0.0722]) - wanted  # BT.709, as it has more than 576 lines
    assert abs(error.mean()) < 0.1
    assert np.abs(error).mean() < 0.5


def test_what_dnxhd_takes_is_said_where_it_refuses(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", frames=2, size=(256, 144), codec="ffv1", pix_fmt="yuv422p10le")
    with pytest.raises(UsageError, match="profile=dnxhr_hqx"):
        colour(source, tmp_path / "b.mov", codec="dnxhd")
    colour(source, tmp_path / "b.mov", codec="dnxhd", encoder_options={"profile": "dnxhr_hqx"})
    colour(
        source, tmp_path / "c.mov", codec="dnxhd", pix_fmt="yuv422p", encoder_options={"profile": "dnxhr_hq"}
    )
    assert len(read_film(tmp_path / "b.mov")) == len(read_film(tmp_path / "c.mov")) == 2
