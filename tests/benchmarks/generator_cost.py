"""Time of the default generator's forward pass as a multiple of its encoder's, on the CPU; run by hand.

The two take turns, so that a busy machine slows both alike; the ratio of medians is what counts.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from vidcolor.checkpoint import load_generator
from vidcolor.networks.fusing import fuse_activations, fuse_batch_norm
from vidcolor.stages.predict import resolve_precision


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="default")
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--size", type=int, nargs=2, default=(256, 352), help="height and width")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    network = load_generator(given.weights).network
    fuse_batch_norm(network)
    precision = resolve_precision("auto", torch.device("cpu"))
    network = network.to(getattr(torch, precision)).to(memory_format=torch.channels_last)
    fuse_activations(network)
    frame = (torch.rand(4, 1, *given.size) * 100).contiguous(memory_format=torch.channels_last)
    times: dict[str, list[float]] = {"encoder": [], "generator": []}
    with torch.inference_mode():
        for _ in range(given.repeat + 2):
            for name, call in (("encoder", network.encoder), ("generator", network)):
                started = time.perf_counter()
                call(frame)
                times[name].append(time.perf_counter() - started)
    encoder, generator = (statistics.median(times[n][2:]) for n in ("encoder", "generator"))
    print(f"{given.size[0]}x{given.size[1]}, {precision}, {given.threads} threads, batch of 4")
    print(f"encoder {1e3 * encoder / 4:.1f} ms a frame, generator {1e3 * generator / 4:.1f} ms")
    print(f"ratio {generator / encoder:.2f}")


if __name__ == "__main__":
    main()
