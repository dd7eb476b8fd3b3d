"""Time of the default generator's forward pass beside ONNX Runtime and OpenVINO, on the CPU; run by hand.

Needs `pip install onnx onnxscript onnxruntime openvino`, and leaves out what is not installed. All take
turns on the same pictures with the same number of threads; the ratios are what counts.
"""

from __future__ import annotations

import argparse
import importlib
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from vidcolor.checkpoint import Generator, load_generator
from vidcolor.memory import keep_freed_memory
from vidcolor.networks.efficientnet import SameConv2d
from vidcolor.networks.fusing import fuse_activations, fuse_batch_norm
from vidcolor.sharing import Sharing
from vidcolor.stages.predict import Predictor

CPU = torch.device("cpu")
Forward = Callable[[], NDArray[Any]]


class Padded(torch.nn.Module):
    """A convolution of the encoder as ONNX has it, with more padding below and right than above and left."""

    def __init__(self, own: SameConv2d) -> None:
        super().__init__()
        self.own = own

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As the convolution itself."""
        own = self.own
        k, s = own.kernel_size[0], own.stride[0]
        below, right = (max((math.ceil(n / s) - 1) * s + k - n, 0) for n in x.shape[-2:])
        x = F.pad(x, (right // 2, right - right // 2, below // 2, below - below // 2))
        return F.conv2d(x, own.weight, own.bias, s, 0, 1, own.groups)


def as_onnx_has_it(network: torch.nn.Module) -> torch.nn.Module:
    """A copy whose strided convolutions other engines take as they are."""
    network = deepcopy(network)
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, SameConv2d) and child.stride[0] > 1:
                setattr(module, name, Padded(child))
    return network


def torch_forward(generator: Generator, pictures: torch.Tensor) -> Forward:
    """As vidcolor runs it, in float32: its threads take a picture each."""
    predictor = Predictor(
        replace(generator, network=deepcopy(generator.network)), CPU, torch.float32, Sharing()
    )
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


def onnxruntime_forward(model: Path, pictures: torch.Tensor, threads: int) -> Forward:
    """ONNX Runtime's CPU provider with all its graph optimisations, which are its default."""
    ort = importlib.import_module("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return lambda: enlarged(torch.from_numpy(session.run(None, {"luminance": pictures.numpy()})[0]), pictures)


def each_forward(model: Path, pictures: torch.Tensor, threads: int) -> Forward:
    """ONNX Runtime with a picture for each thread, as vidcolor has torch do it."""
    ort = importlib.import_module("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    pool = ThreadPoolExecutor(threads)

    def one(picture: torch.Tensor) -> NDArray[Any]:
        return enlarged(torch.from_numpy(session.run(None, {"luminance": picture.numpy()})[0]), picture)

    return lambda: np.concatenate(list(pool.map(one, torch.split(pictures, 1))))


def openvino_forward(model: Path, pictures: torch.Tensor, threads: int) -> Forward:
    """OpenVINO's CPU plugin, for latency, in float32."""
    core = importlib.import_module("openvino").Core()
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = core.compile_model(core.read_model(str(model)), "CPU", settings).create_infer_request()
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
    engines: dict[str, Forward] = {"torch": torch_forward(generator, pictures)}
    fuse_batch_norm(network)
    engines["torch, layers shared"] = layers_forward(network, pictures)
    with tempfile.TemporaryDirectory() as folder:
        whole, single = Path(folder) / "batch.onnx", Path(folder) / "single.onnx"
        for model, shown in ((whole, pictures), (single, pictures[:1])):
            torch.onnx.export(
                as_onnx_has_it(network),
                (shown,),
                str(model),
                dynamo=True,
                input_names=["luminance"],
                verbose=False,
            )
        for name, make, model in (
            ("onnxruntime", onnxruntime_forward, whole),
            ("onnxruntime, a picture each", each_forward, single),
            ("openvino", openvino_forward, whole),
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
    print("engine                        wall, ms   CPU, ms   of the best   largest difference of ab")
    for name, (wall, cpu) in medians.items():
        apart = float(np.abs(first[name] - first["torch"]).max())
        print(f"{name:28} {wall:9.1f} {cpu:9.1f} {wall / best:13.2f} {apart:26.5f}")


if __name__ == "__main__":
    main()
