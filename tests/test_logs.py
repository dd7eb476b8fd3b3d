"""Warnings: collected for later, or not said a second time."""

from __future__ import annotations

import logging

import pytest

from vidcolor.logs import WarningCollector, silenced


def test_warnings_are_collected_until_the_collector_is_closed() -> None:
    log = logging.getLogger("vidcolor.stages.x")
    with WarningCollector() as warnings:
        log.warning("%d frames", 3)
        log.info("nothing")
        assert warnings.take() == [("%d frames", "3 frames")]
        assert warnings.take() == []
    log.warning("late")
    assert warnings.take() == []


def test_threads_that_silence_at_once_leave_the_loggers_as_they_were(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = logging.getLogger("vidcolor.media.x")
    one, other = silenced(), silenced()
    one.__enter__()
    other.__enter__()
    log.warning("silenced")
    one.__exit__(None, None, None)
    log.warning("silenced, too")
    other.__exit__(None, None, None)
    log.warning("heard")
    assert caplog.messages == ["heard"]
