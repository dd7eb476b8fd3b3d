"""The tree of errors and their exit codes."""

from __future__ import annotations

import signal

import pytest

from vidcolor import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.UsageError, 2), (errors.InputError, 3), (errors.WeightsError, 4), (errors.OutputError, 5),
        (errors.ReaderClosed, 141), (errors.ResumeMismatch, 6),
    ],
)  # fmt: skip
def test_each_error_has_its_exit_code_and_the_one_root(kind: type[errors.VidcolorError], code: int) -> None:
    assert kind("why").exit_code == code
    assert issubclass(kind, errors.VidcolorError)


def test_an_interruption_has_the_code_of_its_signal() -> None:
    assert errors.Interrupted(signal.SIGINT).exit_code == 130
    assert errors.Interrupted(signal.SIGTERM).exit_code == 143


@pytest.mark.parametrize(
    ("codes", "gravest"),
    [
        ([], 0), ([0, 0], 0), ([0, 7], 7), ([7, 2, 0], 2), ([2, 3], 3), ([3, 4], 4), ([3, 5, 0], 5),
        ([5, 1], 1), ([1, 130], 130), ([0, 99], 99), ([6, 4], 6),
    ],
)  # fmt: skip
def test_the_worst_of_several_codes(codes: list[int], gravest: int) -> None:
    assert errors.worst(codes) == gravest
    assert errors.worst(codes[::-1]) == gravest


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("can't start new thread"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    ],
)
def test_what_the_system_does_not_give_is_no_fault_of_vidcolor(error: Exception) -> None:
    assert "no more memory, or threads" in errors.fault(error)
    assert "a fault of vidcolor itself (KeyError: 'a')" in errors.fault(KeyError("a"))
