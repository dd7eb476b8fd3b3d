from __future__ import annotations

import contextlib
import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from generators import GENERATORS, lively

from vidcolor.checkpoint import Generator, load_generator
from vidcolor.errors import UsageError, WeightsError
from vidcolor.networks.bfloat16 import cpu_vendor
from vidcolor.networks.fusing import FusedConv2d, fuse_activations, fuse_batch_norm
from vidcolor.sharing import PredictThread, Sharing
from vidcolor.stages.predict import (
    Predictor,
    choose_batch_size,
    resolve_precision,
)
from vidcolor.training.precision import training_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", GENERATORS)
def test_fused_network_computes_the_same(name: str) -> None:
    network = lively(name)
    luminance = torch.rand(1, 1, 64, 64) * 100
    with torch.no_grad():
        before = network(luminance)
        fuse_batch_norm(network)
        assert before.std() > 0.1
        assert torch.allclose(network(luminance), before, atol=2e-3)
    if name != "resnet":  # the norms in torchvision's residual blocks stand apart from their convolutions
        assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())


one_dnn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")


@one_dnn
@pytest.mark.parametrize("size", [(64, 64), (64, 96)])
@pytest.mark.parametrize("name", GENERATORS)
@torch.inference_mode()
def test_fused_activations_compute_the_same(name: str, size: tuple[int, int]) -> None:
    network = lively(name)
    luminance = torch.rand(2, 1, *size) * 100
    fuse_batch_norm(network)
    before = network(luminance)
    fuse_activations(network)
    assert any(isinstance(m, FusedConv2d) for m in network.modules())
    assert torch.allclose(network(luminance), before, atol=2e-3)
    assert torch.equal(network(luminance), network(luminance))


def test_what_torch_imports_late_is_not_imported_to_predict() -> None:
    code = (
        "import sys, torch; first = set(sys.modules)\n"
        "from vidcolor.checkpoint import load_generator\n"
        "from vidcolor.stages.predict import Predictor\n"
        "predict = Predictor(load_generator('default'), torch.device('cpu'), 'float32')\n"
        "predict(torch.rand(1, 1, 64, 64) * 100, (64, 64))\n"
        "assert 'sympy' not in set(sys.modules) - first"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@one_dnn
@torch.inference_mode()
def test_weights_are_repacked_for_a_few_shapes_only() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.ReLU6())
    holder = torch.nn.Sequential(network)
    fuse_activations(holder)
    for height in range(8, 20):
        x = torch.randn(1, 1, height, 8) * 9
        assert torch.allclose(holder(x), network(x), atol=1e-4)
    fused = next(m for m in holder.modules() if isinstance(m, FusedConv2d))
    assert len(fused._packed) <= 4
    assert holder(x).max() <= 6.0


def test_without_fused_operations_the_network_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidcolor.networks.fusing._operations", lambda: object())
    network = lively(next(iter(GENERATORS)))
    fuse_activations(network)
    assert not any(isinstance(m, FusedConv2d) for m in network.modules())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", GENERATORS)
def test_every_generator_gives_ab_of_the_picture_s_size(name: str, precision: str) -> None:
    network = lively(name)
    luminance = torch.rand(2, 1, 64, 128) * 100
    with torch.no_grad():
        ab = network(luminance)
    expected = torch.nn.functional.interpolate(ab, size=(64, 128), mode="bilinear", align_corners=False)
    generator = Generator(network=network, multiple=network.multiple, path=Path("x"), metadata={})
    found = Predictor(generator, CPU, precision)(luminance, (50, 90))
    assert [a.shape for a in found] == [(50, 90, 2)] * 2
    assert all(a.dtype == np.float32 for a in found)
    wanted = expected[..., :50, :90].permute(0, 2, 3, 1).numpy()
    assert np.abs(np.stack(found) - wanted).mean() < (1e-3 if precision == "float32" else 0.1 * wanted.std())


def test_predictions_have_the_picture_s_shape_and_do_not_depend_on_their_neighbours(weights: str) -> None:
    predictor = Predictor(load_generator(weights), CPU, "float32")
    luminance = torch.rand(3, 1, 64, 96) * 100
    together = predictor(luminance, (50, 90))
    assert [ab.shape for ab in together] == [(50, 90, 2)] * 3
    alone = predictor(luminance[1:2], (50, 90))[0]
    assert abs(together[1] - alone).max() < 1e-3


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("no"), RuntimeError("can't allocate memory: 9")])
def test_out_of_memory_halves_the_batch_and_colours_every_picture(
    weights: str, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    predictor = Predictor(load_generator(weights), CPU, "float32")
    forward, sizes = predictor._forward, []

    def small_memory(luminance: torch.Tensor, shape: tuple[int, int]) -> list[object]:
        sizes.append(len(luminance))
        if len(luminance) > 2:
            raise error
        return forward(luminance, shape)

    luminance = torch.rand(8, 1, 64, 64) * 100
    expected = predictor(luminance, (64, 64))
    monkeypatch.setattr(predictor, "_forward", small_memory)
    found = predictor(luminance, (64, 64))
    assert sizes == [8, 4, 2, 2, 2, 2]
    assert "2 pictures a batch" in caplog.text
    assert all(abs(a - b).max() < 1e-3 for a, b in zip(found, expected, strict=True))


def test_a_gpu_without_memory_for_a_single_picture_is_given_up(
    weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(load_generator(weights), torch.device("cuda"), "float32")
    tried: list[int | None] = []

    def full(*_: object) -> None:
        tried.append(predictor.limit)
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(predictor, "_ready", full)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    predictor.expect(8)
    with pytest.raises(UsageError, match="single picture"):
        predictor(torch.rand(3, 1, 64, 64), (64, 64))
    assert tried == [None, 4, 2, 1]


def test_a_gpu_gets_batches_of_one_size(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor(load_generator(weights), torch.device("cuda"), "float32")
    seen: list[int] = []

    def colour(run: object, luminance: torch.Tensor, shape: object, count: int) -> list[np.ndarray]:
        seen.append(len(luminance))
        return [picture[0] for picture in luminance[:count]]

    monkeypatch.setattr(predictor, "_ready", lambda: None)
    monkeypatch.setattr(predictor, "_colour", colour)
    luminance = torch.rand(6, 1, 64, 64)
    for count in (1, 6, 2):
        made = predictor(luminance[:count], (64, 64))
        assert np.array_equal(made, luminance[:count, 0].numpy())
    assert seen == [1, 6, 6]
    predictor.limit = 4
    assert len(predictor(luminance, (64, 64))) == 6
    assert seen[3:] == [4, 4]


def test_a_filled_batch_that_is_too_much_is_halved(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor(load_generator(weights), torch.device("cuda"), "float32")
    monkeypatch.setattr(predictor, "_ready", lambda: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    most = 8

    def colour(run: object, luminance: torch.Tensor, shape: object, count: int) -> list[np.ndarray]:
        if len(luminance) > most:
            raise torch.OutOfMemoryError("no")
        return [picture[0] for picture in luminance[:count]]

    monkeypatch.setattr(predictor, "_colour", colour)
    luminance = torch.rand(8, 1, 64, 64)
    predictor(luminance, (64, 64))
    most = 2  # another program has taken the rest
    assert len(predictor(luminance[:1], (64, 64))) == 1
    assert predictor.limit == 2
    most = 0
    with pytest.raises(UsageError, match="a single picture"):
        predictor(luminance[:1], (64, 64))


def test_other_errors_are_not_taken_for_lack_of_memory() -> None:
    class Broken(torch.nn.Module):
        def forward(self, _: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("a fault")

    generator = Generator(network=Broken(), multiple=32, path=None, metadata={})  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="a fault"):
        Predictor(generator, CPU, "float32")(torch.zeros(4, 1, 32, 32), (32, 32))


def test_precision() -> None:
    assert resolve_precision("bf16", CPU) == "bfloat16"
    assert resolve_precision("auto", torch.device("mps")) == "float32"
    with pytest.raises(UsageError, match="fp16"):
        resolve_precision("fp16", CPU)


@pytest.mark.parametrize(
    ("matrix_units", "avx512_bf16", "vendor", "quick"),
    [
        (True, True, "GenuineIntel", True),
        (False, True, "GenuineIntel", False),
        (False, True, "AuthenticAMD", True),
        (False, False, "AuthenticAMD", False),
        (False, True, "", False),
    ],
)
def test_a_cpu_computes_in_bf16_where_that_is_quicker(
    matrix_units: bool, avx512_bf16: bool, vendor: str, quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: matrix_units, raising=False)
    monkeypatch.setattr("vidcolor.networks.bfloat16.cpu_vendor", lambda: vendor)
    expected = "bfloat16" if quick else "float32"
    assert resolve_precision("auto", CPU) == expected
    assert training_precision("auto", CPU) == getattr(torch, expected)
    assert resolve_precision("auto", CPU, "onnxruntime") == "float32"  # which knows no other
    assert resolve_precision("bf16", CPU, "onnxruntime") == "bfloat16"  # and is refused


def test_a_torch_that_cannot_tell_what_the_cpu_has_computes_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    for probe in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.delattr(torch.cpu, probe, raising=False)
    assert resolve_precision("auto", CPU) == "float32"


@pytest.mark.parametrize(
    ("told", "name", "vendor"),
    [
        ("processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel\t: 17\n", "x86_64", "AuthenticAMD"),
        ("processor\t: 0\nCPU implementer\t: 0x41\n", "aarch64", ""),
        (None, "AMD64 Family 25 Model 17 Stepping 1, AuthenticAMD", "AuthenticAMD"),
        (None, "Intel64 Family 6 Model 143 Stepping 8, GenuineIntel", "GenuineIntel"),
        (None, "", ""),
    ],
)
def test_who_made_the_cpu(told: str | None, name: str, vendor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_text(path: Path, **_: object) -> str:
        if told is None:
            raise FileNotFoundError(path)
        return told

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr("platform.processor", lambda: name)
    assert cpu_vendor() == vendor


@pytest.mark.parametrize(("threads", "batch"), [(1, 2), (2, 2), (3, 3), (6, 6), (8, 8), (64, 8)])
def test_batch_size_is_as_asked_or_a_picture_for_each_of_a_cpu_s_threads(
    threads: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert choose_batch_size(7, (256, 256), CPU) == 7
    assert choose_batch_size(None, (256, 256), CPU) == batch


class Telling(torch.nn.Module):
    """Notes who calls it, and how many threads torch has there; fails where L* is negative."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, int, int]] = []

    def forward(self, luminance: torch.Tensor) -> torch.Tensor:
        self.calls.append((threading.current_thread().name, len(luminance), torch.get_num_threads()))
        if float(luminance.amin()) < 0:
            raise RuntimeError("a fault")
        return luminance.expand(-1, 2, -1, -1).clone()


@pytest.fixture
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize(("pictures", "each"), [(1, 4), (2, 2), (3, 1), (9, 1)])
def test_a_cpu_s_threads_take_a_picture_each(pictures: int, each: int) -> None:
    network = Telling()
    generator = Generator(network=network, multiple=32, path=None, metadata={})  # type: ignore[arg-type]
    luminance = torch.arange(float(pictures)).reshape(-1, 1, 1, 1).expand(-1, 1, 32, 32)
    found = Predictor(generator, CPU, "float32", Sharing())(luminance, (32, 32))
    assert [float(ab.mean()) for ab in found] == list(range(pictures))
    assert [call[1:] for call in network.calls] == [(1, each)] * pictures
    assert all(name.startswith("vidcolor-share") for name, _, _ in network.calls)
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_a_hand_has_the_caller_s_threads_whatever_others_set_meanwhile() -> None:
    begun, others = threading.Event(), threading.Event()

    def work() -> int:
        begun.set()
        others.wait()
        return torch.get_num_threads()

    with PredictThread().lent() as submit:
        task = submit(work)
        begun.wait()
        other = threading.Thread(target=torch.set_num_threads, args=(1,))
        other.start()
        other.join()
        others.set()
        assert task.result() == 4


def test_what_a_hand_has_not_begun_is_dropped() -> None:
    go, done = threading.Event(), list[int]()

    def work(number: int) -> None:
        go.wait()
        done.append(number)

    thread = PredictThread()
    with thread.lent() as submit:
        tasks = [submit(work, number) for number in range(3)]
        while not tasks[0].running():
            time.sleep(0.01)
        threading.Timer(0.2, go.set).start()
    assert done == [0]
    assert [task.cancelled() for task in tasks] == [False, True, True]
    with thread.lent() as submit:
        assert submit(int, "7").result() == 7


def test_a_hand_keeps_nothing_that_is_done() -> None:
    """A film's colours come from one that is lent for all of it."""

    class Large:
        pass

    kept: list[weakref.ref[Large]] = []
    with PredictThread().lent() as submit:
        for _ in range(5):
            kept.append(weakref.ref(submit(Large).result()))
        submit(int).result()
        assert [ref() for ref in kept] == [None] * 5


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize(
    ("expected", "pictures", "each"), [(4, 1, 1), (4, 2, 1), (2, 1, 2), (1, 1, 4), (0, 1, 4)]
)
def test_a_picture_has_the_threads_of_one_in_a_whole_batch(expected: int, pictures: int, each: int) -> None:
    network = Telling()
    generator = Generator(network=network, multiple=32, path=None, metadata={})  # type: ignore[arg-type]
    predictor = Predictor(generator, CPU, "float32", Sharing())
    predictor.expect(expected)
    predictor(torch.ones(pictures, 1, 32, 32), (32, 32))
    assert [call[1:] for call in network.calls] == [(1, each)] * pictures


def test_a_single_picture_that_is_too_much_for_a_cpu_is_tried_once() -> None:
    class Full(torch.nn.Module):
        tried = 0

        def forward(self, _: torch.Tensor) -> torch.Tensor:
            self.tried += 1
            raise MemoryError

    network = Full()
    generator = Generator(network=network, multiple=32, path=None, metadata={})  # type: ignore[arg-type]
    predictor = Predictor(generator, CPU, "float32", Sharing())
    predictor.expect(8)
    with pytest.raises(UsageError, match="single picture"):
        predictor(torch.ones(1, 1, 32, 32), (32, 32))
    assert network.tried == 1


@pytest.mark.usefixtures("four_threads")
def test_a_failure_waits_for_the_other_pictures() -> None:
    network = Telling()
    generator = Generator(network=network, multiple=32, path=None, metadata={})  # type: ignore[arg-type]
    luminance = torch.ones(6, 1, 32, 32)
    luminance[0] = -1.0
    with pytest.raises(RuntimeError, match="a fault"):
        Predictor(generator, CPU, "float32", Sharing())(luminance, (32, 32))
    assert len(network.calls) == 6
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_what_failed_keeps_no_memory() -> None:
    class Large:
        pass

    kept: list[weakref.ref[Large]] = []

    def fail(_: int) -> None:
        large = Large()
        kept.append(weakref.ref(large))
        raise MemoryError

    gc.disable()
    try:
        with contextlib.suppress(MemoryError):
            Sharing()(fail, range(4))
        assert [ref() for ref in kept] == [None] * 4
    finally:
        gc.enable()


@pytest.mark.usefixtures("four_threads")
def test_ab_does_not_depend_on_the_number_of_threads(weights: str) -> None:
    predictor = Predictor(load_generator(weights), CPU, "float32", Sharing())
    luminance = torch.rand(5, 1, 64, 96) * 100
    several = predictor(luminance, (50, 90))
    torch.set_num_threads(1)
    one = predictor(luminance, (50, 90))
    assert all(np.array_equal(a, b) for a, b in zip(several, one, strict=True))


def test_inference_on_cuda_is_in_fp16_and_training_in_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, older = torch.device("cuda"), torch.device("cuda:1")
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda d: (7, 5) if d.index else (8, 6))
    assert resolve_precision("auto", cuda) == "float16"
    assert training_precision("auto", cuda) == torch.bfloat16
    assert training_precision("fp32", cuda) == torch.float32
    assert training_precision("auto", older) == torch.float16
    assert training_precision("auto", CPU) == getattr(torch, resolve_precision("auto", CPU))


@pytest.mark.parametrize(
    ("precision", "advice"), [("float16", "--precision bf16 or fp32"), ("float32", "weights")]
)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_colours_that_are_no_numbers_are_an_error(precision: str, advice: str, value: float) -> None:
    class Overflowing(torch.nn.Module):
        def forward(self, luminance: torch.Tensor) -> torch.Tensor:
            ab = luminance.expand(-1, 2, -1, -1).clone()
            ab[-1, 0, 0, 0] = value
            return ab

    generator = Generator(network=Overflowing(), multiple=32, path=None, metadata={})  # type: ignore[arg-type]
    with pytest.raises(WeightsError, match=advice):
        Predictor(generator, CPU, precision)(torch.zeros(4, 1, 32, 32), (32, 32))
