"""The sheet that shows a film before it is coloured."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

import av
import cv2
import numpy as np
import pytest
import torch
from calling import one_line
from media import fill_plane, flat_film, make_film
from quick import quickly
from test_resume import left_in
from test_shots_apart import cut_film

from vidcolor.cli import main
from vidcolor.colorspace import ab_from_rgb
from vidcolor.contents import Contents, Moment, choose
from vidcolor.errors import UsageError, WeightsError
from vidcolor.matrices import BT709, BT2020
from vidcolor.options import Options
from vidcolor.preview import make_preview
from vidcolor.reading import open_as_asked
from vidcolor.stages.decode import DecodeSettings


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    """A generator that takes no time."""
    with quickly():
        yield


def times_in(source: Path, count: int, **settings: Any) -> list[float]:
    contents = Contents(
        open_it=lambda: open_as_asked(str(source), Options()),
        settings=DecodeSettings(name=str(source), **settings),
        cancel=mock.Mock(is_set=lambda: False),
    )
    return [float(frame.seconds) for frame in contents.pick(count)]


def shot_at(seconds: float, lengths: tuple[int, ...]) -> int:
    frame, shot = round(seconds * 25), 0
    while frame >= lengths[shot]:
        frame, shot = frame - lengths[shot], shot + 1
    return shot


@pytest.mark.parametrize("count", [1, 3, 5, 9])
def test_a_short_film_shows_the_middles_of_its_shots(count: int, tmp_path: Path) -> None:
    lengths = (20, 60, 15, 40, 25)
    source = cut_film(tmp_path / "in.mkv", lengths)
    times = times_in(source, count)
    assert len(times) == count
    assert times == sorted(set(times))
    seen = [shot_at(time, lengths) for time in times]
    assert len(set(seen)) == min(count, 5)
    if count == 5:
        middles = [sum(lengths[:i]) + lengths[i] / 2 for i in range(5)]
        assert np.allclose([time * 25 for time in times], middles, atol=1)


def test_of_a_long_film_key_frames_are_looked_at(tmp_path: Path) -> None:
    lengths = (48, 96, 24, 72, 48)
    source = tmp_path / "long.mkv"
    cut_film(tmp_path / "in.mkv", lengths)
    encoded(tmp_path / "in.mkv", source, gop=12)
    not_read_through = mock.patch.object(Contents, "_read_through", side_effect=AssertionError)
    with mock.patch("vidcolor.contents._READ_WHOLE", 50), not_read_through:
        times = times_in(source, 5)
        part = times_in(source, 2, start=Fraction(2), end=Fraction(5))
    assert {shot_at(time, lengths) for time in times} == set(range(5))
    assert len(part) == 2
    assert all(2 <= time < 5 for time in part)


def encoded(source: Path, target: Path, gop: int, begin: int = 0, format: str | None = None) -> Path:
    """The film again, with key frames that far apart, beginning at so many seconds."""
    with av.open(str(source)) as given, av.open(str(target), "w", format=format) as out:
        options = {"g": str(gop), "qp": "10", "sc_threshold": "0"}
        stream = out.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        for number, frame in enumerate(given.decode(video=0)):
            frame.pict_type = 0
            frame.pts, frame.time_base = number + 25 * begin, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return target


def test_key_frames_that_are_rare_do_not_make_a_sheet_poor(tmp_path: Path) -> None:
    source = encoded(cut_film(tmp_path / "in.mkv", (60, 70, 50)), tmp_path / "rare.mkv", gop=1000)
    with mock.patch("vidcolor.contents._READ_WHOLE", 50):
        assert len(times_in(source, 6)) == 6
        part = times_in(source, 3, start=Fraction(2), end=Fraction(6))
    assert len(part) == 3
    assert all(2 <= time < 6 for time in part)


def test_sources_without_an_index_are_looked_at_all_over(tmp_path: Path) -> None:
    lengths = (400, 400, 400)
    source = encoded(cut_film(tmp_path / "in.mkv", lengths), tmp_path / "in.ts", gop=25, begin=3600)
    times = [time - 3600 for time in times_in(source, 6)]
    assert {int(time // 16) for time in times} == {0, 1, 2}
    assert max(times) > 40
    assert min(times) < 8


def test_a_matroska_film_that_begins_late_is_looked_at_where_it_is(tmp_path: Path) -> None:
    source = encoded(cut_film(tmp_path / "in.mkv", (60, 70, 50)), tmp_path / "late.mkv", gop=25, begin=3600)
    with mock.patch("vidcolor.contents._READ_WHOLE", 50):
        times = [time - 3600 for time in times_in(source, 3)]
    assert {shot_at(time, (60, 70, 50)) for time in times} == {0, 1, 2}


def test_start_counts_from_where_the_source_begins_as_for_a_film(tmp_path: Path) -> None:
    source = encoded(cut_film(tmp_path / "in.mkv", (50, 50)), tmp_path / "in.ts", gop=25, begin=3600)
    look = Options(start=Fraction(2), duration=Fraction(1))
    made = make_preview(source, tmp_path / "sheet.png", [look], 3)
    assert len(made.times) == 3
    assert all(1.9 <= time < 3.1 for time in made.times)


def test_what_is_odd_in_a_source_is_not_said_at_each_look(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = encoded(cut_film(tmp_path / "in.mkv", (30, 30)), tmp_path / "in.h264", gop=25, format="h264")
    with caplog.at_level("WARNING", logger="vidcolor"):
        assert len(make_preview(source, tmp_path / "sheet.png", [Options()], 4).times) == 4
    assert caplog.records == []


def test_weights_of_the_same_name_are_told_apart_and_missing_ones_are_missed_at_once(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mp4", frames=3)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "best.safetensors").touch()
    paths = [str(tmp_path / name / "best.safetensors") for name in "ab"]
    made = make_preview(source, tmp_path / "s.png", [Options(weights=path) for path in paths], 1)
    assert made.rows[1:] == tuple(f"weights {path}" for path in paths)
    looks = [Options(), Options(weights=str(tmp_path / "none.safetensors"))]
    not_begun = mock.patch("vidcolor.preview._coloured", side_effect=AssertionError)
    with not_begun, pytest.raises(WeightsError):
        make_preview(source, tmp_path / "t.png", looks, 1)


def test_a_film_with_fewer_frames_than_asked_for_shows_all(tmp_path: Path) -> None:
    assert len(times_in(make_film(tmp_path / "in.mp4", frames=3), 8)) == 3


def moments(*shots: str) -> list[Moment]:
    """A letter a picture; a dot is a plain one."""
    pictures = [(shot, letter) for shot, letters in enumerate(shots) for letter in letters]
    return [
        Moment(seconds=Fraction(i), shot=shot, plain=letter == ".")
        for i, (shot, letter) in enumerate(pictures)
    ]


@pytest.mark.parametrize(
    ("shots", "count", "chosen"),
    [
        (("aaaaa",), 1, [2]),
        (("aaa", "bbb", "ccc"), 3, [1, 4, 7]),
        (("aaa", "bbb", "ccc", "ddd"), 2, [4, 10]),
        (("aaa", "bbbbbbbbb"), 4, [1, 4, 7, 10]),
        (("...", "bbb"), 2, [3, 5]),
        (("...",), 2, [0, 2]),
        (("a",), 5, [0]),
        ((), 5, []),
    ],
)
def test_choice(shots: tuple[str, ...], count: int, chosen: list[int]) -> None:
    assert [int(moment.seconds) for moment in choose(moments(*shots), count)] == chosen


def test_wide_primaries_show_the_colours_that_they_stand_for(tmp_path: Path) -> None:
    found = []
    for matrix in (BT709, BT2020):
        source = flat_film(tmp_path / f"{matrix.name}.mkv", (140, 128, 128), matrix.code)
        make_preview(source, tmp_path / f"{matrix.name}.png", [Options(precision="fp32")], 1)
        sheet = torch.from_numpy(cv2.imread(str(tmp_path / f"{matrix.name}.png"))).flip(2)
        row = sheet[-200:-40, 120:240]  # the middle: its colours lie within both gamuts
        found.append(ab_from_rgb(row.permute(2, 0, 1)[None] / 255.0).numpy())
    assert np.abs(found[0]).mean() > 5.0
    assert np.abs(found[0] - found[1]).mean() < 0.7


def test_grey_stands_above_colour_and_the_luma_is_the_same(tmp_path: Path) -> None:
    source = cut_film(tmp_path / "in.mp4", (12, 12))
    looks = [Options(precision="fp32", saturation=value) for value in (0.5, 1.0)]
    made = make_preview(source, tmp_path / "sheet.png", looks, 2)
    assert made.rows == ("grey", "saturation 0.5", "saturation 1")
    sheet = cv2.cvtColor(cv2.imread(str(tmp_path / "sheet.png")), cv2.COLOR_BGR2RGB).astype(float)
    height = (sheet.shape[0] - 24) // 3
    rows = [sheet[24 + i * height : 24 + (i + 1) * height][40:200, 40:300] for i in range(3)]
    colour = [float((row.max(2) - row.min(2)).mean()) for row in rows]
    assert colour[0] == 0.0
    assert 5.0 < colour[1] < colour[2]
    luma = [row @ [0.299, 0.587, 0.114] for row in rows]
    assert np.abs(luma[2] - luma[0]).mean() < 1.5
    assert left_in(tmp_path) == []


def test_pictures_on_a_sheet_keep_their_shape(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mp4", frames=3, size=(160, 90))
    make_preview(source, tmp_path / "sheet.png", [Options()], 1)
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape[1] == 427 + 12, "240 times 16/9, not what the generator sees, and margins"


def test_a_sheet_that_is_too_wide_is_refused_before_the_work(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mp4", frames=60, size=(64, 16))
    not_begun = mock.patch("vidcolor.preview._coloured", side_effect=AssertionError)
    with not_begun, pytest.raises(UsageError, match=r"choose \.png"):
        make_preview(source, tmp_path / "wide.webp", [Options()], 40)
    assert left_in(tmp_path) == []


def test_a_picture_and_a_turned_film_have_previews(tmp_path: Path) -> None:
    cv2.imwrite(
        str(tmp_path / "in.png"), np.arange(240 * 320, dtype=np.uint32).reshape(240, 320).astype(np.uint8)
    )
    assert make_preview(tmp_path / "in.png", tmp_path / "one.jpg", [Options()]).times == (0.0,)
    turned = tmp_path / "turned.mp4"
    with av.open(str(turned), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 192, "yuv420p"
        stream.set_display_matrix((0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30))
        frame = av.VideoFrame(320, 192, "yuv420p")
        fill_plane(frame.planes[0], np.tile(np.linspace(30, 220, 320), (192, 1)).astype(np.uint8))
        for plane in frame.planes[1:]:
            fill_plane(plane, np.full((96, 160), 128, np.uint8))
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    make_preview(turned, tmp_path / "two.png", [Options()])
    sheet = cv2.imread(str(tmp_path / "two.png"))
    assert sheet.shape[0] > 2 * 400 > 2 * sheet.shape[1], "two tall pictures above each other"


def command(*arguments: str | Path) -> int:
    codes: list[int] = []
    with (
        mock.patch("vidcolor.cli._leave", codes.append),
        mock.patch("sys.argv", ["vidcolor", *map(str, arguments)]),
    ):
        main()
    return codes[-1]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = cut_film(tmp_path / "in.mp4", (12, 12))
    assert (
        command(source, tmp_path / "sheet.png", "--preview", "--render-size", "64", "--render-size", "96")
        == 0
    )
    assert "8 pictures, rows: grey; render-size 64; render-size 96" in capsys.readouterr().err
    assert command("--preview", source, tmp_path / "sheet.png") == 5
    assert "-y overwrites" in one_line(capsys.readouterr().err)
    assert command(source, tmp_path / "sheet.png", "-y", "--preview", "2") == 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("in.mp4", "out.mp4", "--preview"), 2, "a preview is a picture"),
        (("in.mp4", "-", "--preview"), 2, "a preview is a picture"),
        (("-", "out.png", "--preview"), 2, "has to be a file"),
        (("in.mp4", "out.png", "--preview", "0"), 2, "1 to 64"),
        (("in.mp4", "out.png", "--preview", "1000"), 2, "1 to 64"),
        (("in.mp4", "in.mp4", "out.png", "--preview"), 2, "one film"),
        (("nothing.mp4", "out.png", "--preview"), 3, "nothing.mp4"),
        (("noise.mp4", "out.png", "--preview"), 3, "noise.mp4"),
        (("in.mp4", "no/out.png", "--preview"), 5, "there is no folder"),
        (("in.mp4", "out.mp4", "--saturation", "1", "--saturation", "2"), 2, "several are for --preview"),
        (("in.mp4", "out.png", "--preview", "--start", "99"), 3, "between --start and the end"),
        (("in.mp4", "out_%03d.png", "--preview"), 2, "a preview is one picture"),
    ],
)
def test_bad_requests(
    arguments: tuple[str, ...],
    code: int,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    make_film(tmp_path / "in.mp4", frames=4)
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 40)
    assert command(*arguments) == code
    assert says in one_line(capsys.readouterr().err)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "noise.mp4"]


def test_options_that_a_sheet_has_no_use_for_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = cut_film(tmp_path / "in.mp4", (4, 4))
    given = ("--compare", "side", "--crf", "20", "--no-resume", "--render-size", "64", "--device", "cpu")
    assert command(source, tmp_path / "sheet.png", "--preview", "2", *given) == 0
    assert "a preview does without --compare, --crf, --no-resume\n" in capsys.readouterr().err
