"""ONNX Runtime and OpenVINO as engines: the same colours as torch's, for every generator, or torch itself."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from generators import GENERATORS, lively

from vidcolor.checkpoint import Generator, load_generator
from vidcolor.crew import engine_here
from vidcolor.errors import Unsupported, UsageError
from vidcolor.networks import onnx_operations
from vidcolor.networks.base import ColourNetwork
from vidcolor.networks.engines import BY_NAME, Engine, EngineNetwork, Session, Sessions, begin
from vidcolor.networks.fusing import fuse_batch_norm
from vidcolor.networks.onnx_graph import Graph
from vidcolor.networks.onnx_model import exported
from vidcolor.sharing import Sharing
from vidcolor.stages.predict import Predictor, engines_installed, resolve_engine

pytest.importorskip("onnx")

CPU = torch.device("cpu")
OPERATIONS = "vidcolor.networks.onnx_model.OPERATIONS"


@pytest.fixture(params=list(BY_NAME))
def engine(request: pytest.FixtureRequest) -> Engine:
    pytest.importorskip(request.param)
    return BY_NAME[request.param]


def generator_of(network: torch.nn.Module) -> Generator:
    return Generator(network=network, multiple=32, path=Path("x"), metadata={})  # type: ignore[arg-type]


def computed(
    engine: Engine, network: torch.nn.Module, precision: str = "float32", **given: Any
) -> Callable[[torch.Tensor], torch.Tensor]:
    """An engine's network as a function of tensors."""
    run = EngineNetwork(engine, generator_of(network), precision, **given)
    return lambda x: torch.from_numpy(run(x.numpy()))


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
def test_every_generator_gives_torch_s_colours(
    engine: Engine, name: str, fused: bool, size: tuple[int, int]
) -> None:
    network = lively(name)
    if fused:
        fuse_batch_norm(network)
    luminance = torch.rand(1, 1, *size) * 100
    wanted = network(luminance)
    assert wanted.std() > 0.1
    assert torch.allclose(computed(engine, network)(luminance), wanted, atol=5e-3)


def test_colours_depend_neither_on_threads_nor_on_who_else_calls(engine: Engine, weights: str) -> None:
    network = load_generator(weights).network
    pictures = [torch.rand(1, 1, 64, 96) * 100 for _ in range(4)] + [torch.rand(1, 1, 128, 192) * 60]
    for precision in engine.runtime.PRECISIONS:
        before, found = torch.get_num_threads(), []
        try:
            for threads in (1, 2, 3):
                torch.set_num_threads(threads)
                one_by_one = computed(engine, network, precision, threads=threads)
                found.append([one_by_one(one) for one in pictures])
        finally:
            torch.set_num_threads(before)
        for at_once in (1, 3):
            shared = computed(engine, network, precision, threads=at_once)
            with ThreadPoolExecutor(3, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                found.append(list(pool.map(shared, pictures)))
        assert all(torch.equal(a, b) for one in found for a, b in zip(one, found[0], strict=True))


def test_what_has_been_given_is_not_written_again(engine: Engine, weights: str) -> None:
    run = computed(engine, load_generator(weights).network)
    first = run(torch.full((1, 1, 64, 64), 60.0))
    kept = first.clone()
    run(torch.rand(1, 1, 64, 64) * 100)
    assert torch.equal(first, kept)


def test_models_are_kept_for_a_few_sizes_only(
    engine: Engine, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidcolor.networks.engines._MOST_SESSIONS", 3)
    made: list[int] = []

    def counted(engine: Engine, generator: Generator, shape: tuple[int, ...], *others: Any) -> Session:
        made.append(shape[-1])
        return begin(engine, generator, shape, *others)

    monkeypatch.setattr("vidcolor.networks.engines.begin", counted)
    sessions = Sessions()
    network = computed(engine, load_generator(weights).network, sessions=sessions)

    def see(*widths: int) -> list[int]:
        made.clear()
        for width in widths:
            network(torch.zeros(1, 1, 32, width))
        return made

    assert see(32, 64, 96, 32, 128) == [32, 64, 96, 128]
    assert see(32, 96, 128) == [], "those used longest ago go"
    sessions.trim()
    assert see(128, 96, 32) == [32]


def test_onnx_runtime_tells_nobody(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = pytest.importorskip("onnxruntime")
    told: list[bool] = []
    monkeypatch.setattr(runtime, "disable_telemetry_events", lambda: told.append(True))
    begin(BY_NAME["onnxruntime"], load_generator(weights), (1, 1, 32, 32), "float32")
    assert told


def test_onnx_runtime_has_nothing_to_tell_at_its_import(tmp_path: Path) -> None:
    """Its package sends a line and keeps a number of the machine before it can be asked not to."""
    pytest.importorskip("onnxruntime")
    ours = "from vidcolor.networks.engines import BY_NAME; print(BY_NAME['onnxruntime'].version())"
    env = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    places = ("HOME", "XDG_CACHE_HOME", "TMPDIR")
    env |= dict.fromkeys(places, str(tmp_path)) | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", f"{ours}; import os; print(os.environ.get('ORT_DISABLE_TELEMETRY'))"],
        env=env, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("onnxruntime 1"), done.stderr
    assert done.stdout.endswith("\nNone\n"), "programs started later are left alone"
    assert not list(tmp_path.iterdir())


def test_openvino_tells_nobody(tmp_path: Path) -> None:
    """Its package reports its import, if what does so is imported with it: tried with a stand-in for that."""
    pytest.importorskip("openvino")
    told = tmp_path / "told"
    (tmp_path / "openvino_telemetry").mkdir()
    for name in ("__init__", "backend/__init__", "backend/backend_ga4"):
        path = tmp_path / "openvino_telemetry" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"open({str(told)!r}, 'w').close()")
    begun = [sys.executable, "-c"]
    ours = "from vidcolor.networks.engines import BY_NAME; print(BY_NAME['openvino'].installed())"
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[1]}"}
    done = subprocess.run([*begun, ours], env=env, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.startswith("openvino 2")
    assert not told.exists()
    subprocess.run([*begun, "import openvino"], env=env, capture_output=True, timeout=120, check=False)
    assert told.exists(), "else this test shows nothing"


@pytest.mark.parametrize("first", ["vidcolor", "a program that vidcolor is a part of"])
def test_threads_that_begin_together_all_find_openvino(
    first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that came while the first was importing it took torch: films had other colours by chance."""
    (tmp_path / "openvino.py").write_text("import time; time.sleep(0.5); __version__ = '1.2'")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
    try:
        with ThreadPoolExecutor(4) as threads:
            if first != "vidcolor":
                threads.submit(importlib.import_module, "openvino")
                while "openvino" not in sys.modules:
                    time.sleep(0.01)
            found = list(threads.map(lambda _: BY_NAME["openvino"].installed(), range(3)))
    finally:
        sys.modules.pop("openvino", None)
    assert found == ["openvino 1.2"] * 3


def test_openvino_is_whole_for_programs_that_vidcolor_is_a_part_of() -> None:
    """What is left out with what reports is there as soon as they ask for it."""
    pytest.importorskip("openvino.tools.ovc")
    script = (
        "from vidcolor.networks.engines import BY_NAME; BY_NAME['openvino'].installed();"
        "import sys, openvino;"
        "assert 'openvino.tools.ovc' not in sys.modules; assert not hasattr(openvino, 'convert');"
        "from openvino import convert_model; import openvino.tools.ovc as tools;"
        "assert convert_model is openvino.convert_model is tools.convert_model"
    )
    subprocess.run([sys.executable, "-c", script], timeout=120, check=True)


def test_tensors_that_are_no_more_are_not_taken_for_others(engine: Engine) -> None:
    def act(x: torch.Tensor) -> torch.Tensor:
        kept = x + 1.0
        for _ in range(20):
            x * 2.0  # goes at once, and what is made next has its place
            kept = kept * torch.full((1,), 0.5)
        return kept * 1e6

    network = Small(act)
    x = torch.rand(1, 1, 32, 32) * 100
    with torch.no_grad():
        assert torch.allclose(computed(engine, network)(x), network(x), rtol=1e-4, atol=1e-3)


def test_parts_are_what_they_are_in_torch(engine: Engine) -> None:
    def act(x: torch.Tensor) -> torch.Tensor:
        return torch.sqrt(torch.relu(x[:, :1, 4:20, :24] - x[:, 1:, 8:24, 8:]))

    x = torch.rand(1, 1, 32, 32) * 100
    network = Small(act)
    with torch.no_grad():
        assert torch.allclose(computed(engine, network)(x), network(x), rtol=1e-4, atol=1e-3)


REFUSED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "what has no name here": torch.sin,
    "chance": lambda x: torch.nn.functional.dropout(x, 0.5, training=True),
    "a part by its end": lambda x: x[..., :-8, :-8],
    "every other row": lambda x: x[:, :, ::2],
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
def test_what_cannot_be_written_down_is_left_to_torch(engine: Engine, what: str) -> None:
    generator = generator_of(Small(REFUSED[what]).eval())
    with pytest.raises(Unsupported):
        exported(generator.network, torch.zeros(1, 1, 32, 32))
    assert resolve_engine("auto", generator, CPU, "float32") == "torch"
    with pytest.raises(UsageError, match="--engine torch"):
        resolve_engine(engine.name, generator, CPU, "float32")


def test_what_was_kept_of_the_recorded_picture_is_found(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keep(to: Graph, y: torch.Tensor, x: torch.Tensor) -> str:
        return to.constant(y)

    monkeypatch.setattr(OPERATIONS, onnx_operations.OPERATIONS | {"tanh": keep})
    with pytest.raises(UsageError, match="other colours than torch"):
        computed(engine, Small(torch.tanh))(torch.zeros(1, 1, 32, 32))


def test_rows_and_columns_left_out_elsewhere_than_after_a_convolution(engine: Engine) -> None:
    network = Small(lambda x: torch.relu(x)[..., 1:, 2:])
    x = torch.rand(1, 1, 32, 32) * 100
    with torch.no_grad():
        assert torch.allclose(computed(engine, network)(x), network(x), atol=1e-4)


def test_other_colours_than_torch_s_are_refused(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = dict(onnx_operations.OPERATIONS, tanh=onnx_operations.OPERATIONS["relu"])
    monkeypatch.setattr(OPERATIONS, wrong)
    for precision in engine.runtime.PRECISIONS:
        run = computed(engine, Small(torch.tanh), precision)
        with pytest.raises(UsageError, match=r"other colours than torch \(by .*--engine torch"):
            run(torch.zeros(1, 1, 32, 32))


def test_which_engine(engine: Engine, weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in BY_NAME.values():
        if other is not engine:
            monkeypatch.setattr(other.runtime, "version", lambda: {}["missing"])
    generator = load_generator(weights)
    there = f"{engine.name} {importlib.import_module(engine.name).__version__}".split("-")[0]
    assert engine.installed() == there
    assert engines_installed() == ["torch", there]
    for precision in engine.runtime.PRECISIONS:
        assert resolve_engine("auto", generator, CPU, precision) == there
        assert resolve_engine(engine.name, generator, CPU, precision) == there
        assert resolve_engine("torch", generator, CPU, precision) == "torch"
    short = {"float32": "fp32", "bfloat16": "bf16"}
    precisions = " or ".join(short[one] for one in engine.runtime.PRECISIONS)
    for device, precision in ((CPU, "float16"), (torch.device("cuda"), "float32")):
        assert resolve_engine("auto", generator, device, precision) == "torch"
        with pytest.raises(UsageError, match=f"is for --device cpu in --precision {precisions};"):
            resolve_engine(engine.name, generator, device, precision)
    monkeypatch.setattr(engine.runtime, "version", lambda: {}["missing"])
    assert resolve_engine("auto", generator, CPU, "float32") == "torch"
    fault = rf"not installed, or broken: pip install 'vidcolor\[{engine.name}\]'"
    with pytest.raises(UsageError, match=fault):
        resolve_engine(engine.name, generator, CPU, "float32")


def test_the_engine_that_suits_the_precision_is_taken(weights: str) -> None:
    for name in BY_NAME:
        pytest.importorskip(name)
    generator = load_generator(weights)
    assert resolve_engine("auto", generator, CPU, "float32").split()[0] == "onnxruntime"
    assert resolve_engine("auto", generator, CPU, "bfloat16").split()[0] == "openvino"


def test_a_worker_takes_the_job_s_engine_or_where_it_is_missing_torch(
    engine: Engine, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = engine.installed()
    assert there
    generator = load_generator(weights)

    def of(begun: str) -> str:
        manifest = SimpleNamespace(machine={"engine": begun})
        return engine_here(manifest, generator, CPU, "float32")  # type: ignore[arg-type]

    assert of(there) == of(f"{engine.name} 0.1") == there
    assert of("torch") == "torch"
    monkeypatch.setattr(engine.runtime, "version", lambda: {}["missing"])
    assert of(there) == "torch"


def test_both_packages_are_needed(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine.installed()
    for missing in ("onnx", engine.name):
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, missing, None)
            assert engine.installed() is None


@pytest.mark.parametrize("error", [ImportError, TypeError, RuntimeError, OSError])
def test_a_broken_installation_is_none(
    engine: Engine, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> str:
        raise error("Descriptors cannot be created directly.")

    monkeypatch.setattr(engine.runtime, "version", broken)
    assert engine.installed() is None


@pytest.mark.parametrize("fault", [RuntimeError("no such operator"), "other colours"], ids=str)
def test_what_an_engine_cannot_do_is_left_to_torch(
    fault: Exception | str, engine: Engine, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def session(*args: Any) -> None:
        raise fault  # type: ignore[misc]

    if isinstance(fault, Exception):
        for one in BY_NAME.values():
            monkeypatch.setattr(one.runtime, "session", session)
    else:
        wrong = dict(onnx_operations.OPERATIONS, tanh=onnx_operations.OPERATIONS["relu"])
        monkeypatch.setattr(OPERATIONS, wrong)
    generator = load_generator(weights)
    assert resolve_engine("auto", generator, CPU, "float32") == "torch"
    with pytest.raises(UsageError, match=r"(no such operator|other colours).*--engine torch"):
        resolve_engine(engine.name, generator, CPU, "float32")
    with pytest.raises(UsageError, match=r"(no such operator|other colours).*--engine torch"):
        computed(engine, generator.network)(torch.zeros(1, 1, 32, 32))


def test_predictions_are_those_of_torch(engine: Engine, weights: str) -> None:
    generator = load_generator(weights)
    other = replace(generator, network=load_generator(weights).network)
    name = resolve_engine(engine.name, generator, CPU, "float32")
    luminance = torch.rand(5, 1, 64, 96) * 100
    found = Predictor(generator, CPU, "float32", Sharing(), name)(luminance, (50, 90))
    wanted = Predictor(other, CPU, "float32")(luminance, (50, 90))
    assert all(abs(a - b).max() < 1e-3 for a, b in zip(found, wanted, strict=True))


def test_openvino_in_bf16_is_as_near_to_fp32_as_torch(weights: str) -> None:
    pytest.importorskip("openvino")
    luminance = torch.rand(2, 1, 64, 96, generator=torch.Generator().manual_seed(3)) * 100

    def colours(precision: str, engine: str) -> torch.Tensor:
        found = Predictor(load_generator(weights), CPU, precision, Sharing(), engine)(luminance, (64, 96))
        return torch.stack([torch.from_numpy(one) for one in found])

    exact = colours("float32", "torch")
    off = {one: (colours("bfloat16", one) - exact).abs().mean() for one in ("torch", "openvino")}
    assert off["openvino"] < 1.5 * off["torch"]
    assert off["torch"] < 0.1 * exact.abs().mean()


def test_memory_that_runs_out_in_an_engine_halves_the_batch(
    engine: Engine, weights: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    package = importlib.import_module(engine.name)
    if engine.name == "openvino":
        asked, call = package.InferRequest, "infer"
        error = RuntimeError("Exception from src/inference/src/cpp/infer_request.cpp:224:\nstd::bad_alloc")
    else:
        asked, call = package.InferenceSession, "run"
        state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
        error = state.RuntimeException("Failed to allocate memory for requested buffer of size 123")
    run, failures = getattr(asked, call), [None] * 3

    def short(self: Any, *args: Any) -> Any:
        if len(failures) == 1:
            failures.pop()
            raise error
        if failures:
            failures.pop()
        return run(self, *args)

    monkeypatch.setattr(asked, call, short)
    predictor = Predictor(load_generator(weights), CPU, "float32", engine=engine.name)
    assert len(predictor(torch.rand(4, 1, 32, 32) * 100, (32, 32))) == 4
    assert not failures
    assert "2 pictures a batch" in caplog.text
