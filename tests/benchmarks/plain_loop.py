"""Time of vidcolor beside a plain loop over frames with the same generator; run by hand.

The loop does what colorizers commonly do: a film becomes JPEG files, each is read, made Lab, given ab by the
network for itself, made R'G'B' and a JPEG file again, and an encoder reads those. Sound is left out on both
sides, and so is what vidcolor does over time, unless ``--temporal flow``.

Run by hand: ``python tests/benchmarks/plain_loop.py CLIP [--frames N] [--height N]``
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import cv2
import numpy as np
import torch
import torch.nn.functional as F
from stages import prepare

from vidcolor.checkpoint import load_generator

RENDER_SIZE = 256
MULTIPLE = 32


def plain_loop(film: Path, folder: Path, target: Path) -> None:
    """Colour ``film`` frame by frame through JPEG files in ``folder``."""
    with av.open(str(film)) as source:
        rate = source.streams.video[0].average_rate
        for index, frame in enumerate(source.decode(video=0)):
            cv2.imwrite(str(folder / f"{index:05d}.jpg"), frame.to_ndarray(format="bgr24"))
    network = load_generator("default").network
    for path in sorted(folder.glob("*.jpg")):
        lab = cv2.cvtColor(cv2.imread(str(path)).astype(np.float32) / 255.0, cv2.COLOR_BGR2Lab)
        height, width = lab.shape[:2]
        wide = round(width * RENDER_SIZE / height / MULTIPLE) * MULTIPLE
        small = cv2.resize(lab[..., 0], (wide, RENDER_SIZE), interpolation=cv2.INTER_AREA)
        with torch.no_grad():
            ab = network(torch.from_numpy(small)[None, None])
            ab = F.interpolate(ab, size=(height, width), mode="bilinear", align_corners=False)
        lab[..., 1:] = ab[0].permute(1, 2, 0).numpy()  # (2, h, w) to (h, w, 2)
        cv2.imwrite(str(path), (255.0 * cv2.cvtColor(lab, cv2.COLOR_Lab2BGR)).round().astype(np.uint8))
    with av.open(str(target), "w") as out:
        stream = out.add_stream("libx264", rate=rate, options={"crf": "18"})
        for path in sorted(folder.glob("*.jpg")):
            picture = cv2.imread(str(path))
            if not stream.codec_context.is_open:
                stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "yuv420p"
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        out.mux(stream.encode(None))


def main() -> None:
    """Measure both, in processes of their own, in turn."""
    if sys.argv[1:2] == ["--loop"]:
        plain_loop(*(Path(name) for name in sys.argv[2:5]))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--frames", type=int, default=72)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--temporal", default="off")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count in (1, given.frames):
            prepare(given.clip, folder / f"{count}.mp4", given.height, 8, count)
        times: dict[tuple[str, int], float] = {}
        for _ in range(given.repeat):
            for count in (1, given.frames):  # the first tells what the start costs
                film, target = folder / f"{count}.mp4", folder / "out.mp4"
                vidcolor = [sys.executable, "-c", "from vidcolor.cli import main; main()", "-q", "-y"]
                vidcolor += ["--restart", "--temporal", given.temporal, str(film), str(target)]
                (folder / "frames").mkdir(exist_ok=True)
                loop = [sys.executable, __file__, "--loop", str(film), str(folder / "frames"), str(target)]
                for what, command in (("vidcolor", vidcolor), ("loop", loop)):
                    began = time.perf_counter()
                    subprocess.run(command, check=True)
                    spent = time.perf_counter() - began
                    times[what, count] = min(spent, times.get((what, count), spent))
                for path in (folder / "frames").iterdir():
                    path.unlink()
    each = {
        what: 1e3 * (times[what, given.frames] - times[what, 1]) / (given.frames - 1)
        for what in ("vidcolor", "loop")
    }
    ratio = each["loop"] / each["vidcolor"]
    print(f"{given.clip.name}, {given.height} lines, {given.frames} frames; wall a frame, without the start:")
    print(f"loop {each['loop']:.1f} ms, vidcolor {each['vidcolor']:.1f} ms, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
