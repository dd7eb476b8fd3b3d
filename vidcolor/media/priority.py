"""Encoders that take more of the machine than they are given."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_TASKS = "/proc/self/task"


@contextmanager
def ordinary_priority() -> Iterator[None]:
    """Whatever is opened within leaves threads with the scheduling that they had, new ones with this one's.

    SVT-AV1 gives real-time priority to its threads and to the one that opens it, where it may, that is for
    root: everything else on the machine then waits for it, and what is started later inherits that.
    """
    before = dict(_scheduling())
    own = before.get(threading.get_native_id(), (0, 0))
    try:
        yield
    finally:
        for thread, now in _scheduling():
            policy, priority = before.get(thread, own)
            with suppress(OSError):  # it has ended, or is not ours to change
                if now != (policy, priority):
                    os.sched_setscheduler(thread, policy, os.sched_param(priority))


def _scheduling() -> Iterator[tuple[int, tuple[int, int]]]:
    """Number, policy and priority of each thread of this process; nothing where the system has no such."""
    if not hasattr(os, "sched_getscheduler") or not os.path.isdir(_TASKS):
        return
    for thread in map(int, os.listdir(_TASKS)):
        with suppress(OSError):
            yield thread, (os.sched_getscheduler(thread), os.sched_getparam(thread).sched_priority)
