"""Queues bounded in bytes, workers whose exceptions arrive."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from vidcolor.errors import Interrupted
from vidcolor.threads import ByteQueue, Closed, Worker, unless_cancelled


def until(condition: Callable[[], bool]) -> None:
    """Wait until something has happened."""
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it never happened")


def test_items_come_in_order_and_end_with_finish() -> None:
    queue: ByteQueue[int] = ByteQueue(100)
    for item in range(5):
        queue.put(item, 10)
    queue.finish()
    assert list(queue.drain()) == [0, 1, 2, 3, 4]


def test_put_waits_while_the_bytes_are_too_many() -> None:
    queue: ByteQueue[int] = ByteQueue(100)
    queue.put(0, 60)
    with Worker("test", lambda: queue.put(1, 60)) as worker:
        time.sleep(0.05)
        assert worker.running, "60 + 60 is more than 100"
        items = queue.drain()
        assert next(items) == 0
        worker.wait()
    assert next(items) == 1


def test_many_small_items_fit_where_few_large_ones_do_not() -> None:
    queue: ByteQueue[int] = ByteQueue(100)
    for item in range(100):
        queue.put(item, 1)
    with Worker("test", lambda: queue.put(100, 1)) as worker:
        time.sleep(0.05)
        assert worker.running
        next(queue.drain())
        worker.wait()


def test_an_item_larger_than_the_limit_passes_alone() -> None:
    queue: ByteQueue[str] = ByteQueue(10)
    queue.put("large", 1000)
    queue.finish()
    assert list(queue.drain()) == ["large"]


def test_put_raises_when_the_reader_has_gone_even_while_it_waits() -> None:
    queue: ByteQueue[int] = ByteQueue(1)
    queue.put(0, 1)
    raised: list[bool] = []

    def work() -> None:
        try:
            queue.put(1, 1)
        except Closed:
            raised.append(True)

    with Worker("test", work):
        time.sleep(0.02)
        queue.close()
    assert raised == [True]
    with pytest.raises(Closed):
        queue.put(2, 1)


def test_drain_ends_when_it_is_told_to_stop_though_nothing_comes() -> None:
    queue: ByteQueue[int] = ByteQueue(10)
    stop = threading.Event()
    got: list[int] = []
    with Worker("test", lambda: got.extend(queue.drain(stop))) as worker:
        time.sleep(0.02)
        assert worker.running
        stop.set()
        worker.wait()
    assert got == []


def test_an_exception_of_a_worker_reaches_who_waits() -> None:
    def fail() -> None:
        raise KeyError("why")

    with pytest.raises(KeyError, match="why"), Worker("test", fail):
        pass
    with pytest.raises(KeyError), Worker("test", fail) as worker:
        worker.wait()


def test_the_callers_own_exception_goes_first() -> None:
    def fail() -> None:
        raise KeyError("worker")

    with pytest.raises(ValueError, match="caller"), Worker("test", fail):
        raise ValueError("caller")


def test_a_worker_is_waited_for_after_an_exception() -> None:
    ended: list[bool] = []

    def work() -> None:
        time.sleep(0.2)
        ended.append(True)

    with pytest.raises(ValueError), Worker("test", work):
        raise ValueError
    assert ended == [True]


def test_a_worker_that_hangs_is_left_behind_once_it_is_abandoned() -> None:
    abandon, release = threading.Event(), threading.Event()
    abandon.set()
    with Worker("test", lambda: release.wait(60) and None, abandon=abandon) as worker:
        pass
    assert worker.running
    release.set()
    until(lambda: not worker.running)


def test_unless_cancelled_gives_the_result_or_the_exception() -> None:
    cancel = threading.Event()
    assert unless_cancelled("test", lambda: 42, cancel) == 42

    def fail() -> int:
        raise KeyError("why")

    with pytest.raises(KeyError):
        unless_cancelled("test", fail, cancel)


def test_unless_cancelled_does_not_wait_for_what_blocks_for_ever() -> None:
    cancel, release = threading.Event(), threading.Event()
    threading.Timer(0.05, cancel.set).start()
    with pytest.raises(Interrupted):
        unless_cancelled("test", lambda: release.wait(60), cancel)
    assert not release.is_set()
    release.set()


def test_no_wait_is_without_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows the handler of a signal would not run until such a wait is over."""
    join, wait = threading.Thread.join, threading.Condition.wait

    def limited_join(thread: threading.Thread, timeout: float | None = None) -> None:
        assert timeout is not None
        join(thread, timeout)

    def limited_wait(condition: threading.Condition, timeout: float | None = None) -> bool:
        assert timeout is not None
        return wait(condition, timeout)

    queue: ByteQueue[int] = ByteQueue(100)
    items = queue.drain()

    def give() -> None:
        time.sleep(0.3)
        queue.put(0, 60)
        time.sleep(0.3)
        assert [next(items), next(items)] == [1, 2]

    monkeypatch.setattr(threading.Thread, "join", limited_join)
    with Worker("test", give) as worker:
        monkeypatch.setattr(threading.Condition, "wait", limited_wait)
        assert next(queue.drain()) == 0
        queue.put(1, 60)
        queue.put(2, 60)
        monkeypatch.setattr(threading.Condition, "wait", wait)  # to start a thread is to wait, too
        worker.wait()
    with Worker("test", lambda: time.sleep(0.3)):
        pass
