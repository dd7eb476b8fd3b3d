"""Time of the default generator with torch, ONNX Runtime and OpenVINO on the CPU, in float32 and, torch and
OpenVINO, in bfloat16; run by hand.

Needs `pip install onnx onnxruntime openvino`, and leaves out what is not installed. All take turns on the
same pictures with the same number of threads; the ratios are what counts.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from vidcolor.checkpoint import Generator, load_generator
from vidcolor.memory import keep_freed_memory
from vidcolor.networks.fusing import fuse_activations, fuse_batch_norm
from vidcolor.networks.onnx_runtime import installed, recorded
from vidcolor.options import ONNX_RUNTIME, TORCH
from vidcolor.sharing import Sharing
from vidcolor.stages.predict import Predictor

CPU = torch.device("cpu")
Forward = Callable[[], NDArray[Any]]


def vidcolor_forward(
    generator: Generator, pictures: torch.Tensor, engine: str, dtype: torch.dtype = torch.float32
) -> Forward:
    """As vidcolor runs it: its threads take a picture each."""
    own = replace(generator, network=deepcopy(generator.network))
    predictor = Predictor(own, CPU, dtype, Sharing(), engine)
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


def onnxruntime_forward(model: bytes, pictures: torch.Tensor, threads: int) -> Forward:
    """ONNX Runtime's CPU provider as it comes, threads sharing the layers of a whole batch."""
    ort = importlib.import_module("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: enlarged(torch.from_numpy(session.run(None, {"luminance": pictures.numpy()})[0]), pictures)


def openvino_forward(model: bytes, pictures: torch.Tensor, threads: int, precision: str = "f32") -> Forward:
    """OpenVINO's CPU plugin, for latency; its pip package reports its import to its makers."""
    core = importlib.import_module("openvino").Core()
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
    }
    request = core.compile_model(core.read_model(model), "CPU", settings).create_infer_request()
    return lambda: enlarged(torch.from_numpy(np.array(request.infer({0: pictures.numpy()})[0])), pictures)


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
    engines = {
        "torch": vidcolor_forward(generator, pictures, TORCH),
        "torch, bf16": vidcolor_forward(generator, pictures, TORCH, torch.bfloat16),
    }
    fuse_batch_norm(network)
    engines["torch, layers shared"] = layers_forward(network, pictures)
    if installed():
        engines["onnxruntime"] = vidcolor_forward(generator, pictures, ONNX_RUNTIME)
        model = recorded(network, pictures)
        for name, make in (
            ("onnxruntime, layers shared", onnxruntime_forward),
            ("openvino, layers shared", openvino_forward),
            ("openvino, layers shared, bf16", partial(openvino_forward, precision="bf16")),
        ):
            try:
                engines[name] = make(model, pictures, given.threads)
            except ModuleNotFoundError as error:
                print(f"{name}: left out ({error})")
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
    best = min(wall for wall, _ in medians.values())
    print("engine                          wall, ms   CPU, ms   of the best   largest difference of ab")
    for name, (wall, cpu) in medians.items():
        apart = float(np.abs(first[name] - first["torch"]).max())
        print(f"{name:30} {wall:9.1f} {cpu:9.1f} {wall / best:13.2f} {apart:26.5f}")


if __name__ == "__main__":
    main()
