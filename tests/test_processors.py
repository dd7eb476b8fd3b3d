"""Encoders that work as those of a machine with another number of processors do."""

from __future__ import annotations

import pytest

from vidcolor.media.processors import processors, settings_of


@pytest.mark.parametrize(
    ("count", "height", "threads"),
    [(1, 1080, 1), (2, 1080, 3), (8, 1080, 12), (64, 1080, 34), (64, 2160, 67), (4, 40, 1), (300, 8192, 128)],
)
def test_threads_of_x264(count: int, height: int, threads: int) -> None:
    assert settings_of("libx264", count, height, {"crf": "18"}) == {"crf": "18", "threads": str(threads)}


def test_threads_of_x264_that_share_pictures() -> None:
    for given in ({"tune": "zerolatency"}, {"x264-params": "sliced-threads=1"}):
        assert settings_of("libx264", 8, 1080, given)["threads"] == "8"


@pytest.mark.parametrize(
    ("count", "height", "at_once"),
    [(1, 720, 1), (3, 720, 1), (4, 720, 2), (8, 720, 3), (16, 720, 4), (32, 720, 5), (32, 2160, 6)],
)
def test_threads_of_x265(count: int, height: int, at_once: int) -> None:
    found = settings_of("libx265", count, height, {"x265-params": "log-level=error"})
    assert found == {"threads": str(at_once), "x265-params": f"pools={count}:log-level=error"}


def test_what_was_asked_for_goes_first() -> None:
    assert settings_of("libx264", 8, 1080, {"threads": "2"})["threads"] == "2"
    found = settings_of("libx265", 8, 1080, {"x265-params": "pools=1"})
    assert found["x265-params"] == "pools=8:pools=1", "the last one counts"


@pytest.mark.parametrize("codec", ["libsvtav1", "libvpx-vp9", "ffv1", "prores_ks", "mpeg4"])
def test_others_do_not_depend_on_processors(codec: str) -> None:
    assert settings_of(codec, 8, 1080, {"a": "b"}) == {"a": "b"}


def test_there_is_a_processor() -> None:
    assert processors() >= 1
