"""Stage 3, predict: the generator gives each picture its ab."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vidcolor.devices import Device, is_of_device, is_out_of_memory
from vidcolor.errors import Unsupported, UsageError, WeightsError, first_line
from vidcolor.frames import Floats
from vidcolor.networks.bfloat16 import quick_in_bf16
from vidcolor.networks.engines import BY_NAME, Engine, EngineNetwork, Fused, HasNetwork, Sessions, begin
from vidcolor.options import ONNX_RUNTIME, TORCH
from vidcolor.torchthreads import thread_count, torch_threads

if TYPE_CHECKING:
    import torch

    from vidcolor.checkpoint import Generator

log = logging.getLogger(__name__)

_PRECISIONS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_OTHER_BATCH = 4
_MOST_AT_ONCE = 8
"""Pictures that a batch has at most when nobody asks for more: on a CPU each takes some 50 MB on its way, and
with those between them twice as many frames wait."""
_BYTES_PER_PIXEL = 1500
"""Memory that a forward pass takes for a pixel of the input, measured for the default generator."""


def resolve_precision(name: str, device: Device, engine: str = "auto") -> str:
    """The arithmetic of inference that ``auto`` or a name stands for on ``device``, as torch calls it.

    ``auto`` is fp32 with an ``engine`` that knows no other, ONNX Runtime.

    On CUDA that is fp16, which is as quick as bf16 there: chroma of a film at 8 bits lay 0.12 codes from
    that of fp32 on average, with bf16 1.3 (H200, default generator, newsreel of 360 frames). On a CPU it is
    bf16 where matrix units (AMX) compute it, or AVX-512 of AMD (Zen 4 and later): 0.43 and 0.6 to 0.7 of the
    time of fp32 in ONNX Runtime, ab 0.3 to 0.4 off on average. Elsewhere, with AVX-512 of Intel too, bf16 is
    slower than fp32 (``tests/benchmarks/README.md``).

    Raises:
        UsageError: fp16 on a CPU, which has no fast arithmetic for it.
    """
    if name == "fp16" and device.type == "cpu":
        raise UsageError("--precision fp16 is for GPUs; on a CPU use bf16 or fp32")
    if name != "auto":
        return _PRECISIONS[name]
    if device.type == "cuda":
        return "float16"
    quick = device.type == "cpu" and engine != ONNX_RUNTIME and quick_in_bf16()
    return "bfloat16" if quick else "float32"


def resolve_engine(
    name: str,
    generator: Generator,
    device: Device,
    precision: str,
    few: bool = False,
    sessions: Sessions | None = None,
) -> str:
    """What computes the generator, for ``auto`` or a name: ``torch``, or another with its version.

    ``auto`` takes what is installed and quicker than torch, on a CPU: in float32 ONNX Runtime, then OpenVINO,
    in bfloat16 OpenVINO. Each needs about three quarters of torch's time; in float32 ab differs by less than
    0.0002 (``tests/benchmarks/engines.py``). For ``few`` pictures it is torch: another engine needs half a
    second or more to get ready for a size of pictures, in which torch colours a dozen. What ``sessions`` say
    has been tried is not tried again.

    Raises:
        UsageError: an engine is asked for by name, and is not installed or cannot do it.
    """
    asked = BY_NAME.get(name)
    for engine in (asked,) if asked else () if few or name == TORCH else BY_NAME.values():
        found, fault = _tried(engine, generator, device, precision, sessions or Sessions())
        if found is not None:
            return found
        if asked:
            raise UsageError(f"--engine {name} {fault}; --engine torch does without")
    return TORCH


def _tried(
    engine: Engine, generator: Generator, device: Device, precision: str, sessions: Sessions
) -> tuple[str | None, str]:
    """An engine with its version, if it computes the generator so; else why not."""
    if device.type != "cpu" or precision not in engine.runtime.PRECISIONS:
        able = " or ".join(short for short, one in _PRECISIONS.items() if one in engine.runtime.PRECISIONS)
        return None, f"is for --device cpu in --precision {able}"
    found = engine.installed()
    if found is None:
        return None, f"is not installed, or broken: pip install 'vidcolor[{engine.name}]'"
    if (engine.name, precision) in sessions.tried:
        return found, ""
    side = generator.multiple
    try:
        begin(engine, Fused(generator), (1, 1, side, side), precision)
    except (Unsupported, MemoryError) as error:
        return None, str(error)
    sessions.tried.add((engine.name, precision))
    return found, ""


def engines_installed() -> list[str]:
    """All that a film can be coloured with here, as :func:`resolve_engine` says them."""
    return [TORCH, *(found for engine in BY_NAME.values() if (found := engine.installed()) is not None)]


def choose_batch_size(asked: int | None, shape: tuple[int, int], device: Device) -> int:
    """Pictures a batch: as asked, or what fits into a fifth of the GPU's free memory.

    On a CPU each thread takes whole pictures (see :class:`Predictor`), so there it is their number, from 2 to
    8: a batch of 4 for two threads took 45 MB more at 1080 lines and no less time.
    """
    if asked is not None:
        return asked
    if device.type == "cpu":
        return max(2, min(thread_count(), _MOST_AT_ONCE))
    if device.type != "cuda":
        return _OTHER_BATCH
    import torch  # here, because where an engine computes nobody needs it

    free, _ = torch.cuda.mem_get_info(device.index)
    return max(1, min(_MOST_AT_ONCE, int(free / 5 / (shape[0] * shape[1] * _BYTES_PER_PIXEL))))


Run = Callable[[Floats], Floats]
"""A network: L* ``(N, 1, H, W)`` to ab ``(N, 2, H/k, W/k)``, float32."""
Share = Callable[[Callable[[Floats], Floats], Sequence[Floats], int], list[Floats]]


def one_by_one(work: Callable[[Floats], Floats], pieces: Sequence[Floats], at_once: int) -> list[Floats]:
    """All pieces, in the caller's thread."""
    return [work(piece) for piece in pieces]


class Predictor:
    """A generator on a device, ready for batches.

    On a CPU a batch is taken one picture at a time, so that colours do not depend on the batch, and each
    thread takes another picture: two need 0.92 of the time that they need when they share the layers of a
    whole batch.

    Args:
        share: has pictures worked at in several threads, and gives the results in order
            (:class:`~vidcolor.sharing.Sharing`).
        sessions: what engines have made of the generator before.

    Attributes:
        engine: what computes it, as :func:`resolve_engine` says it; can be changed until it has been used.
        precision: its arithmetic, such as ``float32``; likewise.
        multiple: height and width of what it takes must be multiples of this.
        device: where it runs.
        limit: pictures a batch to which memory has forced it; None while it has not.
        sessions: as they were given.
    """

    def __init__(
        self,
        generator: HasNetwork,
        device: Device,
        precision: str,
        share: Share = one_by_one,
        engine: str = TORCH,
        sessions: Sessions | None = None,
    ) -> None:
        self.sessions = sessions
        self._generator = Fused(generator)
        self._run: Run | None = None
        self.precision = precision
        self.engine = engine
        self.device = device
        self.limit: int | None = None
        self._most = 0
        self.multiple = generator.multiple
        self._share = share
        self._threads = thread_count()

    def expect(self, count: int) -> None:
        """Have the next batch computed as one of ``count`` pictures is, whatever came before.

        On a GPU it is filled up; on a CPU each picture gets as many threads as it would have then. Call it
        before each batch: otherwise a GPU's is filled up to the largest so far, and the last digits of a
        resumed film depend on what this process has seen.
        """
        self._most = count

    def _ready(self) -> Run:
        if self._run is None:
            with torch_threads(1):
                self._run = self._made()
        return self._run

    def _made(self) -> Run:
        if self.engine != TORCH:
            engine = BY_NAME[self.engine.split()[0]]
            return EngineNetwork(engine, self._generator, self.precision, self._threads, self.sessions)
        import torch  # here, because where an engine computes nobody needs it

        from vidcolor.networks.torch_runtime import in_torch

        return in_torch(self._generator.network, torch.device(str(self.device)), self.precision)

    def __call__(self, luminance: Floats | torch.Tensor, shape: tuple[int, int]) -> list[Floats]:
        """Predict ab.

        Args:
            luminance: L* ``(N, 1, H, W)``, 0 to 100, padded to ``multiple``.
            shape: height and width of the picture in it.

        Returns:
            N arrays of CIELAB ab, each ``(h, w, 2)``, float32.

        When memory runs out, the batch is halved, for this call and those to come.

        Raises:
            UsageError: a single picture is too much, or the device has failed.
            WeightsError: what comes out is no number.
        """
        whole = np.asarray(luminance)
        while True:
            parts = _split(whole, self.limit or len(whole))
            try:
                return self._checked([ab for part in parts for ab in self._forward(part, shape)])
            except (MemoryError, RuntimeError) as error:
                if is_of_device(error):
                    advice = "run the same command again; where it fails once more, use --device cpu"
                    raise UsageError(f"{self.device} has failed ({first_line(error)}): {advice}") from error
                if not is_out_of_memory(error):
                    raise
                most = 0 if self.device.type == "cpu" else self._most
                filled = most if self.limit is None else min(most, self.limit)
                tried = max(len(parts[0]), filled)
                if tried == 1:
                    advice = "lower --render-size, or use --device cpu"
                    raise UsageError(f"out of memory with a single picture: {advice}") from error
                self.limit = tried // 2
            if self.device.type == "cuda":
                import torch

                torch.cuda.empty_cache()
            log.warning("out of memory: going on with %d pictures a batch", self.limit)

    def _checked(self, predictions: list[Floats]) -> list[Floats]:
        if all(math.isfinite(float(ab.sum())) for ab in predictions):
            return predictions
        fault = "the generator's colours are no numbers"
        if self.precision == "float16":
            raise WeightsError(f"{fault} in half precision: use --precision bf16 or fp32")
        raise WeightsError(f"{fault}: its weights are of no use")

    def _forward(self, luminance: Floats, shape: tuple[int, int]) -> list[Floats]:
        run, count = self._ready(), len(luminance)
        if self.limit is not None:
            self._most = min(self._most, self.limit)
        if self.device.type != "cpu":
            self._most = max(self._most, count)
            return self._colour(run, filled_up(luminance, self._most), shape, count)
        return self._share(
            lambda picture: self._colour(run, picture, shape, 1)[0], _split(luminance, 1), self._most
        )

    def _colour(self, run: Run, luminance: Floats, shape: tuple[int, int], count: int) -> list[Floats]:
        import cv2  # here, because training takes devices from this module and does without OpenCV

        ab = np.ascontiguousarray(np.moveaxis(run(luminance)[:count], 1, -1))  # (N, H, W, 2)
        size = (luminance.shape[-1], luminance.shape[-2])
        # torch's interpolation takes ten times as long; from a GPU less is fetched so
        full = [cv2.resize(one, size, interpolation=cv2.INTER_LINEAR) for one in ab]
        return [np.ascontiguousarray(one[: shape[0], : shape[1]], np.float32) for one in full]


def _split(luminance: Floats, count: int) -> list[Floats]:
    """In parts of so many pictures."""
    return [luminance[at : at + count] for at in range(0, len(luminance), count)]


def filled_up(luminance: Floats, count: int) -> Floats:
    """``(N, 1, H, W)`` with its last picture repeated, so that there are ``count``, or N where that is more.

    The first batch of each size takes long on a GPU: on an H200 the odd one at the end of 360 pictures
    took some 1.4 of their 1.6 seconds.
    """
    missing = max(0, count - len(luminance))
    return np.concatenate((luminance, luminance[-1:].repeat(missing, 0)))
