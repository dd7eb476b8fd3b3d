"""Options: validated when built, and none of the encoder's may name a file."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media import make_film
from quick import colour

from vidcolor.errors import UsageError
from vidcolor.options import Options, parse_seconds, refuse_files


def test_options_are_frozen_and_keyword_only() -> None:
    options = Options()
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.saturation = 2.0  # type: ignore[misc]
    with pytest.raises(TypeError):
        Options(256)  # type: ignore[misc]


def test_each_field_says_whether_it_changes_the_film() -> None:
    how = {f.name for f in dataclasses.fields(Options) if f.metadata.get("how")}
    trust = {"overwrite", "allow_references", "allow_network"}
    assert how == trust | {"resume", "restart", "accept_drift", "work_dir", "jobs", "ray"}


@pytest.mark.parametrize(
    "bad",
    [
        {"device": "gpu"}, {"device": "cuda:"}, {"device": "cuda:x"}, {"precision": "int8"},
        {"engine": "tensorrt"},
        {"temporal": "x"},
        {"render_size": 31}, {"render_size": 2049}, {"batch_size": 0}, {"batch_size": 1025},
        {"saturation": -0.1}, {"saturation": float("nan")}, {"saturation": float("inf")},
        {"smoothing": 1.1}, {"smoothing": float("nan")}, {"crf": -1.0}, {"crf": float("nan")}, {"crf": 256.0},
        {"duration": Fraction(0)}, {"framerate": Fraction(0)},
        {"framerate": Fraction(1001)}, {"codec": ""}, {"preset": ""}, {"pix_fmt": ""}, {"format": ""},
        {"audio": ""}, {"work_dir": ""},
        {"crf": "18"}, {"saturation": "1"}, {"start": "1.5"}, {"start": float("nan")}, {"render_size": 64.5},
        {"render_size": None}, {"weights": None}, {"resume": 1}, {"render_size": True},
        {"encoder_options": {"g": 1}}, {"encoder_options": "g=1"}, {"encoder_options": None},
    ],
)  # fmt: skip
def test_values_outside_their_range_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Options(**bad)


def test_files_may_be_paths() -> None:
    assert Options(work_dir=Path("a") / "b").work_dir == os.path.join("a", "b")  # type: ignore[arg-type]


def test_numbers_of_other_kinds_are_taken() -> None:
    given = Options(crf=np.int64(20), saturation=1, render_size=np.int64(64))
    assert [type(v) for v in (given.crf, given.saturation, given.render_size)] == [float, float, int]
    with pytest.raises(UsageError, match=r"render size .*64\.0.*: is no int"):
        Options(render_size=np.float64(64.0))


@pytest.mark.parametrize("value", [1.5, Fraction(3, 2), Decimal("1.5"), np.float64(1.5)])
def test_seconds_may_be_any_number(value: Any) -> None:
    assert Options(start=value, duration=3, framerate=12.5) == Options(
        start=Fraction(3, 2), duration=Fraction(3), framerate=Fraction(25, 2)
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1:30", 90), ("00:01:30.5", Fraction(181, 2)), ("0.04", Fraction(1, 25)), ("0", 0)],
)
def test_times_are_read_exactly(text: str, seconds: Fraction) -> None:
    assert parse_seconds(text) == seconds


@given(st.text(alphabet="0123456789:.-+e ", max_size=12))
def test_what_is_no_time_is_refused_and_nothing_else_happens(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert parse_seconds(text) >= 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("stats", "here.log"), ("passlogfile", "x"), ("dump-yuv", "x"), ("dump_yuv", "x"), ("DUMP-YUV", "x"),
        ("x264-params", "qpfile=q.txt"), ("x264-params", "keyint=3:stats=s"),
        ("x264-params", "dump-yuv=x.yuv"),
        ("x264-params", "dump_yuv=x.yuv"), ("x264-params", " qpfile = q"),
        ("x264-params", "keyint=3: stats=s"),
        ("x264-params", "q\\pfile=q"), ("x264-params", "'qpfile'=q"), ('x264-params', '"qpfile"=q'),
        ("x264-params", "keyint=3\\:qpfile=q"), ("x264opts", "stats=s"), ("x264opts", "cqmfile=s"),
        ("x264-params", "opencl=1"), ("x264-params", "pass=1"), ("x264-params", "tcfile-in=t"),
        ("x264-params", "qpfile"), ("x264-params", "keyint=3\nstats=s"),
        ("x265-params", "csv=c.csv"), ("x265-params", "analysis-save=a"), ("x265-params", "analysis-load=a"),
        ("x265-params", "recon=r.yuv"), ("x265-params", "recon-y4m-exec=sh"), ("x265-params", "qpfile=q"),
        ("x265-params", "scaling-list=s.txt"), ("x265-params", "lambda-file=l"),
        ("x265-params", "zonefile=z"),
        ("x265-params", "dhdr10-info=j"), ("x265-params", "dolby-vision-rpu=r"),
        ("x265-params", "nalu-file=n"),
        ("x265-params", "film-grain=model"), ("x265-params", "analysis-reuse-file=x"),
        ("x265-params", "pass=2"),
        ("x265-params", "aom-film-grain=t"), ("x265-params", "multi-pass-opt-analysis=1:stats=x"),
        ("svtav1-params", "fgs-table=t"), ("svtav1-params", "stat-file=s"), ("svtav1-params", "passes=2"),
        ("svtav1-params", "qpfile=q"), ("svtav1-params", "roi-map-file=r"),
        ("aom-params", "film-grain-table=t"), ("aom-params", "vmaf-model-path=m"),
        ("aom-params", "rate-distribution-info=r"), ("kvazaar-params", "preset=fast,cqmfile=c"),
        ("kvazaar-params", "roi=r"), ("vvenc-params", "rcstatsfile=s"), ("libvvenc-params", "tracefile=t"),
        ("anything", "/etc/passwd"), ("anything", "..\\x"), ("tune", "../x"), ("aspect", "16/9/x"),
        ("flags", "+pass1"), ("", "3"), ("a b", "3"), ("a=b", "3"), ("key", "x\x00y"), ("st\x00ats", "x"),
    ],
)  # fmt: skip
def test_an_encoder_option_that_names_a_file_is_refused(key: str, value: str) -> None:
    with pytest.raises(UsageError):
        refuse_files(key, value)
    with pytest.raises(UsageError):
        Options(encoder_options={key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("keyint", "50"), ("me", "umh"), ("me_method", "umh"), ("subme", "7"), ("subq", "7"),
        ("aq-mode", "3"),
        ("psy-rd", "1.0:0.15"), ("bframes", "3"), ("ref", "4"), ("refs", "4"), ("rc-lookahead", "40"),
        ("vbv-maxrate", "5000"), ("tune", "film"), ("profile", "high"), ("level", "4.1"), ("g", "50"),
        ("bf", "2"), ("threads", "2"), ("b", "4M"), ("maxrate", "5M"), ("aspect", "16/9"), ("row-mt", "1"),
        ("x264-params", "keyint=50:me=umh:subme=9:aq-mode=3:psy-rd=1.0,0.15:bframes=3:ref=4:rc-lookahead=40"),
        ("x264-params", "vbv-maxrate=5000:vbv-bufsize=5000:deblock=-1,-1:nal-hrd=vbr:no-mbtree=1:open-gop=0"),
        ("x264-params", "stitchable=1:colormatrix=bt709:partitions=i4x4,p8x8:weightp=2:slow-firstpass=1"),
        ("x265-params", "profile=main10:level-idc=51:hdr10=1:max-cll=1000,400:aq-mode=3:log-level=error"),
        ("x265-params",
        "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"),
        ("svtav1-params", "tune=0:film-grain=8:enable-overlays=1:lookahead=40:keyint=10s"),
        ("aom-params", "enable-chroma-deltaq=1:tune=ssim"), ("cpu-used", "4"), ("deadline", "good"),
    ],
)  # fmt: skip
def test_common_encoder_options_are_taken(key: str, value: str) -> None:
    refuse_files(key, value)


@pytest.mark.parametrize("key", ["pixel_format", "video_size", "time_base"])
def test_what_follows_from_the_source_is_no_option_of_the_encoder(key: str) -> None:
    with pytest.raises(UsageError, match=f"{key}: follows from the source"):
        Options(encoder_options={key: "1"})


@pytest.mark.parametrize(
    "given", [{"x264-params": "pass=1"}, {"flags": "+pass1"}, {"x264-params": "stats=s"}]
)
def test_an_encoder_writes_no_file_of_its_own(
    given: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = make_film(tmp_path / "film.mp4", frames=2)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError):
        colour(film, tmp_path / "out.mkv", encoder_options=given)
    assert os.listdir(tmp_path) == ["film.mp4"]


@pytest.mark.parametrize(
    ("value", "fine"), [("flat", True), ("jvt", True), ("matrix.cfg", False), ("m", False)]
)
def test_a_quantiser_matrix_may_be_named_but_not_be_a_file(value: str, fine: bool) -> None:
    with contextlib.nullcontext() if fine else pytest.raises(UsageError, match="cqm"):
        refuse_files("x264-params", f"keyint=50:cqm={value}")
