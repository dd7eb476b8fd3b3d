"""Time of the default generator with torch, ONNX Runtime and OpenVINO on the CPU, in float32 and, torch and
OpenVINO, in bfloat16; run by hand.

What is not installed (`pip install onnx onnxruntime openvino`) is left out. All take turns on the same
pictures with the same number of threads, each of which takes a picture, but where layers are said to be
shared; the ratios are what counts.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from vidcolor.checkpoint import Generator, load_generator
from vidcolor.memory import keep_freed_memory
from vidcolor.networks.engines import BY_NAME, Engine
from vidcolor.networks.fusing import fuse_activations, fuse_batch_norm
from vidcolor.networks.onnx_model import exported
from vidcolor.options import TORCH
from vidcolor.sharing import Sharing
from vidcolor.stages.predict import Predictor

CPU = torch.device("cpu")
Forward = Callable[[], NDArray[Any]]


def vidcolor_forward(
    generator: Generator, pictures: torch.Tensor, engine: str, precision: str = "float32"
) -> Forward:
    """As vidcolor runs it: its threads take a picture each."""
    own = replace(generator, network=deepcopy(generator.network))
    predictor = Predictor(own, CPU, precision, Sharing(), engine)
    shape = (pictures.shape[-2], pictures.shape[-1])
    return lambda: np.stack(predictor(pictures, shape))


def layers_forward(network: torch.nn.Module, pictures: torch.Tensor) -> Forward:
    """torch, too, but the threads share the layers of a whole batch."""
    network = deepcopy(network).to(memory_format=torch.channels_last)
    fuse_activations(network)
    moved = pictures.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def forward() -> NDArray[Any]:
        return enlarged(network(moved), moved)

    return forward


def enlarged(ab: torch.Tensor, pictures: torch.Tensor) -> NDArray[Any]:
    """ab at the size of the pictures, channels last, as :class:`Predictor` gives it."""
    ab = F.interpolate(ab, size=pictures.shape[-2:], mode="bilinear", align_corners=False)
    return np.ascontiguousarray(ab.permute(0, 2, 3, 1).numpy())


def shared_forward(
    engine: Engine, model: bytes, pictures: torch.Tensor, precision: str, threads: int
) -> Forward:
    """Another engine, its threads likewise sharing the layers of a whole batch."""
    session = engine.runtime.session(model, precision, threads, 1)
    return lambda: enlarged(torch.from_numpy(session(pictures.numpy())), pictures)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="default")
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, nargs=2, default=(256, 448), help="height and width")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_freed_memory()
    generator = load_generator(given.weights)
    network = generator.network
    pictures = torch.rand(given.batch, 1, *given.size, generator=torch.Generator().manual_seed(1)) * 100
    precisions = {"fp32": "float32", "bf16": "bfloat16"}
    engines = {
        f"torch, {name}": vidcolor_forward(generator, pictures, TORCH, precision)
        for name, precision in precisions.items()
    }
    fuse_batch_norm(network)
    engines["torch, layers shared, fp32"] = layers_forward(network, pictures)
    for engine in BY_NAME.values():
        if engine.installed() is None:
            print(f"{engine.title}: left out, it or onnx is not installed")
            continue
        model = exported(network, pictures)
        for name, precision in precisions.items():
            if precision in engine.runtime.PRECISIONS:
                engines[f"{engine.name}, {name}"] = vidcolor_forward(
                    generator, pictures, engine.name, precision
                )
                engines[f"{engine.name}, layers shared, {name}"] = shared_forward(
                    engine, model, pictures, precision, given.threads
                )
    measure(engines, given.repeat, given.batch)


def measure(engines: dict[str, Forward], repeat: int, batch: int) -> None:
    """Let them take turns; print wall clock and CPU time a picture, and how far their colours lie apart."""
    first = {name: forward() for name, forward in engines.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    for _ in range(repeat):
        for name, forward in engines.items():
            wall, cpu = time.perf_counter(), time.process_time()
            forward()
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    medians = {
        n: [statistics.median(t) * 1e3 / batch for t in zip(*ts, strict=True)] for n, ts in times.items()
    }
    print(
        "engine                           wall, ms   CPU, ms   of the best in that   largest difference of ab"
    )
    for precision in ("fp32", "bf16"):
        alike = {name: time for name, time in medians.items() if name.endswith(precision)}
        best = min(wall for wall, _ in alike.values())
        for name, (wall, cpu) in alike.items():
            apart = float(np.abs(first[name] - first["torch, fp32"]).max())
            print(f"{name:31} {wall:9.1f} {cpu:9.1f} {wall / best:16.2f} {apart:26.5f}")


if __name__ == "__main__":
    main()
