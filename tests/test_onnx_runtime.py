"""ONNX Runtime as the engine: the same colours as torch's, for every generator, or torch itself."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from generators import GENERATORS, lively

from vidcolor.checkpoint import Generator, load_generator
from vidcolor.errors import UsageError
from vidcolor.networks import onnx_operations
from vidcolor.networks.base import ColourNetwork
from vidcolor.networks.fusing import fuse_batch_norm
from vidcolor.networks.onnx_operations import Unsupported
from vidcolor.networks.onnx_runtime import OnnxRuntimeNetwork, installed, recorded
from vidcolor.sharing import Sharing
from vidcolor.stages.predict import Predictor, resolve_engine

runtime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

CPU = torch.device("cpu")


def generator_of(network: torch.nn.Module) -> Generator:
    return Generator(network=network, multiple=32, path=Path("x"), metadata={})  # type: ignore[arg-type]


class Small(ColourNetwork):
    """A network that does with L* what it is told to."""

    multiple = 32

    def __init__(self, act: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 2, 3, padding=1)
        self.act = act

    def forward(self, luminance: torch.Tensor) -> torch.Tensor:
        return self.act(self.layer(luminance))


@pytest.mark.parametrize("size", [(64, 64), (64, 96)], ids=str)
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "as it is"])
@pytest.mark.parametrize("name", GENERATORS)
@torch.no_grad()
def test_every_generator_gives_torch_s_colours(name: str, fused: bool, size: tuple[int, int]) -> None:
    network = lively(name)
    if fused:
        fuse_batch_norm(network)
    luminance = torch.rand(1, 1, *size) * 100
    wanted = network(luminance)
    assert wanted.std() > 0.1
    assert torch.allclose(OnnxRuntimeNetwork(network)(luminance), wanted, atol=5e-3)


def test_colours_depend_neither_on_threads_nor_on_who_else_calls(weights: str) -> None:
    network = load_generator(weights).network
    pictures = [torch.rand(1, 1, 64, 96) * 100 for _ in range(6)] + [torch.rand(1, 1, 256, 448) * 60]
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append([OnnxRuntimeNetwork(network)(one) for one in pictures])
    finally:
        torch.set_num_threads(before)
    shared = OnnxRuntimeNetwork(network)
    with ThreadPoolExecutor(3) as pool:
        found.append(list(pool.map(shared, pictures)))
    assert all(torch.equal(a, b) for one in found for a, b in zip(one, found[0], strict=True))


def test_models_are_kept_for_a_few_sizes_only(weights: str) -> None:
    network = OnnxRuntimeNetwork(load_generator(weights).network)
    widths = list(range(32, 32 * 11, 32))
    for width in widths:
        network(torch.zeros(1, 1, 32, width))
    assert [shape[-1] for shape, _ in network._sessions] == widths[-8:], "the oldest go"


def test_the_runtime_tells_nobody(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []
    monkeypatch.setattr(runtime, "disable_telemetry_events", lambda: told.append(True))
    OnnxRuntimeNetwork(load_generator(weights).network)(torch.zeros(1, 1, 32, 32))
    assert told


def test_tensors_that_are_no_more_are_not_taken_for_others() -> None:
    def act(x: torch.Tensor) -> torch.Tensor:
        kept = x + 1.0
        for _ in range(20):
            x * 2.0  # goes at once, and what is made next has its place
            kept = kept * torch.full((1,), 0.5)
        return kept * 1e6

    network = Small(act)
    x = torch.rand(1, 1, 32, 32) * 100
    with torch.no_grad():
        assert torch.allclose(OnnxRuntimeNetwork(network)(x), network(x), rtol=1e-4, atol=1e-3)


REFUSED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "what has no name here": torch.sin,
    "chance": lambda x: torch.nn.functional.dropout(x, 0.5, training=True),
    "a part that ends early": lambda x: x[..., :8, :8],
    "a part by an index": lambda x: x[:, 0],
    "other corners": lambda x: torch.nn.functional.interpolate(
        x, scale_factor=2, mode="bilinear", align_corners=True
    ),
    "bicubic": lambda x: torch.nn.functional.interpolate(x, scale_factor=2, mode="bicubic"),
    "double": lambda x: x.double().float(),
    "edges repeated": lambda x: torch.nn.functional.pad(x, (1, 1, 1, 1), mode="replicate"),
    "in several parts": lambda x: torch.cat(x.chunk(2, 1), 1),
    "parts that are named": lambda x: torch.relu(input=torch.sin(input=x)),
    "nothing of the picture": lambda x: torch.zeros(1, 2, 8, 8),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_written_down_is_left_to_torch(what: str) -> None:
    generator = generator_of(Small(REFUSED[what]).eval())
    with pytest.raises(Unsupported):
        recorded(generator.network, torch.zeros(1, 1, 32, 32))
    assert resolve_engine("auto", generator, CPU, torch.float32) == "torch"
    with pytest.raises(UsageError, match="--engine torch"):
        resolve_engine("onnxruntime", generator, CPU, torch.float32)


def test_what_was_kept_of_the_recorded_picture_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def keep(to: onnx_operations.Sheet, y: torch.Tensor, x: torch.Tensor) -> str:
        return to.constant(y)

    monkeypatch.setattr(
        "vidcolor.networks.onnx_runtime.OPERATIONS", onnx_operations.OPERATIONS | {"tanh": keep}
    )
    with pytest.raises(UsageError, match="other colours than torch"):
        OnnxRuntimeNetwork(Small(torch.tanh))(torch.zeros(1, 1, 32, 32))


def test_rows_and_columns_left_out_elsewhere_than_after_a_convolution() -> None:
    network = Small(lambda x: torch.relu(x)[..., 1:, 2:])
    x = torch.rand(1, 1, 32, 32) * 100
    with torch.no_grad():
        assert torch.allclose(OnnxRuntimeNetwork(network)(x), network(x), atol=1e-4)


def test_other_colours_than_torch_s_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = dict(onnx_operations.OPERATIONS, tanh=onnx_operations.OPERATIONS["relu"])
    monkeypatch.setattr("vidcolor.networks.onnx_runtime.OPERATIONS", wrong)
    with pytest.raises(UsageError, match=r"other colours than torch \(by .*--engine torch"):
        OnnxRuntimeNetwork(Small(torch.tanh))(torch.zeros(1, 1, 32, 32))


def test_which_engine(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = load_generator(weights)
    there = f"onnxruntime {runtime.__version__}"
    assert installed() == runtime.__version__
    assert resolve_engine("auto", generator, CPU, torch.float32) == there
    assert resolve_engine("onnxruntime", generator, CPU, torch.float32) == there
    assert resolve_engine("torch", generator, CPU, torch.float32) == "torch"
    for device, dtype in ((CPU, torch.bfloat16), (torch.device("cuda"), torch.float32)):
        assert resolve_engine("auto", generator, device, dtype) == "torch"
        with pytest.raises(UsageError, match="is for --device cpu in --precision fp32"):
            resolve_engine("onnxruntime", generator, device, dtype)
    monkeypatch.setattr("vidcolor.stages.predict.installed", lambda: None)
    assert resolve_engine("auto", generator, CPU, torch.float32) == "torch"
    with pytest.raises(UsageError, match=r"not installed, or broken: pip install 'vidcolor\[onnxruntime\]'"):
        resolve_engine("onnxruntime", generator, CPU, torch.float32)


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_both_packages_are_needed(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, missing, None)
    assert installed() is None


@pytest.mark.parametrize("error", [ImportError, TypeError, RuntimeError, OSError])
def test_a_broken_installation_is_none(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise error("Descriptors cannot be created directly.")

    monkeypatch.setattr("vidcolor.networks.onnx_runtime.importlib.import_module", broken)
    assert installed() is None


@pytest.mark.parametrize("fault", [RuntimeError("no such operator"), "other colours"])
def test_what_the_runtime_cannot_do_is_left_to_torch(
    fault: Exception | str, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def session(self: Any, *args: Any, **more: Any) -> None:
        raise fault

    if isinstance(fault, Exception):
        monkeypatch.setattr(runtime, "InferenceSession", session)
    else:
        wrong = dict(onnx_operations.OPERATIONS, tanh=onnx_operations.OPERATIONS["relu"])
        monkeypatch.setattr("vidcolor.networks.onnx_runtime.OPERATIONS", wrong)
    generator = load_generator(weights)
    assert resolve_engine("auto", generator, CPU, torch.float32) == "torch"
    with pytest.raises(UsageError, match=r"(no such operator|other colours).*--engine torch"):
        resolve_engine("onnxruntime", generator, CPU, torch.float32)
    with pytest.raises(UsageError, match=r"(no such operator|other colours).*--engine torch"):
        OnnxRuntimeNetwork(generator.network)(torch.zeros(1, 1, 32, 32))


def test_predictions_are_those_of_torch(weights: str) -> None:
    generator = load_generator(weights)
    other = replace(generator, network=load_generator(weights).network)
    engine = resolve_engine("auto", generator, CPU, torch.float32)
    luminance = torch.rand(5, 1, 64, 96) * 100
    found = Predictor(generator, CPU, torch.float32, Sharing(), engine)(luminance, (50, 90))
    wanted = Predictor(other, CPU, torch.float32)(luminance, (50, 90))
    assert all(abs(a - b).max() < 1e-3 for a, b in zip(found, wanted, strict=True))


def test_memory_that_runs_out_in_the_runtime_halves_the_batch(
    weights: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    state = pytest.importorskip("onnxruntime.capi.onnxruntime_pybind11_state")
    run, failures = runtime.InferenceSession.run, [None] * 3

    def short(self: Any, *args: Any) -> Any:
        if len(failures) == 1:
            failures.pop()
            raise state.RuntimeException("Failed to allocate memory for requested buffer of size 123")
        if failures:
            failures.pop()
        return run(self, *args)

    monkeypatch.setattr(runtime.InferenceSession, "run", short)
    predictor = Predictor(load_generator(weights), CPU, torch.float32, engine="onnxruntime")
    assert len(predictor(torch.rand(4, 1, 32, 32) * 100, (32, 32))) == 4
    assert not failures
    assert "2 pictures a batch" in caplog.text
