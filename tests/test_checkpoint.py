from __future__ import annotations

import errno
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
from generators import GENERATORS, lively
from safetensors.torch import load_file, save_file

from vidcolor.checkpoint import load_generator, metadata_of, record, save_weights
from vidcolor.errors import WeightsError
from vidcolor.networks.unet import LiteUNet
from vidcolor.weightfiles import find_weights


def rewritten(weights: str, path: Path, **metadata: str) -> Path:
    known = {"format": "vidcolor-1", "architecture": "lite-unet"}
    config = json.dumps({"variant": "lite0", "decoder": [16, 16, 8, 8]})
    save_file(load_file(weights), path, known | {"config": config} | metadata)
    return path


def test_saved_weights_give_the_same_generator(weights: str) -> None:
    generator = load_generator(weights)
    assert generator.multiple == 32
    assert generator.metadata["recipe"] == "random"
    assert not generator.network.training
    assert generator.network(torch.full((1, 1, 64, 96), 50.0)).shape == (1, 2, 32, 48)


@pytest.mark.parametrize("name", GENERATORS)
def test_every_architecture_comes_back_from_its_file(name: str, tmp_path: Path) -> None:
    network = lively(name)
    path = tmp_path / "one.safetensors"
    save_weights(path, network, recipe="r")
    generator = load_generator(str(path))
    assert generator.metadata["architecture"] == network.architecture
    assert generator.multiple == network.multiple
    assert isinstance(generator.network, type(network))
    assert generator.network.config == network.config
    assert not any(m.training for m in generator.network.modules())
    assert not any(p.requires_grad or p.is_meta for p in generator.network.parameters())
    luminance = torch.rand(1, 1, 64, 64) * 100
    with torch.no_grad():
        assert torch.allclose(generator.network(luminance), network(luminance), atol=1.0)


def test_to_load_a_generator_torchs_compiler_is_not_imported(tmp_path: Path) -> None:
    own = [name for name in GENERATORS if name not in ("resnet", "mobilenet")]  # torchvision imports it
    paths = [tmp_path / f"{name}.safetensors" for name in own]
    for path in paths:
        save_weights(path, lively(path.stem), recipe="r")
    code = (
        "import sys; from vidcolor.checkpoint import load_generator\n"
        f"for name in {[str(path) for path in paths]}: load_generator(name)\n"
        "assert 'torch.nn' in sys.modules and 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_missing_weights_name_every_place() -> None:
    with pytest.raises(WeightsError, match=r"looked for .*weights.nowhere\.safetensors, nowhere$") as caught:
        find_weights("nowhere")
    assert caught.value.exit_code == 4


def test_a_file_in_the_current_folder_does_not_shadow_shipped_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "default").write_text("something else")
    assert find_weights("default").suffix == ".safetensors"
    (tmp_path / "own.safetensors").write_text("a file")
    assert find_weights("own.safetensors") == Path("own.safetensors")


def test_shipped_weights_are_found_by_name_and_load() -> None:
    generator = load_generator("default")
    assert {"recipe", "data", "date"} <= generator.metadata.keys()


@pytest.mark.parametrize("kept", [0, 4, 100, 5000])
def test_truncated_weights_are_refused(weights: str, tmp_path: Path, kept: int) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(Path(weights).read_bytes()[:kept])
    with pytest.raises(WeightsError, match=r"broken\.safetensors"):
        load_generator(str(broken))


def test_pickles_are_refused_without_being_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "sprung",))  # type: ignore[return-value]

    trap = tmp_path / "trap.pth"
    trap.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(WeightsError):
        load_generator(str(trap))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "metadata",
    [
        {"architecture": "other"},
        {"format": "vidcolor-99"},
        {"config": "{"},
        {"config": '{"variant": "lite9"}'},
        {"config": '{"surprise": 1}'},
        {"config": '{"variant": "lite0", "decoder": [1, 2, 3, 4, 5]}'},
        {"config": '{"variant": "lite0", "decoder": [-1, 2, 3, 4]}'},
        {"config": '{"variant": "lite2", "decoder": [16, 16, 8, 8]}'},
    ],
    ids=str,
)
def test_weights_of_another_architecture_are_refused(
    weights: str, tmp_path: Path, metadata: dict[str, str]
) -> None:
    with pytest.raises(WeightsError, match=r"other\.safetensors"):
        load_generator(str(rewritten(weights, tmp_path / "other.safetensors", **metadata)))


ABSURD = [
    ("pix2pix-unet", {"filters": 10**9}),
    ("pix2pix-unet", {"downs": 60}),
    ("pix2pix-unet", {"downs": 10**9}),
    ("pix2pix-unet", {"filters": 1024, "downs": 10}),
    ("pix2pix-unet", {"dropout": "half"}),
    ("pix2pixhd", {"blocks": 10**9}),
    ("pix2pixhd", {"filters": 1024, "downs": 6, "blocks": 64}),
    ("cyclegan", {"filters": 10**30}),
    ("cyclegan", {"filters": 1024, "blocks": 64}),
    ("lite-unet", {"variant": "lite0", "decoder": [10**9] * 4}),
    ("lite-unet", {"variant": "lite0", "decoder": [10**30] * 4}),
    ("lite-unet", {"variant": [], "decoder": [8, 8, 8, 8]}),
    ("lite-unet", {"variant": "lite0", "decoder": [16, 16, 8, 8], "auto_exposure": 1.1}),
    ("lite-unet", {"variant": "lite0", "decoder": [16, 16, 8, 8], "auto_exposure": float("nan")}),
    ("lite-unet", {"variant": "lite0", "decoder": [16, 16, 8, 8], "auto_exposure": "0.4"}),
    ("lite-unet", {"variant": "lite0", "decoder": [16, 16, 8, 8], "auto_exposure": True}),
    ("lite-unet", {"variant": "lite0", "decoder": [16, 16, 8, 8], "less_violet": -0.1}),
    ("lite-unet", {"variant": "lite0", "decoder": [16, 16, 8, 8], "less_violet": "0.4"}),
    ("lite-unet", {"variant": "lite0", "decoder": [16, 16, 8, 8], "less_cyan": 1.1}),
    ("encoder-unet", {"encoder": "vit_h_14"}),
    ("encoder-unet", {"encoder": "resnet18", "decoder": ["8"] * 4}),
    ("encoder-unet", [1, 2]),
]


@pytest.mark.parametrize(("architecture", "config"), ABSURD, ids=str)
def test_absurd_configurations_are_refused_before_memory_is_taken(
    weights: str, tmp_path: Path, architecture: str, config: object
) -> None:
    metadata = {"architecture": architecture, "config": json.dumps(config)}
    path = rewritten(weights, tmp_path / "absurd.safetensors", **metadata)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WeightsError, match=r"absurd\.safetensors"):
        load_generator(str(path))
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert taken < 200_000  # kB on Linux: what importing torchvision takes, not what was asked for


def test_deeply_nested_configurations_are_refused(weights: str, tmp_path: Path) -> None:
    path = rewritten(weights, tmp_path / "deep.safetensors", config="[" * 100_000)
    with pytest.raises(WeightsError, match="damaged"):
        load_generator(str(path))


def test_a_tensor_too_few_is_refused(weights: str, tmp_path: Path) -> None:
    state = load_file(weights)
    del state["head.bias"]
    config = json.dumps({"variant": "lite0", "decoder": [16, 16, 8, 8]})
    path = tmp_path / "few.safetensors"
    save_file(state, path, {"format": "vidcolor-1", "architecture": "lite-unet", "config": config})
    with pytest.raises(WeightsError, match=r"head\.bias"):
        load_generator(str(path))


def test_weights_are_written_in_half_precision_and_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "new.safetensors"
    save_weights(path, LiteUNet("lite0", (8, 8, 8, 8)), recipe="r")
    assert {t.dtype for t in load_file(path).values() if t.is_floating_point()} == {torch.float16}
    assert not list(tmp_path.glob("*.part"))


def test_values_beyond_half_precision_are_kept(tmp_path: Path) -> None:
    network = LiteUNet("lite0", (8, 8, 8, 8))
    network.bottleneck[1].running_var.fill_(1e6)
    save_weights(tmp_path / "wide.safetensors", network)
    found = load_generator(str(tmp_path / "wide.safetensors")).network.state_dict()
    assert found["bottleneck.1.running_var"].eq(1e6).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(value: float, tmp_path: Path) -> None:
    """Activations may hide them, one engine's otherwise than another's."""
    network = LiteUNet("lite0", (8, 8, 8, 8))
    network.encoder.stages[5][2].layers[1][1].weight.data[0] = value
    save_weights(tmp_path / "broken.safetensors", network)
    with pytest.raises(WeightsError, match=r"broken\.safetensors: some of its weights are no numbers"):
        load_generator(str(tmp_path / "broken.safetensors"))


def test_weights_that_may_not_be_read_are_said_to_be_closed_not_missing(weights: str) -> None:
    closed = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    refusing = mock.patch("vidcolor.checkpoint.open", side_effect=closed, create=True)
    with refusing, pytest.raises(WeightsError, match="Permission denied"):
        load_generator(weights)


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_weights_may_have_a_name_that_is_not_utf8(weights: str, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"a\xffb.safetensors")
    shutil.copy(weights, odd)
    wanted = load_generator(weights)
    assert load_generator(str(odd)).metadata == wanted.metadata == metadata_of(odd)
    record(odd, scores="good")
    found = load_generator(str(odd))
    assert found.metadata["scores"] == "good"
    assert all(map(torch.equal, found.network.state_dict().values(), wanted.network.state_dict().values()))


def test_weights_that_cannot_be_looked_for_are_no_fault() -> None:
    with pytest.raises(WeightsError, match="File name too long"):
        load_generator("n" * 300)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="what is mapped cannot be looked up here")
def test_weights_are_not_mapped_while_they_are_in_use_or_written_over(weights: str, tmp_path: Path) -> None:
    copy, replace = rewritten(weights, tmp_path / "copy.safetensors"), os.replace

    def refusing(part: Path, path: Path) -> None:  # as Windows
        assert str(path) not in Path("/proc/self/maps").read_text()
        replace(part, path)

    generator = load_generator(str(copy))
    with mock.patch("os.replace", refusing):
        record(copy, scores="{}")
    assert load_generator(str(copy)).metadata["scores"] == "{}"
    assert generator.network(torch.full((1, 1, 64, 96), 50.0)).shape == (1, 2, 32, 48)
