"""Encoders and processors: as many as on another machine, and with no more priority than others have."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from calling import policies
from media import make_film
from quick import quickly

from vidcolor.job import colorize
from vidcolor.media.priority import ordinary_priority
from vidcolor.media.processors import goes_anywhere, lookahead_of, processors, settings_of
from vidcolor.options import Options


@pytest.mark.parametrize(
    ("count", "height", "threads"),
    [(1, 1080, 1), (2, 1080, 3), (8, 1080, 12), (64, 1080, 34), (64, 2160, 67), (4, 40, 1), (300, 8192, 128)],
)
def test_threads_of_x264(count: int, height: int, threads: int) -> None:
    assert settings_of("libx264", count, height, {"crf": "18"}) == {"crf": "18", "threads": str(threads)}


@pytest.mark.parametrize(
    ("codec", "count", "height", "two"),
    [
        ("libx264", 2, 256, True),
        ("libx264rgb", 7, 2160, True),
        ("libx264", 1, 1080, False),
        ("libx264", 8, 1080, False),
        ("libx264", 2, 255, False),
        ("libx265", 2, 1080, False),
    ],
)
def test_where_x264_is_told_to_look_ahead_with_two_threads(
    codec: str, count: int, height: int, two: bool
) -> None:
    assert lookahead_of(codec, count, height) == ({"x264-params": "lookahead-threads=2"} if two else {})


@pytest.mark.parametrize(
    ("more", "threads"),
    [
        ({}, 2),
        ({"preset": "fast"}, 1),
        ({"encoder_options": {"x264-params": "lookahead-threads=3"}}, 3),
        ({"encoder_options": {"threads": "1"}}, 1),
    ],
)
def test_how_many_threads_of_x264_look_ahead(
    more: dict[str, Any], threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidcolor.encoding.processors", lambda: 2)
    monkeypatch.setattr("vidcolor.machine.processors", lambda: 2)
    source = make_film(tmp_path / "a.mkv", frames=3, size=(64, 256))
    options = Options(device="cpu", precision="fp32", render_size=32, **more)
    with quickly():
        colorize(source, tmp_path / "b.mkv", options)
    assert f"lookahead_threads={threads} ".encode() in (tmp_path / "b.mkv").read_bytes()


def test_what_was_asked_for_goes_first() -> None:
    assert settings_of("libx264", 8, 1080, {"threads": "2"})["threads"] == "2"


def test_others_are_told_nothing() -> None:
    assert settings_of("libsvtav1", 8, 1080, {"a": "b"}) == {"a": "b"}


@pytest.mark.parametrize(
    ("codec", "extra", "anywhere"),
    [
        ("libx264", {"tune": "zerolatency"}, True),
        ("libx264", {"x264-params": "sliced-threads=1"}, False),
        ("libx264", {"thread_type": "slice"}, False),
        ("libsvtav1", {}, True),
        ("ffv1", {}, True),
        ("libx265", {}, False),
        ("libvpx", {}, False),
        ("h264_nvenc", {}, False),
    ],
)
def test_which_encoders_go_on_with_other_processors(
    codec: str, extra: dict[str, str], anywhere: bool
) -> None:
    assert goes_anywhere(codec, extra) == anywhere


def test_there_is_a_processor() -> None:
    assert processors() >= 1


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="this system has no such policies")
def test_what_an_encoder_does_to_the_priority_of_threads_is_undone() -> None:
    ready, done = threading.Event(), threading.Event()

    def work() -> None:
        ready.set()
        done.wait(10)

    other, own = threading.Thread(target=work), os.sched_getscheduler(0)
    with ordinary_priority():
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        other.start()  # which inherits that
        ready.wait(10)
        assert os.SCHED_BATCH in policies()
    assert set(policies()) == {own}
    done.set()
    other.join()


@pytest.mark.skipif(not hasattr(os, "SCHED_OTHER"), reason="this system has no such policies")
def test_av1_is_encoded_with_ordinary_priority(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", frames=3)
    seen: set[int] = set()
    options = Options(device="cpu", precision="fp32", render_size=32, codec="libsvtav1", preset="12")
    with quickly():
        colorize(source, tmp_path / "b.mkv", options, lambda now: seen.update(policies()))
    assert seen == {os.SCHED_OTHER}
