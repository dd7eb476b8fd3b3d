"""A film is coloured without torch where an earlier run has kept what an engine makes of the generator."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import numpy as np
import pytest
import torch
from media import make_film, planes_of, read_film

from vidcolor import crew, modelcache, predictors, torchthreads
from vidcolor.checkpoint import Generator, load_generator, save_weights
from vidcolor.devices import Cpu
from vidcolor.errors import Interrupted, UsageError, WeightsError
from vidcolor.exporter import Exporter
from vidcolor.job import colorize
from vidcolor.modelcache import Choice, ModelCache
from vidcolor.networks import openvino_runtime
from vidcolor.networks.engines import BY_NAME
from vidcolor.networks.unet import LiteUNet
from vidcolor.options import Options
from vidcolor.result import Progress
from vidcolor.torchthreads import TorchInfo
from vidcolor.writing import stamp

Patch = pytest.MonkeyPatch

pytest.importorskip("onnx")

_TELLS = """
import sys
from vidcolor import cli
leave = cli._leave
def tell(code):
    print('torch' if 'torch' in sys.modules else 'no torch', file=sys.stderr)
    leave(code)
cli._leave = tell
if __name__ == '__main__':
    cli.main()
"""
PRECISIONS = {"onnxruntime": "fp32", "openvino": "bf16"}


class Stop(Exception):
    """What ends a run in these tests."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: Patch) -> Path:
    """A folder where nothing is kept yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    predictors._model_cache.cache_clear()
    predictors._sessions.cache_clear()
    return tmp_path / "cache" / "vidcolor"


@contextmanager
def no_torch() -> Iterator[None]:
    """As if torch had not been imported; what else is imported meanwhile stays."""
    found = sys.modules.pop("torch")
    try:
        yield
    finally:
        sys.modules["torch"] = found


@pytest.fixture
def without_torch(monkeypatch: Patch) -> Iterator[None]:
    """As if torch had not been imported."""
    before = torch.get_num_threads()
    monkeypatch.setattr(torchthreads, "_assumed", None)
    with no_torch():
        yield
    torchthreads._own.__dict__.clear()
    torch.set_num_threads(before)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return make_film(tmp_path / "in.mkv", frames=4)


def run(*arguments: str | Path, weights: str, precision: str = "fp32") -> tuple[str, str]:
    """Colour a film; what was said, and whether torch was imported."""
    given = ["--weights", weights, "--render-size", "32", "--precision", precision, *map(str, arguments)]
    done = subprocess.run(
        [sys.executable, "-c", _TELLS, *given], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    *said, last = done.stderr.strip().splitlines()
    return "\n".join(said), last


def in_segments(film: Path, target: Path, weights: str, most: int = 1000) -> None:
    """Colour a film in segments of six frames, or no more than ``most`` of it."""

    def progress(now: Progress) -> None:
        if now.frames > most:
            raise Stop

    options = Options(render_size=32, precision="fp32", temporal="off", weights=weights)
    with (
        mock.patch("vidcolor.resumable._MOST_FRAMES", 6),
        mock.patch("vidcolor.resumable._FEWEST_FRAMES", 6),
        suppress(Stop),
    ):
        colorize(film, target, options, progress)


def kept_of(weights: str | Path) -> ModelCache:
    """What is kept of a generator as it is now."""
    return ModelCache(Path(weights), stamp(weights))


def content(path: Path) -> str:
    """A digest of all its pictures."""
    digest = hashlib.sha256()
    for frame in read_film(path):
        for plane in planes_of(frame):
            digest.update(plane.tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("engine", ["auto", *BY_NAME])
def test_a_film_is_the_same_without_torch(engine: str, film: Path, weights: str, cache: Path) -> None:
    name = "onnxruntime" if engine == "auto" else engine
    pytest.importorskip(name)
    precision = PRECISIONS[name]
    options = Options(render_size=32, device="cpu", engine=engine, precision=precision, weights=weights)
    made = colorize(film, film.with_name("torch.mkv"), options)
    assert made.engine.split()[0] == name
    for path in cache.glob("*/*"):
        path.unlink()
    for target in ("first.mkv", "second.mkv"):
        said, imported = run(
            film, film.with_name(target), "--engine", engine, weights=weights, precision=precision
        )
        assert imported == "no torch"
        assert f"({made.precision}, {made.engine})" in said
        assert content(film.with_name(target)) == content(film.with_name("torch.mkv"))
    assert {path.suffix for path in cache.glob("*/*")} == {".json", ".onnx"}


def test_a_size_that_is_not_kept_is_made_in_the_middle_of_a_film(
    film: Path, weights: str, cache: Path
) -> None:
    pytest.importorskip("onnxruntime")
    run(film, film.with_name("first.mkv"), weights=weights)
    models = list(cache.glob("*/*.onnx"))
    for path in models:
        path.unlink()
    assert run(film, film.with_name("second.mkv"), weights=weights)[1] == "no torch"
    assert content(film.with_name("first.mkv")) == content(film.with_name("second.mkv"))
    assert any(path.exists() for path in models)


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "choice"])
def test_what_is_damaged_is_made_anew(damage: str, film: Path, weights: str, cache: Path) -> None:
    pytest.importorskip("onnxruntime")
    run(film, film.with_name("first.mkv"), weights=weights)
    whole = {path: path.read_bytes() for path in cache.glob("*/*.json" if damage == "choice" else "*/*.onnx")}
    for path, content_of in whole.items():
        blob = bytearray(content_of)
        blob[len(blob) // 2] ^= 0x10
        path.write_bytes({"flipped": bytes(blob), "cut": blob[:-9], "empty": b"", "choice": b"{}"}[damage])
    assert run(film, film.with_name("second.mkv"), weights=weights)[1] == "no torch"
    assert content(film.with_name("first.mkv")) == content(film.with_name("second.mkv"))
    assert any(path.read_bytes() == content_of for path, content_of in whole.items())


def test_a_film_that_was_begun_with_torch_ends_without_it(tmp_path: Path, weights: str) -> None:
    pytest.importorskip("onnxruntime")
    film = make_film(tmp_path / "in.mkv", frames=40)
    run(film, tmp_path / "other.mkv", "--temporal", "off", weights=weights)
    in_segments(film, tmp_path / "whole.mkv", weights)
    in_segments(film, tmp_path / "begun.mkv", weights, most=20)
    said, imported = run(film, tmp_path / "begun.mkv", "--temporal", "off", weights=weights)
    assert "resuming at" in said
    assert imported == "no torch"
    assert content(tmp_path / "begun.mkv") == content(tmp_path / "whole.mkv")


def test_a_film_that_was_begun_with_another_engine_goes_on_with_it(tmp_path: Path, weights: str) -> None:
    pytest.importorskip("onnxruntime")
    film = make_film(tmp_path / "in.mkv", frames=40)
    run(film, tmp_path / "other.mkv", "--temporal", "off", weights=weights)
    with mock.patch("vidcolor.predictors.resolve_engine", lambda *_: "torch"):
        in_segments(film, tmp_path / "begun.mkv", weights, most=20)
    said, imported = run(film, tmp_path / "begun.mkv", "--temporal", "off", weights=weights)
    assert "resuming at" in said
    assert "onnxruntime" not in said
    assert imported == "torch"


def _choice() -> Choice:
    return Choice(
        precision="float32",
        engine=str(BY_NAME["onnxruntime"].version()),
        multiple=32,
        torch=TorchInfo(version="2.9.1", threads=3, capability="AVX2"),
    )


@pytest.mark.usefixtures("without_torch")
@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, True),
        ({"device": "cpu"}, False),
        ({"device": "cuda"}, False),
        ({"engine": "torch"}, False),
        ({"engine": "openvino"}, False),
        ({"precision": "bf16"}, False),
        ({"ray": "auto"}, False),
    ],
)
def test_who_needs_no_torch(given: dict[str, Any], found: bool, weights: str, monkeypatch: Patch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(predictors, "may_have_gpu", lambda: False)
    kept_of(weights).keep_choice(_choice(), "auto", "auto", "auto")
    monkeypatch.setattr(predictors.Exporter, "start", lambda self: False)
    made = predictors.predictor_without_torch(Path(weights), Options(weights=weights, **given))
    assert (made is not None) is found
    if made is not None:
        assert (made.precision, made.multiple, made.device) == ("float32", 32, Cpu())
        assert torchthreads.torch_version() == "2.9.1"
        assert torchthreads.cpu_capability() == "AVX2"
        assert torchthreads.thread_count() == 3
    assert "torch" not in sys.modules


def _setup(weights: str, **terms: Any) -> Any:
    """What a worker is told of a film."""
    machine = {"device": "cpu", "precision": "float32", "engine": _choice().engine, "torch threads": 3}
    return SimpleNamespace(
        weights=Path(weights), options=Options(), manifest=SimpleNamespace(machine=machine | terms)
    )


@pytest.mark.usefixtures("without_torch")
def test_a_worker_does_without_torch(weights: str, monkeypatch: Patch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(predictors, "may_have_gpu", lambda: False)
    kept_of(weights).keep_choice(_choice(), "auto", "auto", "auto")
    made = crew._predictor_of(_setup(weights), "auto")
    assert (made.engine, made.precision) == (_choice().engine, "float32")
    assert "torch" not in sys.modules


@pytest.mark.parametrize("terms", [{"engine": "torch"}, {"precision": "bfloat16"}, {"torch threads": 2}])
def test_a_worker_computes_on_the_terms_of_its_film(
    terms: dict[str, Any], weights: str, monkeypatch: Patch
) -> None:
    pytest.importorskip("onnxruntime")
    before = torch.get_num_threads()
    found = SimpleNamespace(precision="float32", engine=_choice().engine)
    monkeypatch.setattr(crew, "predictor_without_torch", lambda *_: found)
    monkeypatch.setattr(crew, "thread_count", lambda: 3)
    try:
        assert crew._predictor_of(_setup(weights), "auto") is found
        made = crew._predictor_of(_setup(weights, **terms), "auto")
        assert made is not found
        assert torch.get_num_threads() == terms.get("torch threads", 3)
    finally:
        torch.set_num_threads(before)
    assert made.precision == terms.get("precision", "float32")


def test_workers_make_the_same_film(film: Path, weights: str) -> None:
    pytest.importorskip("onnxruntime")
    run(film, film.with_name("alone.mkv"), weights=weights)
    said, imported = run(film, film.with_name("jobs.mkv"), "--jobs", "2", weights=weights)
    assert "onnxruntime" in said
    assert imported == "no torch"
    assert content(film.with_name("alone.mkv")) == content(film.with_name("jobs.mkv"))


@pytest.mark.usefixtures("without_torch")
def test_where_there_is_no_engine_nothing_is_sought(weights: str, monkeypatch: Patch) -> None:
    monkeypatch.setattr(predictors, "may_have_gpu", lambda: False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(ModelCache, "choice", lambda self, *asked: pytest.fail("sought"))
    assert predictors.predictor_without_torch(Path(weights), Options()) is None


@pytest.mark.usefixtures("without_torch")
def test_where_there_may_be_a_gpu_torch_is_asked(weights: str, monkeypatch: Patch) -> None:
    pytest.importorskip("onnxruntime")
    kept_of(weights).keep_choice(_choice(), "auto", "auto", "auto")
    monkeypatch.setattr(predictors, "may_have_gpu", lambda: True)
    kept_of(weights).keep_choice(_choice(), "cpu", "auto", "auto")
    assert predictors.predictor_without_torch(Path(weights), Options()) is None
    assert predictors.predictor_without_torch(Path(weights), Options(device="cpu")) is not None


def test_a_program_that_has_torch_goes_on_with_it(film: Path, weights: str, cache: Path) -> None:
    pytest.importorskip("onnxruntime")
    kept = kept_of(weights)
    kept.keep_choice(_choice(), "auto", "fp32", "auto")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        options = Options(render_size=32, weights=weights)
        colorize(film, film.with_name("out.mkv"), options)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    assert kept.choice("auto", "auto", "auto") is None  # its number of threads may be the program's
    assert list(cache.glob("*/*.onnx"))


def test_weights_that_have_changed_meanwhile_are_not_used(tmp_path: Path, weights: str) -> None:
    own = tmp_path / "own.safetensors"
    own.write_bytes(Path(weights).read_bytes())
    late = predictors._Deferred(own, stamp(own), 32)
    assert late.network is late.network
    late = predictors._Deferred(own, stamp(own), 32)
    os.utime(own, (1, 1))
    with pytest.raises(WeightsError, match="has changed"):
        _ = late.network


def test_models_are_never_kept_as_those_of_weights_that_took_the_file(
    tmp_path: Path, weights: str, monkeypatch: Patch
) -> None:
    pytest.importorskip("onnxruntime")
    own, other = tmp_path / "own.safetensors", tmp_path / "other.safetensors"
    own.write_bytes(Path(weights).read_bytes())
    network = load_generator(weights).network
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(0.9)
    save_weights(other, cast(LiteUNet, network))
    picture = np.full((1, 1, 32, 32), 60.0, np.float32)

    def colours(path: Path) -> np.ndarray:
        predictors._model_cache.cache_clear()
        predictors._sessions.cache_clear()
        made = predictors.make_predictor(path, Cpu(), "float32", "onnxruntime")
        return made(picture, (32, 32))[0]

    def loaded(name: str) -> Generator:
        found = load_generator(name)
        if other.exists():
            os.replace(other, own)  # as vidcolor-train does
        return found

    before = colours(own)
    monkeypatch.setattr(predictors, "load_generator", loaded)
    changed = colours(own)
    assert np.abs(changed - before).max() > 0.1
    assert np.array_equal(colours(own), changed)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new"))
    assert np.array_equal(colours(own), changed)


def test_a_choice_is_that_of_the_weights_that_were_read(tmp_path: Path, weights: str) -> None:
    pytest.importorskip("onnxruntime")
    own = tmp_path / "own.safetensors"
    own.write_bytes(Path(weights).read_bytes())
    made = predictors.make_predictor(own, Cpu(), "float32", "onnxruntime")
    own.write_bytes(own.read_bytes() + b"\0")
    predictors.note_choice(Options(), made, _choice().torch)
    assert kept_of(own).choice("auto", "auto", "auto") is None


def test_nothing_is_kept_of_weights_that_have_changed_since_they_were_read(
    tmp_path: Path, weights: str, cache: Path
) -> None:
    own = tmp_path / "own.safetensors"
    own.write_bytes(Path(weights).read_bytes())
    kept = kept_of(own)
    own.write_bytes(b"other")
    kept.keep_model("one", b"content")
    assert kept.model("one") is None
    assert not cache.exists()


def test_eight_models_are_kept_those_used_last(weights: str, cache: Path) -> None:
    kept = kept_of(weights)
    for number in range(8):
        kept.keep_model(str(number), bytes([number]))
        os.utime(next(cache.glob(f"*/{number}.onnx")), (number, number))
    assert kept.model("0") == b"\0"
    kept.keep_model("8", b"8")
    assert [number for number in range(9) if kept.model(str(number)) is not None] == [0, *range(2, 9)]


def test_what_killed_writers_left_goes(weights: str, cache: Path) -> None:
    kept = kept_of(weights)
    kept.keep_model("one", b"content")
    place = next(cache.iterdir())
    old, new = place / "two.onnx.0123.part", place / "two.onnx.4567.part"
    old.touch()
    new.touch()
    os.utime(old, (1, 1))
    kept.keep_model("three", b"content")
    assert sorted(path.name for path in place.iterdir()) == ["one.onnx", "three.onnx", new.name]


def test_with_the_last_model_of_a_generator_its_choice_goes(
    tmp_path: Path, weights: str, cache: Path
) -> None:
    other = tmp_path / "other.safetensors"
    other.write_bytes(Path(weights).read_bytes() + b"\0")
    kept_of(other).keep_choice(_choice(), "auto", "auto", "auto")
    kept_of(other).keep_model("one", b"content")
    os.utime(next(cache.glob("*/one.onnx")), (1, 1))
    for number in range(8):
        kept_of(weights).keep_model(str(number), b"content")
    assert kept_of(other).choice("auto", "auto", "auto") is None
    assert len(list(cache.iterdir())) == 1


def test_what_bears_on_a_model_has_its_own_place(tmp_path: Path, weights: str, monkeypatch: Patch) -> None:
    kept_of(weights).keep_model("one", b"content")

    def found() -> bytes | None:
        return kept_of(weights).model("one")

    assert found() == b"content"
    with monkeypatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "7")
        assert found() is None
    with monkeypatch.context() as patch:
        patch.setattr(metadata, "version", lambda name: "0.1")
        assert found() is None
    with monkeypatch.context() as patch:
        patch.setattr(modelcache, "_digest_of_networks", lambda: "other")
        assert found() is None
    with monkeypatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
        patch.setattr(os, "cpu_count", lambda: 77)
        assert found() is None
    other = tmp_path / "other.safetensors"
    other.write_bytes(Path(weights).read_bytes() + b"\0")
    assert kept_of(other).model("one") is None
    assert found() == b"content"


@pytest.mark.parametrize("place", ["a file", "relative"])
def test_where_nothing_can_be_kept_torch_is_there_as_ever(
    place: str, film: Path, weights: str, monkeypatch: Patch
) -> None:
    pytest.importorskip("onnxruntime")
    (film.parent / "file").touch()
    monkeypatch.chdir(film.parent)
    monkeypatch.setenv("XDG_CACHE_HOME", {"a file": str(film.parent / "file"), "relative": "here"}[place])
    monkeypatch.setenv("HOME", str(film.parent / "file"))
    said, imported = run(film, "out.mkv", weights=weights)
    assert "onnxruntime" in said
    assert imported == "torch"
    assert sorted(path.name for path in film.parent.iterdir()) == ["file", "in.mkv", "out.mkv"]


def test_who_has_no_home_keeps_nothing(weights: str, tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(modelcache, "user_cache_path", lambda *_, **__: Path("~/.cache/vidcolor"))
    kept = kept_of(weights)
    assert not kept.writable
    kept.keep_model("one", b"content")
    assert kept.model("one") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", [["--precision", "fp16"], ["--engine", "openvino"]])
def test_what_cannot_be_is_said_by_whoever_finds_it(given: list[str], film: Path, weights: str) -> None:
    for name in ("onnxruntime", "openvino"):
        pytest.importorskip(name)
    own = film.with_name("own.safetensors")
    blob = Path(weights).read_bytes()
    own.write_bytes(blob[:-4000] + b"\xff" * 4000)
    fault = "--precision fp16 is for GPUs" if "fp16" in given else "some of its weights are no numbers"
    command = [sys.executable, "-c", _TELLS, "--weights", str(own), *given, str(film), "out.mkv"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=film.parent)
    *said, imported = done.stderr.strip().splitlines()
    assert imported == "no torch"
    assert len(said) == 1
    assert fault in said[0]
    assert done.returncode == (2 if "fp16" in given else 4)


def test_what_engines_cannot_do_is_asked_once(film: Path, weights: str, monkeypatch: Patch) -> None:
    exporter = Exporter(Path(weights), "cpu", "bf16", "onnxruntime")
    with pytest.raises(UsageError, match="--engine onnxruntime is for --device cpu in --precision fp32"):
        exporter.start()
    kept_of(weights).keep_choice(replace(_choice(), engine="torch"), "auto", "auto", "auto")
    monkeypatch.setattr(predictors.Exporter, "start", lambda self: pytest.fail("asked again"))
    monkeypatch.setattr(predictors, "may_have_gpu", lambda: False)
    with no_torch():
        assert predictors.predictor_without_torch(Path(weights), Options(weights=weights)) is None


def test_another_process_that_cannot_begin_or_is_killed_is_done_without(
    weights: str, monkeypatch: Patch
) -> None:
    for program in ("/nowhere/python", "/bin/false", "/bin/echo"):
        monkeypatch.setattr(sys, "executable", program)
        exporter = Exporter(Path(weights), "cpu", "fp32", "auto")
        assert not exporter.start()
        with no_torch():
            assert not exporter.export((1, 1, 32, 32))


def test_a_signal_does_not_wait_for_another_process(film: Path, weights: str, monkeypatch: Patch) -> None:
    cancel, given_up, waited_for = threading.Event(), threading.Event(), threading.Event()

    def hangs(*_: object) -> None:
        cancel.set()
        given_up.wait(10)
        waited_for.set()

    monkeypatch.setattr("vidcolor.filmjob.predictor_without_torch", hangs)
    try:
        with pytest.raises(Interrupted):
            colorize(film, film.with_name("out.mkv"), Options(weights=weights), cancel=cancel)
        assert not waited_for.is_set()
    finally:
        given_up.set()


def test_another_process_ends_when_it_has_kept_what_was_asked_for(weights: str, cache: Path) -> None:
    pytest.importorskip("onnxruntime")
    exporter = Exporter(Path(weights), "cpu", "fp32", "onnxruntime")
    assert exporter.start()
    process = exporter._process
    assert process is not None
    assert process.poll() is None
    with no_torch():
        assert exporter.export((1, 1, 64, 32))
    assert process.poll() == 0
    assert any("1x1x64x32" in path.name for path in cache.glob("*/*.onnx"))
    assert not exporter.export((1, 1, 32, 32))  # for who has torch
    with no_torch():
        assert exporter.start()
        assert exporter._process is not None
        exporter._process.kill()
        exporter._process.wait()
        assert exporter.export((1, 1, 32, 64))
    assert any("1x1x32x64" in path.name for path in cache.glob("*/*.onnx"))


@pytest.mark.usefixtures("without_torch")
def test_each_thread_has_its_own_number_until_torch_is_there() -> None:
    torchthreads.assume_torch(TorchInfo(version="2.9.1", threads=5, capability="AVX2"))
    found: list[int] = []

    def other() -> None:
        found.append(torchthreads.thread_count())

    with torchthreads.torch_threads(2):
        assert torchthreads.thread_count() == 2
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert found == [5]
    torchthreads.set_thread_count(1)
    sys.modules["torch"] = torch
    assert torchthreads.thread_count() == 1 == torch.get_num_threads()
    torch.set_num_threads(3)
    assert torchthreads.thread_count() == 3
    torchthreads.set_thread_count(2)
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("without_torch")
def test_what_a_program_sets_after_a_film_without_torch_stays() -> None:
    torchthreads.assume_torch(TorchInfo(version="2.9.1", threads=5, capability="AVX2"))
    with torchthreads.torch_threads(2), torchthreads.torch_threads(3):
        pass
    sys.modules["torch"] = torch
    torch.set_num_threads(1)
    assert torchthreads.thread_count() == 1 == torch.get_num_threads()


def test_openvino_is_called_once_before_threads_call_it(
    monkeypatch: Patch, cache: Path, weights: str
) -> None:
    pytest.importorskip("openvino")
    from vidcolor.networks.onnx_model import exported

    asked: list[tuple[int, ...]] = []

    def answer(requests: Any, x: Any) -> Any:
        asked.append(x.shape)
        assert openvino_runtime._beginning.locked()

    monkeypatch.setattr(openvino_runtime, "_answer", answer)
    model = exported(load_generator(weights).network, torch.zeros(1, 1, 32, 64))
    openvino_runtime.session(model, "float32", 1, 2)
    assert asked == [(1, 1, 32, 64)]
