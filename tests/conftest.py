"""Fixtures that several test modules share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from calling import log_as_it_was, policies

from vidcolor.checkpoint import save_weights
from vidcolor.media.priority import ordinary_priority
from vidcolor.networks.unet import LiteUNet

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes what the user who runs it keeps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def untouched_log() -> Iterator[None]:
    """For tests that call a command in their own process."""
    with log_as_it_was():
        yield


@pytest.fixture(autouse=True)
def ordinary_process() -> Iterator[None]:
    """No test leaves its process, and what is started from it, with real-time priority."""
    with ordinary_priority():
        before = set(policies())
        yield
        assert set(policies()) <= before


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small generator with random weights whose colours are vivid: quick, and never grey."""
    torch.manual_seed(7)
    network = LiteUNet("lite0", (16, 16, 8, 8), 0.7).eval()
    torch.nn.init.normal_(network.head.weight, std=0.3)
    torch.nn.init.constant_(network.head.bias, 0.3)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, network, recipe="random", data="none", date="2026-01-01")
    return str(path)


@pytest.fixture(scope="session")
def vidcolor(weights: str) -> Run:
    """Runs the command in a process of its own, with the small generator unless told otherwise."""

    def run(
        *arguments: str | Path, stdin: bytes | None = None, small: bool = True, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        quick = ["--weights", weights, "--render-size", "64"] if small else []
        command = [
            sys.executable,
            "-c",
            "from vidcolor.cli import main; main()",
            *quick,
            *map(str, arguments),
        ]
        return subprocess.run(command, input=stdin, capture_output=True, timeout=120, cwd=cwd)

    return run
