"""Encoders that work as those of a machine with another number of processors do."""

from __future__ import annotations

import pytest

from vidcolor.media.processors import goes_anywhere, processors, settings_of


@pytest.mark.parametrize(
    ("count", "height", "threads"),
    [(1, 1080, 1), (2, 1080, 3), (8, 1080, 12), (64, 1080, 34), (64, 2160, 67), (4, 40, 1), (300, 8192, 128)],
)
def test_threads_of_x264(count: int, height: int, threads: int) -> None:
    assert settings_of("libx264", count, height, {"crf": "18"}) == {"crf": "18", "threads": str(threads)}


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
