"""Which device a name stands for, and what is said of one that does not compute."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from media import make_film

from vidcolor import Options, colorize
from vidcolor.checkpoint import load_generator
from vidcolor.devices import is_of_device, is_out_of_memory, resolve_device
from vidcolor.errors import UsageError
from vidcolor.stages.predict import Predictor
from vidcolor.training.cli import _unforeseen

Patch = pytest.MonkeyPatch
NO_CODE = "CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors might be"


@pytest.fixture
def gpu(monkeypatch: Patch) -> None:
    """A GPU that torch finds, and for which it has no code."""

    class Torch:
        """torch as that module sees it; a patched ``torch.ones`` would be remembered by ``torch.device``."""

        def __getattr__(self, name: str) -> Any:
            return getattr(torch, name)

        def ones(self, *sizes: int, device: torch.device) -> torch.Tensor:
            if device == torch.device("cuda"):
                raise RuntimeError(NO_CODE)
            return torch.ones(*sizes, device=device)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setitem(sys.modules, "torch", Torch())


def test_devices_that_are_not_there_are_refused(monkeypatch: Patch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    with pytest.raises(UsageError, match="cuda:3: there is no such"):
        resolve_device("cuda:3")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UsageError, match="mps"):
        resolve_device("mps")


@pytest.mark.parametrize("name", ["", "gpu", "cuda:-1", "meta", "xpu", "cpu:0x"])
def test_what_is_no_device_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="auto, cpu, cuda, cuda:N or mps"):
        resolve_device(name)


def test_auto_takes_what_there_is(monkeypatch: Patch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert resolve_device("auto").type == "cpu"
    monkeypatch.setattr("vidcolor.devices._why_not", lambda _: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto").type == "mps"
    assert not caplog.text


@pytest.mark.usefixtures("gpu")
def test_a_gpu_that_torch_has_no_code_for_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"--device cuda: cannot be used \(.*no kernel image.*--device cpu"):
        resolve_device("cuda")


@pytest.mark.usefixtures("gpu")
def test_without_a_name_the_cpu_does_the_work_of_such_a_gpu(
    tmp_path: Path, weights: str, caplog: pytest.LogCaptureFixture
) -> None:
    options = Options(render_size=64, weights=weights)
    result = colorize(make_film(tmp_path / "in.mkv", frames=4), tmp_path / "out.mkv", options)
    assert (result.frames, result.device) == (4, "cpu")
    said = [record.getMessage() for record in caplog.records if "GPU" in record.getMessage()]
    assert len(said) == 1 and "no kernel image" in said[0] and "\n" not in said[0]


def test_a_driver_that_is_too_old_is_said_in_one_line(
    monkeypatch: Patch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    def is_available() -> bool:
        warnings.warn("CUDA initialization: The NVIDIA driver on your system is too old", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto").type == "cpu"
    assert [r.getMessage() for r in caplog.records] == [
        "the GPU is not used (CUDA initialization: The NVIDIA driver on your system is too old)"
    ]
    assert not capsys.readouterr().err


def test_a_torch_without_cuda_is_named_where_there_is_an_nvidia_driver(
    monkeypatch: Patch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr("shutil.which", lambda name: name)
    assert resolve_device("auto").type == "cpu"
    assert "this torch was built without CUDA" in caplog.text
    with pytest.raises(UsageError, match="built without CUDA"):
        resolve_device("cuda")


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.61 GiB",
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "CUDA driver error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "HIP error: out of memory",
        "MPS backend out of memory (MPS allocated: 8.00 GB, other allocations: 1.0 GB)",
        "Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)",
        "[enforce fail at alloc_cpu.cpp:117] data. DefaultCPUAllocator: can't allocate memory",
    ],
)
def test_what_tells_of_lack_of_memory(text: str) -> None:
    assert is_out_of_memory(RuntimeError(text))
    assert _unforeseen(RuntimeError(text))[0].startswith("out of memory: lower --batch")


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: unspecified launch failure\nCUDA kernel errors might be asynchronously reported",
        "CUDA error: device not ready",
        "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
        "GET was unable to find an engine to execute this computation",
    ],
)
def test_a_gpu_that_fails_on_the_way_is_said_in_a_line(text: str, weights: str, monkeypatch: Patch) -> None:
    assert not is_out_of_memory(RuntimeError(text))
    predictor = Predictor(load_generator(weights), torch.device("cuda"), "float16")

    def fail(*_: object) -> None:
        raise RuntimeError(text)

    monkeypatch.setattr(predictor, "_forward", fail)
    with pytest.raises(UsageError, match=r"^cuda has failed \(.*\): run the same command again") as caught:
        predictor(torch.rand(2, 1, 64, 64), (64, 64))
    assert "\n" not in str(caught.value)
    assert _unforeseen(RuntimeError(text))[1] == 2


def test_other_errors_are_no_device_s() -> None:
    for error in (RuntimeError("a fault"), ValueError("CUDA error: no"), RuntimeError("mat1 and mat2")):
        assert not is_of_device(error) and not is_out_of_memory(error)
