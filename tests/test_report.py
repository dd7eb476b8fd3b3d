"""The page about a film before and after."""

from __future__ import annotations

import base64
import errno
import os
import re
import shutil
import sys
from collections.abc import Iterator
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest import mock

import av
import cv2
import numpy as np
import pytest
import torch
from calling import call, one_line
from media import fill_plane, flat_film, make_film, times_of, true_ab
from test_shots_apart import cut_film

from vidcolor.colorspace import ab_from_rgb
from vidcolor.errors import InputError, OutputError, UsageError
from vidcolor.matrices import BT2020
from vidcolor.report import measure as measure_module
from vidcolor.report.cli import main
from vidcolor.report.making import check_report, make_report
from vidcolor.report.measure import measure
from vidcolor.report.page import hues, thinned

LENGTHS = (20, 30, 25)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A film of three shots, and what became of it."""
    folder = tmp_path_factory.mktemp("pair")
    source = cut_film(folder / "in.mkv", LENGTHS)
    assert call(source, folder / "out.mkv", "-q") == 0
    return str(source), str(folder / "out.mkv")


class Page(HTMLParser):
    """What stands in a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text = path.read_text()
        self.images: list[dict[str, str | None]] = []
        self.names: list[str] = []
        self.addresses: list[str] = []
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.names.append(tag)
        self.addresses += [str(given[key]) for key in ("src", "href") if key in given]
        if tag == "img":
            self.images.append(given)


def picture(image: dict[str, str | None]) -> np.ndarray:
    content = base64.b64decode(str(image["src"]).split(",", 1)[1])
    return np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)).astype(int)


def test_each_shot_is_shown_before_and_after(pair: tuple[str, str], tmp_path: Path) -> None:
    found = make_report(*pair, tmp_path / "report.html")
    assert [shot.frames for shot in found.shots] == list(LENGTHS)
    page = Page(tmp_path / "report.html")
    assert len(page.images) == 6
    for after, before in zip(page.images[::2], page.images[1::2], strict=True):
        assert "coloured" in str(after["alt"])
        assert "as it was" in str(before["alt"])
        coloured, grey = picture(after), picture(before)
        assert coloured.shape == grey.shape == (int(str(after["height"])), int(str(after["width"])), 3)
        assert np.ptp(grey, axis=2).mean() < 2 < 8 < np.ptp(coloured, axis=2).mean()
        weights = [0.114, 0.587, 0.299]
        assert np.abs(coloured @ weights - grey @ weights).mean() < 6, "the same frame"


def test_the_page_needs_nothing_beside_itself(pair: tuple[str, str], tmp_path: Path) -> None:
    make_report(*pair, tmp_path / "report.html")
    page = Page(tmp_path / "report.html")
    assert all(address.startswith("data:image/jpeg;base64,") for address in page.addresses)
    assert not {"link", "iframe"} & set(page.names)
    assert not re.search(r"https?:|@import|url\(", re.sub(r"base64,[^']*", "", page.text))


def test_colours_over_time_are_measured(pair: tuple[str, str]) -> None:
    found = measure(*pair)
    assert len(found.times) == len(found.chroma) == len(found.luma) == len(found.ab) == sum(LENGTHS)
    assert (found.chroma > 3).all()
    assert measure(pair[0], pair[0]).chroma.max() < 1


def test_frames_are_made_small_by_one_reformatter(pair: tuple[str, str]) -> None:
    """To set one up, threads and all, takes five times as long as to use it."""
    with mock.patch("vidcolor.report.measure._rgb", side_effect=measure_module._rgb) as made:
        measure(*pair, shown=0)
    assert made.call_count == sum(LENGTHS)
    assert len({id(call.args[2]) for call in made.call_args_list}) == 1


def test_nobody_waits_for_a_report_without_a_word(
    pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[int, int | None]] = []
    measure(*pair, shown=0, progress=lambda now: told.append((now.frames, now.total)))
    assert told == [(done, sum(LENGTHS)) for done in range(10, sum(LENGTHS) + 1, 10)]
    for mode, words in (("bar", True), ("json", False)):
        page = tmp_path / f"{mode}.html"
        assert call(*pair, "--progress", mode, "--report", page) == 0
        assert ("report:" in capsys.readouterr().err) is words


def test_frames_that_do_not_decode_any_more_are_named(
    pair: tuple[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    measure(*pair)
    assert not caplog.messages
    cut = tmp_path / "cut.mkv"
    content = Path(pair[1]).read_bytes()
    cut.write_bytes(content[: len(content) // 2])
    found = measure(pair[0], str(cut))
    said = [m for m in caplog.messages if "could not be decoded; the page is without" in m]
    assert len(said) == 1 and said[0].startswith(f"{cut}: {sum(LENGTHS) - len(found.times)} frames ")


def test_of_many_shots_some_are_shown_and_all_are_listed(pair: tuple[str, str]) -> None:
    found = measure(*pair, shown=2)
    assert [bool(shot.after) for shot in found.shots] == [True, False, True]


def test_a_part_of_a_film_is_found_in_its_source(pair: tuple[str, str], tmp_path: Path) -> None:
    assert call(pair[0], tmp_path / "part.mkv", "-q", "--start", "1", "--report", tmp_path / "a.html") == 0
    page = Page(tmp_path / "a.html")
    for after, before in zip(page.images[::2], page.images[1::2], strict=True):
        weights = [0.114, 0.587, 0.299]
        assert np.abs(picture(after) @ weights - picture(before) @ weights).mean() < 6
    wrong = measure(pair[0], str(tmp_path / "part.mkv"), start=Fraction(0))
    assert (
        wrong.shots[0].before
        != measure(pair[0], str(tmp_path / "part.mkv"), start=Fraction(1)).shots[0].before
    )


def test_a_part_is_found_in_a_source_whose_clock_begins_late(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "in.ts"), "w", options={"output_ts_offset": "20"}) as out:
        stream = out.add_stream("libx264", rate=25, width=64, height=48, pix_fmt="yuv420p")
        for number in range(150):
            frame = av.VideoFrame.from_ndarray(np.full((72, 64), 128, np.uint8), "yuv420p")
            fill_plane(frame.planes[0], np.full((48, 64), 30 + 40 * (number // 25), np.uint8))
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    page = tmp_path / "a.html"
    assert call(tmp_path / "in.ts", tmp_path / "b.mkv", "-q", "--start", "4", "--report", page) == 0
    after, before = (picture(image).mean() for image in Page(page).images[:2])
    assert abs(after - before) < 6


def test_a_run_tells_what_it_did_and_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_film(tmp_path / "<b>&.mp4", frames=6)
    page = tmp_path / "page.html"
    with mock.patch("vidcolor.watching.in_colour", lambda frame: True):
        for quiet in ("-q", "-v"):
            given = ("--crf", "20", "--report", page, quiet, "-y", "--restart")
            assert call(source, tmp_path / "out.mp4", *given) == 0
            assert "colours of its own" in page.read_text()
            assert bool(capsys.readouterr().err) == (quiet == "-v")
        assert call(source, tmp_path / "out.mp4", "--crf", "20", "--report", page, "-y") == 0
    text = page.read_text()
    assert "&lt;b&gt;&amp;.mp4" in text
    assert "<b>" not in text
    assert "crf 20.0" in text
    assert "cpu (float32)" in text
    assert "they are replaced" in text
    assert "a report on" in capsys.readouterr().err
    assert call(source, tmp_path / "out.mp4", "--crf", "20", "--report", page) == 0
    assert "is there already" in capsys.readouterr().err
    assert page.read_text() == text
    assert call(source, tmp_path / "other.mp4", "--report", page) == 5, "the page is of another film"
    assert not (tmp_path / "other.mp4").exists()
    assert call(source, tmp_path / "other.mp4") == 0
    assert call(source, tmp_path / "other.mp4", "--report", page) == 5, "also where the film is done"
    assert page.read_text() == text
    page.unlink()
    assert call(source, tmp_path / "out.mp4", "--crf", "20", "--report", page) == 0, "already done"
    assert page.exists()


def test_a_film_of_one_grey_frame(tmp_path: Path) -> None:
    source = str(make_film(tmp_path / "in.mkv", frames=1))
    assert len(make_report(source, source, tmp_path / "report.html").shots) == 1
    assert "1, 00:00:00, 1 shot<" in (tmp_path / "report.html").read_text()
    source = str(make_film(tmp_path / "three.mkv", frames=75))
    make_report(source, source, tmp_path / "three.html")
    assert "75, 00:00:03, 1 shot<" in (tmp_path / "three.html").read_text()


@pytest.mark.parametrize(
    ("before", "after", "out", "error"),
    [
        ("-", "out.mkv", "r.html", UsageError),
        ("in.mkv", "out.mkv", "out.mkv", UsageError),
        ("in.mkv", "nothing.mkv", "r.html", InputError),
        ("nothing.mkv", "out.mkv", "r.html", InputError),
        ("in.mkv", "out.mkv", "no/r.html", OutputError),
        ("in.mkv", "out.mkv", "there.html", OutputError),
    ],
)
def test_bad_requests(
    before: str, after: str, out: str, error: type[Exception], pair: tuple[str, str], tmp_path: Path
) -> None:
    (tmp_path / "there.html").write_text("mine")
    for name, path in zip(("in.mkv", "out.mkv"), pair, strict=True):
        shutil.copy(path, tmp_path / name)
    names = [name if name == "-" else str(tmp_path / name) for name in (before, after)]
    with pytest.raises(error):
        make_report(*names, tmp_path / out)
    assert (tmp_path / "there.html").read_text() == "mine"
    assert not (tmp_path / "r.html").exists()


def test_a_report_takes_the_place_of_no_film_however_it_is_named(tmp_path: Path) -> None:
    films = [make_film(tmp_path / name, frames=2) for name in ("in.mkv", "out.mkv")]
    scans = [tmp_path / f"scan_{number}.png" for number in (1, 2)]
    for scan in scans:
        scan.touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.html").symlink_to("out.mkv")
    (tmp_path / "folder").symlink_to(tmp_path)
    names = ("sub/../out.mkv", "link.html", "folder/in.mkv", "sub/../in.mkv")
    for name in names:
        with pytest.raises(UsageError, match="is one of the films"):
            make_report(*map(str, films), tmp_path / name, overwrite=True)
    with pytest.raises(UsageError, match="a part of one"):
        check_report(str(tmp_path / "scan_%d.png"), str(films[1]), scans[1], overwrite=True)


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(UsageError, match="is empty"):
        check_report("a.mkv", "b.mkv", Path(""), overwrite=False)


def test_a_name_that_no_folder_holds_is_refused_before_the_work(tmp_path: Path) -> None:
    for length in (246, 251):
        with pytest.raises(OutputError, match="too long"):
            check_report("in.mkv", "out.mkv", tmp_path / f"{'x' * length}.html", overwrite=False)
    check_report("in.mkv", "out.mkv", tmp_path / f"{'x' * 240}.html", overwrite=False)
    with pytest.raises(UsageError, match=r"^\S+: a report reads files"):
        check_report("in.mkv", "out.mkv", Path("-"), overwrite=False)
    (tmp_path / "link.html").symlink_to(tmp_path / "none" / "x.html")
    with pytest.raises(OutputError, match="there is no folder"):
        check_report("in.mkv", "out.mkv", tmp_path / "link.html", overwrite=False)


def test_a_folder_that_may_not_be_entered_is_no_fault(tmp_path: Path) -> None:
    closed = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    refusing = mock.patch("vidcolor.writing.os.lstat", side_effect=closed)
    with refusing, pytest.raises(OutputError, match="Permission denied"):
        check_report("in.mkv", "out.mkv", tmp_path / "closed" / "x.html", overwrite=False)


def test_a_page_takes_the_place_of_pages_alone(tmp_path: Path) -> None:
    other = make_film(tmp_path / "other.mkv", frames=1)
    with pytest.raises(OutputError, match=r"other\.mkv: is no page"):
        check_report("in.mkv", "out.mkv", other, overwrite=True)
    for name, text in (("old.html", "<!doctype html>\n<html lang='en'>"), ("empty.html", "")):
        (tmp_path / name).write_text(text)
        check_report("in.mkv", "out.mkv", tmp_path / name, overwrite=True)


def test_a_film_that_shows_before_and_after_itself_gets_no_report(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    film = make_film(tmp_path / "in.mkv", frames=1)
    assert call(film, tmp_path / "out.mkv", "--compare", "side", "--report", tmp_path / "r.html") == 2
    assert "with --compare it would be wrong" in one_line(capfd.readouterr().err)
    assert not (tmp_path / "out.mkv").exists()


def test_pipes_that_have_names_are_refused_before_the_work(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mkv")
    film = make_film(tmp_path / "in.mkv", frames=1)
    for films in ((film, tmp_path / "pipe.mkv"), (tmp_path / "pipe.mkv", tmp_path / "out.mkv")):
        with pytest.raises(UsageError, match=r"^\S+: a report reads files"):
            check_report(*map(str, films), tmp_path / "r.html", overwrite=False)


def test_a_playlist_that_was_allowed_is_read_for_the_report(tmp_path: Path) -> None:
    make_film(tmp_path / "part.mkv", frames=3)
    (tmp_path / "list.ffconcat").write_text("ffconcat version 1.0\nfile part.mkv\n")
    given = (tmp_path / "list.ffconcat", tmp_path / "out.mkv", "-q", "--allow-references")
    assert call(*given, "--report", tmp_path / "r.html") == 0
    assert len(Page(tmp_path / "r.html").images) == 2


def test_what_was_said_when_it_was_coloured_is_not_said_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    raw = make_film(tmp_path / "in.h264", frames=5, format="h264")
    assert call(raw, tmp_path / "out.mkv", "-q") == 0
    caplog.clear()
    with caplog.at_level("WARNING", "vidcolor"):
        measure(str(raw), str(tmp_path / "out.mkv"))
    assert caplog.messages == []


def test_reports_of_several_films_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    films = [make_film(tmp_path / f"{name}.mkv", frames=1) for name in "ab"]
    (tmp_path / "out").mkdir()
    assert call(*films, tmp_path / "out", "--report", tmp_path / "r.html") == 2
    assert "about one film" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_the_command(pair: tuple[str, str], tmp_path: Path) -> None:
    def run(*arguments: str) -> int:
        with (
            mock.patch.object(sys, "argv", ["vidcolor-report", *arguments]),
            pytest.raises(SystemExit) as ended,
        ):
            main()
        return int(ended.value.code or 0)

    out = str(tmp_path / "report.html")
    assert run(*pair, "-o", out) == 0
    assert run(*pair, "-o", out) == 5
    assert run(*pair, "-o", out, "-y") == 0
    assert run(*pair) == 2
    assert run(pair[0], str(tmp_path / "none.mkv"), "-o", out, "-y") == 3


def test_hues_do_not_turn_while_it_is_grey() -> None:
    angle = np.radians(11.0)
    coloured = np.tile([20 * np.cos(angle), 20 * np.sin(angle)], (50, 1))
    noise = np.random.default_rng(1).normal(0.0, 0.5, (300, 2))
    found = hues(np.concatenate((coloured, noise, coloured)))
    assert np.allclose(found[np.isfinite(found)], 11.0)
    assert np.isnan(found[50:350]).all()
    turning = np.radians(np.linspace(150.0, 250.0, 50))
    steady = hues(20.0 * np.stack((np.cos(turning), np.sin(turning)), 1))
    assert np.allclose(np.diff(steady), np.diff(np.degrees(turning)))
    assert np.isnan(hues(np.zeros((3, 2)))).all()


def test_flicker_shows_in_a_long_film() -> None:
    values = np.tile([20.0, 25.0], 2500)
    values[1000:1100] = np.nan
    places = thinned(values, 2000)
    assert len(places) <= 2000 and (np.diff(places) > 0).all()
    shown = values[places]
    assert {20.0, 25.0} == set(shown[np.isfinite(shown)]) and np.isnan(shown).any()
    assert thinned(values, 5000).tolist() == list(range(5000))


def test_an_untagged_large_film_is_read_by_its_usual_matrix(tmp_path: Path) -> None:
    found = []
    for tagged in (True, False):
        path = tmp_path / f"{tagged}.mkv"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("ffv1", 25)
            stream.width, stream.height, stream.pix_fmt = 96, 720, "yuv420p"
            frame = av.VideoFrame(96, 720, "yuv420p")
            for plane, code in zip(frame.planes, (120, 100, 170), strict=True):
                fill_plane(plane, np.full((plane.height, plane.width), code, np.uint8))
            if tagged:
                stream.codec_context.colorspace = frame.colorspace = 1
            frame.pts = 0
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        found.append(measure(str(path), str(path)).ab)
    assert np.allclose(*found, atol=0.1)


def test_wide_primaries_keep_their_colours(tmp_path: Path) -> None:
    codes = (120, 105, 148)
    path = str(flat_film(tmp_path / "in.mkv", codes, BT2020.code))
    assert np.allclose(measure(path, path).ab, true_ab(codes, BT2020), atol=1.0)
    make_report(path, path, tmp_path / "report.html")
    bgr = torch.from_numpy(picture(Page(tmp_path / "report.html").images[0])).permute(2, 0, 1)[None] / 255.0
    shown = ab_from_rgb(bgr.flip(1)).mean((0, 2, 3))
    assert np.allclose(shown.numpy(), true_ab(codes, BT2020), atol=1.5)


def test_before_and_after_show_the_same_frame_at_a_rate_that_varies(tmp_path: Path) -> None:
    path = tmp_path / "vfr.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "gray"
        stream.time_base = Fraction(1, 1000)
        for number in range(60):  # 10 ms apart, then a second
            frame = av.VideoFrame(64, 64, "gray")
            fill_plane(frame.planes[0], np.full((64, 64), 4 * number, np.uint8))
            frame.pts, frame.time_base = 10 * number + 1000 * max(0, number - 50), Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    found = measure(str(path), str(path))
    assert [shot.apart for shot in found.shots if shot.apart is not None] == [0.0] * len(found.shots)


def brightening(path: Path) -> Path:
    """Twenty frames at 50 a second, each of them brighter than the one before."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", 50)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "gray"
        for number in range(20):
            frame = av.VideoFrame(64, 64, "gray")
            fill_plane(frame.planes[0], np.full((64, 64), 40 + 8 * number, np.uint8))
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("source", "target", "given"),
    [
        ("scan_%02d.png", "b.mkv", ("--framerate", "50")),
        ("scan_%02d.png", "b.mkv", ("--framerate", "10")),
        ("a.mkv", "made_%02d.png", ()),
        ("a.mkv", "b.ts", ("--start", "0.1")),
    ],
)
def test_before_and_after_show_the_same_frame_of_sequences_and_parts(
    source: str, target: str, given: tuple[str, ...], tmp_path: Path
) -> None:
    film = brightening(tmp_path / "a.mkv")
    if "%" in source:
        assert call(film, tmp_path / source, "-q") == 0
    page = tmp_path / "report.html"
    assert call(tmp_path / source, tmp_path / target, "-q", *given, "--report", page) == 0
    after, before = (picture(image).mean() for image in Page(page).images)
    assert abs(after - before) < 4


def test_before_and_after_show_the_same_frame_of_a_film_that_begins_before_zero(tmp_path: Path) -> None:
    source = make_film(
        tmp_path / "a.ts",
        pts=[40 * number - 2000 for number in range(30)],
        time_base=Fraction(1, 1000),
        container_options={"avoid_negative_ts": "disabled"},
    )
    assert times_of(source)[0] == -2
    assert call(source, tmp_path / "b.mkv", "-q", "--crf", "0") == 0
    found = measure(str(source), str(tmp_path / "b.mkv"))
    assert [shot.apart for shot in found.shots] == [0.0]


def test_films_that_do_not_belong_together_are_told(
    pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not measure(*pair).strangers
    other = str(make_film(tmp_path / "other.mkv", frames=75))
    arguments = ["vidcolor-report", other, pair[1], "-o", str(tmp_path / "report.html")]
    with mock.patch.object(sys, "argv", arguments), pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert f"{pair[1]}: shows something else than {other} at the same times" in capsys.readouterr().err


def test_control_characters_of_names_do_not_reach_the_terminal(
    pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "a\nb\x1b[31m.html")
    for code in (0, 5):  # the page is there already then
        arguments = ["vidcolor-report", *pair, "-o", out]
        with mock.patch.object(sys, "argv", arguments), pytest.raises(SystemExit) as ended:
            main()
        assert int(ended.value.code or 0) == code
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith("vidcolor-report: ") and "a b [31m.html" in line


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names there are Unicode")
def test_names_need_not_be_unicode(pair: tuple[str, str], tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"f\xe9.mkv")
    shutil.copy(pair[1], odd)
    make_report(pair[0], str(odd), tmp_path / "report.html", overwrite=False)
    assert "f?.mkv" in (tmp_path / "report.html").read_text()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real one, without a window and without a network."""
    api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--no-zygote"])
        yield opened
        opened.close()


@pytest.mark.parametrize(("size", "scheme"), [((1280, 900), "light"), ((390, 844), "dark")])
def test_in_a_browser(
    size: tuple[int, int], scheme: str, browser: Any, pair: tuple[str, str], tmp_path: Path
) -> None:
    make_report(*pair, tmp_path / "report.html")
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, offline=True
    )
    said: list[str] = []
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((tmp_path / "report.html").as_uri())
    assert page.evaluate("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
    slider, shown = page.locator(".slide").first, page.locator(".pair").first
    place = "one => one.style.getPropertyValue('--at')"
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert shown.evaluate(place) == "51%"
    page.keyboard.press("Home")
    assert shown.evaluate(place) == "0%"
    assert slider.get_attribute("aria-valuetext") == "0 % before"
    shown.scroll_into_view_if_needed()
    box = shown.bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 20)
    page.mouse.up()
    assert shown.evaluate(place) == "70%"
    clip = page.evaluate("getComputedStyle(document.querySelector('.before')).clipPath")
    assert clip == "inset(0px 30% 0px 0px)"
    for name in ("--ink", "--soft", "--accent"):
        assert contrast(page, name) > 4.5
    assert said == []
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_that_keeps_anybody_out(
    scheme: str, browser: Any, pair: tuple[str, str], tmp_path: Path
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    make_report(*pair, tmp_path / "report.html")
    page = browser.new_page(color_scheme=scheme)
    page.goto((tmp_path / "report.html").as_uri())
    found = axe.run(page)
    assert found.violations_count == 0, found.generate_report()
    page.evaluate("document.images[0].removeAttribute('alt')")
    assert axe.run(page).violations_count == 1, "it sees what is wrong"
    page.close()


def contrast(page: Any, name: str) -> float:
    """Of a colour of the page and its ground, by WCAG 2."""

    def luminance(variable: str) -> float:
        code = page.evaluate(
            f"getComputedStyle(document.documentElement).getPropertyValue('{variable}')"
        ).strip()
        channels = [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    light, dark = sorted((luminance(name), luminance("--paper")), reverse=True)
    return (light + 0.05) / (dark + 0.05)
