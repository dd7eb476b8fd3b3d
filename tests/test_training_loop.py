"""The loop on a generator of a few weights: averaging, clipping, precision."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import torch
from torch import Tensor

from vidcolor.checkpoint import save_weights
from vidcolor.errors import WeightsError
from vidcolor.networks.unet import LiteUNet
from vidcolor.training.batches import Batch, prepare
from vidcolor.training.building import build_state
from vidcolor.training.loop import train
from vidcolor.training.options import Files, TrainOptions
from vidcolor.training.parallel import Place, average_gradients, mean_of, same_everywhere
from vidcolor.training.recipes import RECIPES
from vidcolor.training.schedule import stages_of
from vidcolor.training.state import TrainState

SMALL = {"variant": "lite0", "decoder": [8, 8, 4, 4]}


def trained(steps: int = 3, **changed: object) -> tuple[TrainState, list[Tensor]]:
    """The state after some steps of Huber loss, and a weight of the head after each."""
    settings = {"steps": steps, "batch": 2, "crop": 64, "generator": SMALL, "first_share": 1.0}
    options = TrainOptions(**(settings | {"warm_up": 0, "precision": "fp32"} | changed))  # type: ignore[arg-type]
    state = build_state(options, Files(out=Path("out"), work=Path("work")), torch.device("cpu"))
    seen = [head_of(state)]
    torch.manual_seed(0)
    batches: list[Batch] = [prepare(torch.rand(2, 3, 64, 64), options, step=i, first=0) for i in range(steps)]
    stages = stages_of(RECIPES[options.recipe], options)
    train(state, iter(batches), stages, options, Place(), lambda event: seen.append(head_of(state)))
    return state, seen


def head_of(state: TrainState) -> Tensor:
    return state.generator.get_parameter("head.weight").detach().clone()


@pytest.mark.parametrize(
    ("recipe", "sizes"),
    [
        ("pix2pix", {"downs": 5, "filters": 4}),
        ("pix2pixhd", {"filters": 2, "blocks": 1}),
        ("cyclegan", {"filters": 4, "blocks": 1}),
    ],
)
def test_every_network_of_a_recipe_learns(recipe: str, sizes: dict[str, object]) -> None:
    options = TrainOptions(
        recipe=recipe, steps=2, batch=2, crop=64, generator=sizes, warm_up=0, precision="fp32"
    )
    state = build_state(options, Files(out=Path("out"), work=Path("work")), torch.device("cpu"))
    wanted = {
        f"{name}.{key}": weight
        for name, network in state.networks.items()
        for key, weight in network.named_parameters()
        if weight.requires_grad and key.endswith(("weight", "original"))
    }
    before = {name: weight.detach().clone() for name, weight in wanted.items()}
    torch.manual_seed(0)
    batches = [prepare(torch.rand(2, 3, 64, 64), options, step=i, first=0) for i in range(2)]
    if RECIPES[recipe].unpaired:
        batches = [replace(batch, others=torch.rand(2, 3, 64, 64) * 2 - 1) for batch in batches]
    train(state, iter(batches), stages_of(RECIPES[recipe], options), options, Place(), lambda _: None)
    assert {name.split(".")[0] for name in wanted} == set(state.networks)
    assert not [name for name, weight in wanted.items() if torch.equal(weight, before[name])]


def test_the_average_follows_the_weights_with_the_decay_asked_for() -> None:
    state, seen = trained(ema=0.5)
    expected = seen[0]
    for step, weight in enumerate(seen[1:]):
        decay = min(0.5, (1.0 + step) / (10.0 + step))
        expected = expected.lerp(weight, 1.0 - decay)
    average = state.average.get_parameter("head.weight")
    assert torch.allclose(average, expected, atol=1e-7)
    assert not torch.allclose(average, seen[-1], atol=1e-5)


def test_of_a_batch_in_parts_the_same_pictures_are_judged_that_are_learnt_from() -> None:
    settings: dict[str, object] = {"steps": 1, "batch": 2, "accumulate": 2, "crop": 64, "generator": SMALL}
    options = TrainOptions(**(settings | {"first_share": 0.0, "precision": "fp32", "freeze_norm": True}))  # type: ignore[arg-type]
    recipe = replace(RECIPES["default"], block_dropout=0.9)
    judged, learnt = [], []
    with mock.patch.dict(RECIPES, {"default": recipe}):
        state = build_state(options, Files(out=Path("out"), work=Path("work")), torch.device("cpu"))
        objective = state.objective
        judge, learn = objective.adversary_losses, objective.generator_losses
        batch = prepare(torch.rand(2, 3, 64, 64), options, step=0, first=0, twice=True)
        with (
            mock.patch.object(
                objective,
                "adversary_losses",
                lambda made, stage: (judged.append(made.ab), judge(made, stage))[1],
            ),
            mock.patch.object(
                objective,
                "generator_losses",
                lambda made, *more: (learnt.append(made.ab), learn(made, *more))[1],
            ),
        ):
            train(state, iter([batch]), stages_of(recipe, options), options, Place(), lambda event: None)
    assert all(torch.equal(one, other) for one, other in zip(judged, learnt, strict=True))


_AVERAGES = """
import sys
import torch, torch.distributed as dist
from torch import nn
from vidcolor.training.parallel import average_statistics, joined
with joined(torch.device("cpu")) as place:
    learns, frozen = nn.BatchNorm2d(2), nn.BatchNorm2d(2).eval()
    for layer in (learns, frozen):
        layer.running_mean += 1.0 + 2.0 * place.rank
    average_statistics([nn.Sequential(learns, frozen)], place)
    print(learns.running_mean.tolist(), learns.running_var.tolist(), frozen.running_mean.tolist())
"""


def test_processes_share_what_batchnorm_knows_of_its_pictures() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    pair = [
        subprocess.Popen(
            [sys.executable, "-c", _AVERAGES],
            env=os.environ | shared | {"RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=120)[0].strip() for process in pair]
    assert said == ["[2.0, 2.0] [1.0, 1.0] [1.0, 1.0]", "[2.0, 2.0] [1.0, 1.0] [3.0, 3.0]"]


def test_what_was_exchanged_last_is_held_until_the_processes_part(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Tensor] = []
    monkeypatch.setattr("torch.distributed.all_reduce", given.append)
    monkeypatch.setattr("torch.distributed.broadcast", lambda tensor, _: given.append(tensor))
    place, weight = Place(world=2), torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    average_gradients([weight], place)
    assert place.last[0] is given[0]
    mean_of({"loss": 1.0}, place)
    assert place.last[0] is given[1]
    same_everywhere(1.0, place)
    assert len(place.last) == 1 and place.last[0] is given[2]


def test_each_step_has_the_processes_share_their_statistics() -> None:
    with mock.patch("vidcolor.training.loop.average_statistics") as shared:
        state, _ = trained(3)
    assert shared.call_count == 3
    assert all(state.generator in call.args[0] for call in shared.call_args_list)


def norms_of_a_step(**changed: object) -> list[float]:
    """Of the gradients that each optimiser of a step takes."""
    norms: list[float] = []
    original = torch.optim.AdamW.step

    def step(optimiser: torch.optim.AdamW, *rest: object) -> None:
        gradients = [
            p.grad for group in optimiser.param_groups for p in group["params"] if p.grad is not None
        ]
        norms.append(float(torch.stack([g.norm() for g in gradients]).norm()))
        original(optimiser)

    with mock.patch.object(torch.optim.AdamW, "step", step):
        trained(steps=1, **changed)
    return norms


def test_gradients_are_clipped_to_the_norm_asked_for() -> None:
    assert norms_of_a_step(clip=0.25)[0] <= 0.2501


def test_gradients_are_clipped_as_the_recipe_says() -> None:
    with mock.patch.dict(RECIPES, default=replace(RECIPES["default"], clip=0.25)):
        assert norms_of_a_step()[0] <= 0.2501
    paper = {"recipe": "pix2pix", "generator": {"downs": 5, "filters": 4}, "first_share": None}
    assert max(norms_of_a_step(**paper)) > 5.0, "its authors clip none"
    assert max(norms_of_a_step(**paper, clip=5.0)) <= 5.001


def test_bfloat16_is_used_where_it_is_asked_for() -> None:
    def first_map(precision: str) -> torch.dtype:
        found: list[torch.dtype] = []
        plain = torch.nn.Conv2d.forward

        def forward(layer: torch.nn.Conv2d, x: Tensor) -> Tensor:
            y = plain(layer, x)
            found.append(y.dtype)
            return y

        with mock.patch.object(torch.nn.Conv2d, "forward", forward):
            trained(steps=1, precision=precision)
        return found[-1]

    assert first_map("bf16") == torch.bfloat16
    assert first_map("fp32") == torch.float32


@pytest.mark.parametrize(("strength", "spared"), [(0.0, True), (1.0, False)])
def test_the_strength_of_degradation_is_as_asked(strength: float, spared: bool) -> None:
    torch.manual_seed(1)
    options = TrainOptions(steps=1, crop=32, strength=strength)
    batch = prepare(torch.rand(8, 3, 32, 32), options, step=0, first=0)
    assert torch.allclose(batch.seen, batch.clean) == spared


def test_a_generator_has_the_sizes_of_the_weights_that_it_begins_with(tmp_path: Path) -> None:
    path = tmp_path / "init.safetensors"
    save_weights(path, LiteUNet("lite0", (16, 16, 8, 8), 0.2))
    files = Files(out=tmp_path / "own.safetensors", work=tmp_path)
    sizes = {"variant": "lite0", "decoder": [8, 8, 8, 8]}
    anew = build_state(TrainOptions(steps=1, crop=64, generator=sizes), files, torch.device("cpu"))
    assert anew.generator.config == {**sizes, **RECIPES["default"].arguments}
    on = build_state(TrainOptions(steps=1, crop=64), replace(files, init=path), torch.device("cpu"))
    assert on.generator.config == LiteUNet("lite0", (16, 16, 8, 8), 0.2).config
    other = build_state(
        TrainOptions(steps=1, crop=64, generator={"auto_exposure": 0.3}),
        replace(files, init=path),
        torch.device("cpu"),
    )
    assert other.generator.config["auto_exposure"] == 0.3
    assert torch.equal(other.generator.bottleneck[0].weight, on.generator.bottleneck[0].weight)
    with pytest.raises(WeightsError, match=r"decoder=\[8, 8, 8, 8\]"):
        build_state(
            TrainOptions(steps=1, crop=64, generator=sizes), replace(files, init=path), torch.device("cpu")
        )
