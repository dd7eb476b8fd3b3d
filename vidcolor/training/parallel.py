"""Several processes that train one network: each sees its part of every batch, gradients are averaged.

``torchrun`` starts the processes and sets the environment that :func:`joined` reads. Gradients go in one
exchange, without torch's DDP wrapper, which wants one backward pass a step.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vidcolor.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Place:
    """This process among those that train together: its number, theirs, its device.

    ``last`` is what was exchanged last, held until the group is gone. Gloo's thread may let go of a tensor
    late, and for one that Python has forgotten it needs the GIL, which torch before 2.8 keeps while it waits
    for that thread to end: the process would hang.
    """

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    last: list[Tensor] = field(default_factory=list, repr=False, compare=False)

    @property
    def leads(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0


@contextmanager
def joined(device: torch.device) -> Iterator[Place]:
    """Join the processes that ``torchrun`` started; without it, there is just this one.

    On CUDA each process takes the GPU of its local rank and talks NCCL, elsewhere gloo.

    Raises:
        UsageError: the environment is not torchrun's, or there are more processes than GPUs.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Place(device=device)
        return
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise UsageError(f"WORLD_SIZE is {world}, but {missing[0]} is not set: start it with torchrun")
    if device.type == "cuda":
        if int(os.environ.get("LOCAL_RANK", "0")) >= torch.cuda.device_count():
            raise UsageError(f"--nproc-per-node: there are {torch.cuda.device_count()} GPUs")
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    place = Place(rank=dist.get_rank(), world=world, device=device)
    try:
        yield place
    finally:
        dist.destroy_process_group()
        place.last.clear()


def wait_for_all(place: Place) -> None:
    """Go on when all processes have come here."""
    if place.world > 1:
        dist.barrier()


def average_gradients(parameters: Iterable[nn.Parameter], place: Place) -> None:
    """Replace each gradient by its mean over the processes, in one exchange."""
    if place.world == 1:
        return
    _average([p.grad for p in parameters if p.grad is not None], place)


def _average(tensors: list[Tensor], place: Place) -> None:
    if not tensors:
        return
    flat = torch.cat([t.reshape(-1) for t in tensors])  # all of them, (sum of sizes,)
    dist.all_reduce(flat)
    place.last[:] = [flat]
    flat /= place.world
    at = 0
    for tensor in tensors:
        tensor.copy_(flat[at : at + tensor.numel()].view_as(tensor))
        at += tensor.numel()


def average_statistics(networks: Iterable[nn.Module], place: Place) -> None:
    """Replace what each BatchNorm that learns knows of its pictures by its mean over the processes.

    The checkpoint, which the first process writes, then holds what all of them go on with.
    """
    if place.world == 1:
        return
    learn = [m for n in networks for m in n.modules() if isinstance(m, nn.BatchNorm2d) and m.training]
    known = [b for layer in learn for b in (layer.running_mean, layer.running_var) if b is not None]
    _average(known, place)


def mean_of(values: dict[str, float], place: Place) -> dict[str, float]:
    """The mean of named numbers over the processes."""
    if place.world == 1:
        return values
    tensor = torch.tensor([values[k] for k in sorted(values)], dtype=torch.float64, device=place.device)
    dist.all_reduce(tensor)
    place.last[:] = [tensor]
    return dict(zip(sorted(values), (tensor / place.world).tolist(), strict=True))


def same_everywhere(value: float, place: Place) -> float:
    """The first process's value, in all processes (a clock must not send them different ways)."""
    if place.world == 1:
        return value
    tensor: Tensor = torch.tensor([value], dtype=torch.float64, device=place.device)
    dist.broadcast(tensor, 0)
    place.last[:] = [tensor]
    return float(tensor.item())
