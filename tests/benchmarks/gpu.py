"""The generator alone on a GPU: pictures a second, and the share of what the card can multiply.

Run by hand: ``python tests/benchmarks/gpu.py``
"""

from __future__ import annotations

import time
from collections.abc import Callable

import click
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from vidcolor.checkpoint import load_generator
from vidcolor.networks.fusing import fuse_batch_norm
from vidcolor.stages.predict import Predictor

_SHAPE = (256, 448)
_RUNS = 30


def seconds(work: Callable[[], object]) -> float:
    """Median of the wall clock of some runs, each waited for."""
    for _ in range(5):
        work()
    taken = []
    for _ in range(_RUNS):
        torch.cuda.synchronize()
        started = time.perf_counter()
        work()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - started)
    return float(np.median(taken))


def peak(dtype: torch.dtype) -> float:
    """Operations a second of a large matrix product of random numbers."""
    side = 8192
    a, b = (torch.randn(side, side, device="cuda", dtype=dtype) for _ in range(2))
    return 2.0 * side**3 / seconds(lambda: a @ b)


def graphed(network: torch.nn.Module, pictures: torch.Tensor) -> Callable[[], object]:
    """The forward pass as a CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            network(pictures)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        network(pictures)
    return graph.replay


@click.command()
@click.option("--compiled", is_flag=True, help="Compile it, too.")
@torch.inference_mode()
def main(compiled: bool) -> None:
    """Print the table."""
    click.echo(
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}, pictures of {_SHAPE[1]}x{_SHAPE[0]}"
    )
    counted = FlopCounterMode(display=False)
    network = load_generator("default").network
    fuse_batch_norm(network)
    with counted:
        network(torch.rand(1, 1, *_SHAPE) * 100.0)
    operations = counted.get_total_flops()
    click.echo(f"{operations / 1e9:.2f} billion operations a picture (a multiply and an add are two)")
    for dtype in (torch.bfloat16, torch.float16):
        network = network.to("cuda", dtype).to(memory_format=torch.channels_last)
        most = peak(dtype)
        click.echo(f"{dtype}: a matrix product of 8192 makes {most / 1e12:.0f} TFLOP/s")
        for batch in (1, 8, 32, 64):
            pictures = (torch.rand(batch, 1, *_SHAPE, device="cuda") * 100.0).contiguous(
                memory_format=torch.channels_last
            )
            ways: dict[str, Callable[[], object]] = {
                "layer by layer": lambda own=network, given=pictures: own(given),  # type: ignore[misc]
                "CUDA graph": graphed(network, pictures),
            }
            if compiled and batch == 32 and dtype == torch.float16:
                fast = torch.compile(network)
                ways["compiled"] = lambda given=pictures, own=fast: own(given)  # type: ignore[misc]
            for name, work in ways.items():
                rate = batch / seconds(work)
                click.echo(
                    f"  batch {batch:3} {name:15} {rate:9.0f} pictures/s {rate * operations / most:7.1%}"
                )
    predictor = Predictor(load_generator("default"), torch.device("cuda"), "float16")
    luminance = torch.rand(32, 1, *_SHAPE) * 100.0
    rate = 32 / seconds(lambda: predictor(luminance, _SHAPE))
    click.echo(f"Predictor, fp16, batch 32, with the ways there and back: {rate:.0f} pictures/s")


if __name__ == "__main__":
    main()
