"""Each target gets an encoder that keeps the depth of the source, or a refusal that names the way out."""

from __future__ import annotations

import itertools
import logging
from fractions import Fraction
from pathlib import Path
from unittest import mock

import pytest
from media import luma_of_film, make_film, packets_of, planes_of, read_film, times_of
from quick import colour, same_luma

from vidcolor.errors import OutputError, UsageError
from vidcolor.media.encoders import _fitting_subsampling, muxer_for, suffix_for
from vidcolor.media.quality import encoder_settings, encoder_time_base

CHOICES = [
    ("mp4", "yuv420p", "libx264"),
    ("mov", "yuv422p10le", "libx264"),
    ("mkv", "yuv444p10le", "libx264"),
    ("mp4", "yuv420p12le", "libx265"),
    ("mkv", "yuv422p12le", "libx265"),
    ("mkv", "yuv420p9le", "ffv1"),
    ("mkv", "yuv420p14le", "ffv1"),
    ("avi", "yuv420p12le", "ffv1"),
    ("webm", "yuv420p", "libvpx-vp9"),
    ("webm", "yuv420p10le", "libsvtav1"),
    ("ts", "yuv420p", "libx264"),
    ("avi", "yuv420p", "libx264"),
    ("flv", "yuv420p", "libx264"),
    ("nut", "yuv420p", "libx264"),
    ("mpg", "yuv420p", "mpeg2video"),
    ("vob", "yuv420p", "mpeg2video"),
    ("mxf", "yuv420p", "libx264"),
    ("mxf", "yuv420p10le", "libx264"),
    ("wmv", "yuv420p", "wmv2"),
    ("y4m", "yuv420p10le", "rawvideo"),
]


@pytest.mark.parametrize(("suffix", "pix_fmt", "codec"), CHOICES)
def test_container_and_depth_choose_an_encoder_that_keeps_the_format(
    tmp_path: Path, suffix: str, pix_fmt: str, codec: str
) -> None:
    source = make_film(tmp_path / "a.mkv", frames=4, codec="ffv1", pix_fmt=pix_fmt)
    target = tmp_path / f"b.{suffix}"
    assert colour(source, target).codec == codec
    before, after = luma_of_film(source), read_film(target)
    assert len(after) == 4
    unit = 1 << (after[0].format.components[0].bits - 8)
    for luma, frame in zip(before, after, strict=True):
        assert frame.format.name == pix_fmt
        assert abs(luma.astype(float) - planes_of(frame)[0]).mean() < 6 * unit
    times = times_of(target)
    assert [round(float(t - times[0]), 3) for t in times] == [0, 0.04, 0.08, 0.12]


@pytest.mark.parametrize(
    ("target", "pix_fmt", "options", "words"),
    [
        ("b.mp4", "gray16le", {}, "16 bits.*mkv"),
        ("b.webm", "yuv420p12le", {}, "10 bits.*12.*mkv"),
        ("b.webm", "yuv422p10le", {}, "yuv420p10le"),
        ("b.mp4", "yuv420p16le", {"codec": "libx264"}, "--pix-fmt from .*yuv420p10le"),
        ("b.webm", "yuv420p", {"codec": "libx264"}, "webm cannot hold h264"),
        ("b.mkv", "yuv420p", {"codec": "nope"}, "no such encoder"),
        ("b.mkv", "yuv420p", {"codec": "aac"}, "encodes audio"),
        ("b.mkv", "yuv420p", {"pix_fmt": "nope"}, "no such pixel format"),
        ("b.mkv", "yuv420p", {"pix_fmt": "pal8"}, "libx264 takes"),
        ("b.mkv", "yuv420p", {"codec": "ffv1", "crf": 20.0}, "no such scale"),
        ("b.ogv", "yuv420p", {}, "no encoder for theora"),
        ("b.xyz", "yuv420p", {}, "names no container; .*png or jpg for pictures"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_the_choices(
    tmp_path: Path, target: str, pix_fmt: str, options: dict, words: str
) -> None:
    source = make_film(tmp_path / "a.mkv", frames=2, codec="ffv1", pix_fmt=pix_fmt)
    with pytest.raises(UsageError, match=words) as caught:
        colour(source, tmp_path / target, **options)
    assert caught.value.exit_code == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mkv"]


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9", "libsvtav1", "ffv1"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_crf_0_is_lossless_with_every_encoder_that_can_be(tmp_path: Path, codec: str, pix_fmt: str) -> None:
    if (codec, pix_fmt) == ("libvpx-vp9", "yuv420p10le"):
        pytest.skip("this FFmpeg's VP9 has 8 bits only")
    source = make_film(tmp_path / "a.mkv", frames=3, codec="ffv1", pix_fmt=pix_fmt)
    colour(source, tmp_path / "b.mkv", codec=codec, crf=0)
    assert same_luma(source, tmp_path / "b.mkv")


@pytest.mark.parametrize(("codec", "written"), [("huffyuv", "yuv422p"), ("v210", "yuv422p10le")])
def test_an_encoder_without_420_gets_422_in_place_of_rgb(
    tmp_path: Path, codec: str, written: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_film(tmp_path / "a.mkv", frames=3, codec="ffv1", pix_fmt=written.replace("422", "420"))
    colour(source, tmp_path / "b.avi", codec=codec, crf=0)
    assert read_film(tmp_path / "b.avi")[0].format.name == written
    assert same_luma(source, tmp_path / "b.avi")
    assert f"{codec} has no 4:2:0: writing 4:2:2" in caplog.messages
    assert not any("R'G'B'" in line for line in caplog.messages)


@pytest.mark.parametrize("codec", ["libx264", "libx264rgb"])
def test_x264_does_without_avx_512(codec: str) -> None:
    """Two runs were not the same with it."""
    with mock.patch("torch.backends.cpu.get_cpu_capability", lambda: "AVX512"):
        settings = encoder_settings(codec, muxer="matroska", crf=None, preset=None, extra={})
    assert settings["x264-params"] == "asm=avx2"
    with mock.patch("torch.backends.cpu.get_cpu_capability", lambda: "DEFAULT"):  # a CPU without AVX2, too
        settings = encoder_settings(codec, muxer="matroska", crf=None, preset=None, extra={})
    assert "x264-params" not in settings


def test_crf_0_never_reaches_libx264_as_crf() -> None:
    settings = encoder_settings("libx264", muxer="mp4", crf=0, preset=None, extra={})
    assert settings["qp"] == "0"
    assert "crf" not in settings


def test_options_for_the_encoder_are_added_to_our_own() -> None:
    extra = {"x265-params": "aq-mode=3", "tune": "grain"}
    settings = encoder_settings("libx265", muxer="mp4", crf=0, preset="fast", extra=extra)
    assert settings == {
        "a53cc": "1",
        "x265-params": "log-level=error:info=0:lossless=1:aq-mode=3",
        "preset": "fast",
        "tune": "grain",
    }


@pytest.mark.parametrize(
    ("chosen", "bits"), [("yuv420p", 8), ("yuv444p", 8), ("yuv420p10le", 10), ("yuvj420p", 8)]
)
def test_pix_fmt_converts_to_what_is_asked_for(tmp_path: Path, chosen: str, bits: int) -> None:
    source = make_film(tmp_path / "a.mkv", frames=2, codec="ffv1", pix_fmt="gray16le")
    colour(source, tmp_path / "b.mp4", pix_fmt=chosen, crf=0)
    for before, frame in zip(luma_of_film(source), read_film(tmp_path / "b.mp4"), strict=True):
        assert frame.format.name == chosen
        assert frame.color_range == (2 if chosen == "yuvj420p" else 1)
        wanted = before / 256.0 * (1 << (bits - 8))
        if chosen == "yuvj420p":
            wanted = (wanted - 16) * 255 / 219
        assert abs(planes_of(frame)[0] - wanted).mean() < 1.0
        chroma = planes_of(frame)[2]
        assert chroma.max() > chroma.min() + 20


def test_odd_sizes_become_444_and_a_line_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = make_film(tmp_path / "a.mkv", size=(33, 17), frames=2, codec="ffv1")
    with caplog.at_level(logging.WARNING, logger="vidcolor"):
        colour(source, tmp_path / "b.mp4")
    assert read_film(tmp_path / "b.mp4")[0].format.name == "yuv444p"
    assert sum("33×17" in line and "4:4:4" in line for line in caplog.messages) == 1


def test_suffix_or_format_name_the_muxer() -> None:
    assert muxer_for("a.MKV", None) == "matroska"
    assert muxer_for("-", None) == "matroska"
    assert muxer_for("-", "mp4") == "mp4"
    assert muxer_for("a.mkv", "webm") == "webm"
    assert muxer_for("-", "Matroska") == "matroska"
    assert suffix_for("Matroska") == ".mkv"


def test_only_what_counts_frames_leaves_the_time_base_of_the_source() -> None:
    fine, rate = Fraction(1, 90000), Fraction(30000, 1001)
    assert encoder_time_base("mp4", "libx264", fine, rate, steady=True) == fine
    assert encoder_time_base("matroska", "ffv1", fine, rate, steady=False) == fine
    assert encoder_time_base("avi", "libx264", fine, rate, steady=True) == 1 / rate
    assert encoder_time_base("avi", "libx264", fine, rate, steady=False) == Fraction(1, 1000)
    assert encoder_time_base("yuv4mpegpipe", "rawvideo", fine, rate, steady=False) == 1 / rate
    for codec in ("mpeg1video", "mpeg2video", "dvvideo", "dnxhd"):  # they refuse what is no usual rate
        assert encoder_time_base("matroska", codec, fine, rate, steady=False) == 1 / rate


@pytest.mark.parametrize("muxer", ["hls", "dash", "segment", "tee", "rtp"])
def test_muxers_that_write_further_files_are_refused(muxer: str) -> None:
    with pytest.raises(UsageError, match="more than the one file"):
        muxer_for("film.mp4", muxer)


def test_a_muxer_that_moves_tracks_apart_is_refused() -> None:
    with pytest.raises(UsageError, match="out of step"):
        muxer_for("film.mp4", "ismv")


@pytest.mark.parametrize(("codec", "crf"), [("libx264", 52), ("libx265", 60), ("libvpx-vp9", 64)])
def test_quality_beyond_the_encoder_s_scale_is_refused(codec: str, crf: float) -> None:
    with pytest.raises(UsageError, match=f"{codec} takes 0 to"):
        encoder_settings(codec, muxer="matroska", crf=crf, preset=None, extra={})
    worst = float({"libvpx-vp9": 63}.get(codec, 51))
    taken = encoder_settings(codec, muxer="matroska", crf=worst, preset=None, extra={})
    assert taken["crf"] == f"{worst:g}"


def test_crf_0_is_refused_where_it_would_lose_something() -> None:
    with pytest.raises(UsageError, match="mpeg4 has no such scale"):
        encoder_settings("mpeg4", muxer="mp4", crf=0, preset=None, extra={})
    encoder_settings("ffv1", muxer="matroska", crf=0, preset=None, extra={})


def test_h264_is_the_same_from_run_to_run(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", frames=20, size=(320, 240))
    found = []
    for run in range(4):
        colour(source, tmp_path / f"{run}.mkv")
        found.append(packets_of(tmp_path / f"{run}.mkv", "video"))
    assert found[0] == found[1] == found[2] == found[3]


@pytest.mark.parametrize(
    ("size", "wanted", "interlaced", "expected"),
    [
        ((720, 486), "420", True, "422"),  # x264 weaves fields of 4:2:0 in groups of four lines
        ((720, 486), "420", False, "420"),
        ((720, 576), "420", True, "420"),
        ((720, 487), "422", True, "444"),
        ((721, 486), "422", False, "444"),
        ((721, 487), "444", True, "444"),
    ],
)
def test_chroma_is_subsampled_as_far_as_the_size_allows(
    size: tuple[int, int], wanted: str, interlaced: bool, expected: str
) -> None:
    assert _fitting_subsampling("libx264", wanted, size, interlaced) == expected
    assert _fitting_subsampling("ffv1", wanted, size, interlaced) == wanted


@pytest.mark.parametrize(
    ("target", "uneven"),
    [("b.y4m", True), ("b.y4m", False), ("b.mkv", True), ("b.h264", True), ("b.mpg", True)],
)
def test_a_variable_rate_in_a_container_of_one_rate_is_said(
    tmp_path: Path, target: str, uneven: bool, caplog: pytest.LogCaptureFixture
) -> None:
    times = [0, 40, 80, 120, 1000, 1040] if uneven else [0, 40, 80, 120, 160, 200]
    source = make_film(tmp_path / "a.mkv", pts=times, time_base=Fraction(1, 1000))
    colour(source, tmp_path / target, format="h264" if target == "b.h264" else None)
    said = [line for line in caplog.messages if "one frame rate" in line]
    kind = {"b.y4m": "y4m", "b.h264": "h264"}.get(target) if uneven else None
    line = f"{kind} holds one frame rate: frames of other times are shown too early"
    assert said == ([line] if kind else [])
    if target == "b.mpg":
        gaps = [b - a for a, b in itertools.pairwise(times_of(tmp_path / target))]
        assert max(gaps) == Fraction(88, 100)


def test_frames_of_a_film_whose_last_one_lasts_long_are_late_in_a_container_of_one_rate(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    times = [*range(0, 400, 40), 5400]  # on average, by which they go then, half a second apart
    source = make_film(tmp_path / "a.mp4", pts=times, time_base=Fraction(1, 1000))
    colour(source, tmp_path / "b.y4m")
    assert sum("are shown too late" in line for line in caplog.messages) == 1


def test_a_preset_that_the_encoder_does_not_have_is_refused(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", frames=2)
    with pytest.raises(UsageError, match="ffv1 has none"):
        colour(source, tmp_path / "b.mkv", codec="ffv1", preset="slow")


@pytest.mark.parametrize(
    ("aspect", "said"), [(Fraction(1), False), (Fraction(12, 11), False), (Fraction(2), True)]
)
def test_shapes_that_mpeg_2_cannot_state_are_named(
    aspect: Fraction, said: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_film(tmp_path / "in.mkv", frames=4, size=(352, 288), sample_aspect_ratio=aspect)
    assert colour(source, tmp_path / "out.mpg").frames == 4
    assert ("4:3, 16:9 and 2.21:1 only, not of 2.44:1" in caplog.text) == said


@pytest.mark.parametrize(
    ("muxer", "extra"),
    [
        ("mxf", {"g": "129"}),
        ("mxf", {"g": "250"}),
        ("mxf", {"g": "-1"}),
        ("mxf", {"bf": "2"}),
        ("avi", {"bf": "3"}),
    ],
    ids=str,
)
def test_what_would_fail_at_the_end_or_give_wrong_times_is_refused(muxer: str, extra: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=rf"--encoder-option \w+=.*{muxer}"):
        encoder_settings("libx264", muxer=muxer, crf=None, preset=None, extra=extra)


def test_other_distances_of_key_frames_are_taken() -> None:
    taken = (("mxf", "0"), ("mxf", "50"), ("mxf", "128"), ("mp4", "250"), ("avi", "250"))
    for muxer, asked in (*taken, ("mxf", "abc")):  # of which the encoder says what is wrong
        settings = encoder_settings("libx264", muxer=muxer, crf=None, preset=None, extra={"g": asked})
        assert settings["g"] == asked
    settings = encoder_settings("libx264", muxer="mxf", crf=None, preset=None, extra={})
    assert 1 <= int(settings["g"]) <= 128


@pytest.mark.parametrize(
    ("codec", "key", "value", "said"),
    [
        ("libx264", "x264-params", "me=umh:ref=abc", "ref = abc"),
        ("libx264", "x264-params", "no-such-thing=1", "no-such-thing"),
        ("libx264", "x264opts", "no-such-thing=1", "no-such-thing"),
        ("libx265", "x265-params", "no-such-thing=1", "no-such-thing"),
        ("libx265", "x265-params", "rd=abc", "rd: abc"),
        ("libsvtav1", "svtav1-params", "tune=900", "tune: 900"),
    ],
)
def test_a_parameter_that_the_library_does_not_take_is_refused(
    codec: str, key: str, value: str, said: str
) -> None:
    with pytest.raises(UsageError, match=f"--encoder-option {key}: {codec} says: .*{said}"):
        encoder_settings(codec, muxer="matroska", crf=None, preset=None, extra={key: value})


def test_parameters_that_the_library_takes_reach_it() -> None:
    settings = encoder_settings(
        "libx265", muxer="matroska", crf=None, preset=None, extra={"x265-params": "rd=4"}
    )
    assert settings["x265-params"].endswith(":rd=4")
    extra = {"svtav1-params": "tune=0"}  # of which there are none of our own
    settings = encoder_settings("libsvtav1", muxer="matroska", crf=None, preset=None, extra=extra)
    assert settings["svtav1-params"] == "tune=0"


def test_parameters_are_left_to_the_encoder_where_no_process_can_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.executable", "/no/such/python")
    settings = encoder_settings(
        "libx264", muxer="matroska", crf=None, preset=None, extra={"x264opts": "a-b=1"}
    )
    assert settings["x264opts"] == "a-b=1"


def test_an_encoder_that_fails_is_no_fault_of_vidcolor(tmp_path: Path) -> None:
    film = make_film(tmp_path / "a.mp4", frames=3)
    with pytest.raises(OutputError, match="vc2 cannot encode the picture"):
        colour(film, tmp_path / "b.mov", codec="vc2")


@pytest.mark.parametrize(
    ("muxer", "given", "says"),
    [
        ("avi", {"bf": "2"}, "bf=2: frames have wrong times"),
        ("avi", {"x264-params": "ref=2:bframes=3"}, "bframes=3: frames have wrong times"),
        ("mxf", {"x264opts": "bframes=1"}, "bframes=1: frames have wrong times"),
        ("mxf", {"g": "300"}, "g=300: mxf needs a key frame"),
        ("mxf", {"x264-params": "keyint=300:scenecut=0"}, "keyint=300: mxf needs a key frame"),
        ("mxf", {"x264-params": "keyint=infinite"}, "keyint=infinite: mxf needs a key frame"),
    ],
)
def test_what_a_container_cannot_time_is_refused_also_among_x264_s_own(
    muxer: str, given: dict[str, str], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        encoder_settings("libx264", muxer=muxer, crf=None, preset=None, extra=given)
    encoder_settings("libx264", muxer="matroska", crf=None, preset=None, extra=given)
    harmless = {"x264-params": "bframes=0:keyint=100:vbv-maxrate=9000"}
    encoder_settings("libx264", muxer=muxer, crf=None, preset=None, extra=harmless)
    assert encoder_settings("h264_nvenc", muxer=muxer, crf=None, preset=None, extra={})["bf"] == "0"


@pytest.mark.parametrize(
    ("flags", "made"), [("+mv4", "+qscale+mv4"), ("mv4", "+qscale+mv4"), ("-loop", "+qscale-loop")]
)
def test_flags_do_not_take_the_quantiser_away(flags: str, made: str) -> None:
    found = encoder_settings("mpeg4", muxer="mp4", crf=None, preset=None, extra={"flags": flags})
    assert found["flags"] == made
    assert (
        encoder_settings("libx264", muxer="mp4", crf=None, preset=None, extra={"flags": flags})["flags"]
        == flags
    )


@pytest.mark.parametrize("codec", ["png", "apng"])
def test_png_is_written_quickly_unless_asked_otherwise(codec: str) -> None:
    for extra, level in (({}, "3"), ({"compression_level": "9"}, "9")):
        settings = encoder_settings(codec, muxer="image2", crf=None, preset=None, extra=extra)
        assert settings == {"compression_level": level}
