"""Warnings: kept for later, or not said a second time."""

from __future__ import annotations

import logging

import pytest

from vidcolor.hearing import Ear, hushed


def test_an_ear_hears_warnings_until_it_is_closed() -> None:
    log = logging.getLogger("vidcolor.stages.x")
    with Ear() as ear:
        log.warning("%d frames", 3)
        log.info("nothing")
        assert ear.taken() == [("%d frames", "3 frames")]
        assert ear.taken() == []
    log.warning("late")
    assert ear.taken() == []


def test_threads_that_are_hushed_at_once_leave_the_loggers_as_they_were(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = logging.getLogger("vidcolor.media.x")
    one, other = hushed(), hushed()
    one.__enter__()
    other.__enter__()
    log.warning("unheard")
    one.__exit__(None, None, None)
    log.warning("unheard, too")
    other.__exit__(None, None, None)
    log.warning("heard")
    assert caplog.messages == ["heard"]
