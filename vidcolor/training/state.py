"""The state of a run: networks, optimisers, counters; how it is saved and goes on."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import torch
from torch import nn

from vidcolor.errors import OutputError, ResumeMismatch, first_line
from vidcolor.networks.base import ColourNetwork
from vidcolor.training.depth import BlockDropout
from vidcolor.training.features import FeatureNetwork
from vidcolor.training.objectives import Objective
from vidcolor.training.options import Files, TrainOptions
from vidcolor.training.recipes import Stage
from vidcolor.writing import write_whole

_FORMAT = 2


@dataclass(kw_only=True)
class Counters:
    """How far a run is; ``best`` is the lowest validation score so far, ``seconds`` is time at work."""

    step: int = 0
    seconds: float = 0.0
    pictures: int = 0
    stage: int = 0
    stage_start: int = 0
    best: float = float("inf")


@dataclass(kw_only=True)
class TrainState:
    """Everything that a later process needs to go on.

    Attributes:
        networks: ``generator``, ``adversary``; in unpaired training also ``greyer``, ``grey_adversary``.
        average: running mean of the generator's weights (EMA), in evaluation mode.
        features: the frozen feature network, or None.
        pretrained: whether the generator's encoder came with weights.
        optimisers: of the present stage: ``generator`` and, where it is adversarial, ``adversary``.
        scaler: gradient scaler for fp16.
        block_dropout: what leaves out blocks of the generator's encoder, or None.
    """

    networks: dict[str, nn.Module]
    average: ColourNetwork
    features: FeatureNetwork | None
    pretrained: bool
    objective: Objective
    scaler: torch.amp.GradScaler
    block_dropout: BlockDropout | None = None
    optimisers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)

    @property
    def generator(self) -> ColourNetwork:
        """The generator that learns."""
        network = self.networks["generator"]
        assert isinstance(network, ColourNetwork)
        return network

    @property
    def judges(self) -> list[nn.Module]:
        """The discriminators."""
        return [self.networks[n] for n in ("adversary", "grey_adversary") if n in self.networks]


def begin_stage(state: TrainState, stage: Stage, options: TrainOptions) -> None:
    """Fresh optimisers for a stage."""
    generator = state.generator
    encoder = [p for n, p in generator.named_parameters() if n.startswith("encoder.")]
    others = [p for n, p in generator.named_parameters() if not n.startswith("encoder.")]
    if "greyer" in state.networks:
        others += list(state.networks["greyer"].parameters())
    rate = stage.rate * options.rate
    groups = [{"params": others, "peak": rate}]
    if encoder:
        factor = stage.encoder_factor if state.pretrained else 1.0
        groups.append({"params": encoder, "peak": rate * factor})
    state.optimisers = {
        "generator": torch.optim.AdamW(groups, lr=rate, betas=stage.betas, weight_decay=stage.weight_decay)
    }
    if stage.adversarial:
        judges = [p for n in state.judges for p in n.requires_grad_(True).parameters() if p.requires_grad]
        peak = stage.adversary_rate * options.rate
        state.optimisers["adversary"] = torch.optim.AdamW(
            [{"params": judges, "peak": peak}], lr=peak, betas=stage.betas, weight_decay=0.0
        )


def inputs_of(files: Files, data: str, judged: str) -> dict[str, str]:
    """Digests of all that a run reads: it goes on only with the same.

    Args:
        data, judged: digests of the pictures to learn from and to judge by.
    """
    read = {"--encoder": files.encoder, "--features": files.features, "--init": files.init}
    contents = {name: "" if path is None else _digest(path) for name, path in read.items()}
    return {"pictures": data, "--validation": judged, **contents}


def _digest(path: Path) -> str:
    if not path.is_file():
        return str(path)  # the name of weights that come with a library
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save_checkpoint(state: TrainState, options: TrainOptions, inputs: dict[str, str], path: Path) -> None:
    """Write the whole state to ``path``, or nothing.

    Random numbers need no place in it: each is a function of the seed and the step.

    Args:
        inputs: see :func:`inputs_of`.

    Raises:
        OutputError: it cannot be written; what stood there before is still there.
    """
    stored: dict[str, Any] = {
        "format": _FORMAT,
        "options": options.fixed(),
        "inputs": inputs,
        "networks": {n: network.state_dict() for n, network in state.networks.items()},
        "average": state.average.state_dict(),
        "optimisers": {n: o.state_dict() for n, o in state.optimisers.items()},
        "scaler": state.scaler.state_dict(),
        "counters": vars(state.counters),
    }
    try:
        write_whole(path, lambda file: _save(stored, file))
    except OutputError as error:
        kept = "; the checkpoint before it is kept" if path.exists() else ""
        raise OutputError(f"{error}{kept}: make room and run again") from error


class _Noting:
    """A file that notes why it could not be written: torch says another thing."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


def _save(stored: dict[str, Any], file: IO[bytes]) -> None:
    noting: Any = _Noting(file)
    try:
        torch.save(stored, noting)
    except RuntimeError as error:
        raise noting.error or error from error


def load_checkpoint(
    state: TrainState,
    options: TrainOptions,
    inputs: dict[str, str],
    stages: tuple[Stage, ...],
    path: Path,
) -> None:
    """Take up what :func:`save_checkpoint` wrote.

    Raises:
        ResumeMismatch: it belongs to other options or other input, or cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as parts:  # torch compares no checksums
            if (damaged := parts.testzip()) is not None:
                raise ValueError(f"the checksum of {damaged} is another")
        stored: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        _compare(stored, options, inputs, path)
        state.counters = Counters(**stored["counters"])
        for name, network in state.networks.items():
            network.load_state_dict(stored["networks"][name])
        state.average.load_state_dict(stored["average"])
        state.scaler.load_state_dict(stored["scaler"])
        begin_stage(state, stages[state.counters.stage], options)
        for name, optimiser in state.optimisers.items():
            optimiser.load_state_dict(stored["optimisers"][name])
    except ResumeMismatch:
        raise
    except Exception as error:  # torch raises what it likes on damaged files
        raise ResumeMismatch(
            f"{path}: damaged, or of another version ({first_line(error)}); --restart begins anew"
        ) from error


def _compare(stored: dict[str, Any], options: TrainOptions, inputs: dict[str, str], path: Path) -> None:
    wanted = options.fixed()
    other = [k for k, v in stored["options"].items() if wanted.get(k) != v]
    other += [k for k, v in stored["inputs"].items() if inputs.get(k) != v]
    if stored["format"] != _FORMAT:
        other.append("another version of vidcolor")
    if other:
        raise ResumeMismatch(
            f"{path}: begun with other settings or input ({', '.join(other)}); "
            "use the same, another --work-dir, or --restart"
        )
