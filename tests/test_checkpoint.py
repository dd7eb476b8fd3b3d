from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from vidcolor.checkpoint import find_weights, load_generator, save_weights
from vidcolor.errors import WeightsError
from vidcolor.networks.unet import LiteUNet


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
