"""What a job is asked to do: frozen values, validated when built. Defaults stand here and nowhere else.

Fields whose metadata says ``how`` bear only on how the work is done; all others change the film's bytes,
and so belong to what an unfinished job is compared by.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Real

from vidcolor.errors import UsageError

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
TORCH, ONNX_RUNTIME, OPENVINO = "torch", "onnxruntime", "openvino"
ENGINES = ("auto", TORCH, ONNX_RUNTIME, OPENVINO)
TEMPORAL = ("flow", "average", "off")
COMPARISONS = ("side", "split", "wipe")
MAX_RENDER_SIZE = 2048
PREVIEW_SHOTS = 8
_HOW = {"how": True}
ONE_DEVICE = r"(auto|cpu|mps|cuda(:\d+)?)"
_DEVICE = re.compile(rf"{ONE_DEVICE}(,{ONE_DEVICE})*")
_MOST_JOBS = 256
_KINDS: dict[str, type] = {
    "int": int,
    "float": float,
    "str": str,
    "bool": bool,
    "Fraction": Fraction,
    "Mapping[str, str]": Mapping,
}
_TEXTS = ("codec", "preset", "pix_fmt", "format", "audio")
_FILE_WORDS = (
    "file", "stats", "csv", "dump", "recon", "load", "save", "scalinglist", "table", "path", "input",
    "output", "clbin", "opencl", "nalu", "dhdr10info", "rpu", "config", "vmaf", "distribution", "filmgrain",
    "ladder", "exec", "roi",
)  # fmt: skip
"""What the names of encoder options contain that read or write a file of their own."""
_HARMLESS = re.compile(r"profile|csvloglevel")
_FIXED = ("pixelformat", "videosize", "timebase")
_PASSES = ("pass", "passes", "multipass")  # keep a log under a name of their own
_NESTED = re.compile(r"(params|opts)$")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of one job; each is the command line's option of the same name.

    Seconds and rates may be any number. Values that no job could have are refused here, those that source,
    target or machine cannot meet when the job is begun.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; several, with commas between them, have a
            worker process each.
        jobs: worker processes for one film, 1 to 256; None: one for each device. On a Ray cluster: shots at
            once; None: as many as it has room for.
        ray: address of a Ray cluster (``auto``, ``host:port``) whose machines make the film, over storage
            that they share.
        precision: arithmetic of the generator; ``auto`` is fp16 on CUDA, bf16 on CPUs that are
            quicker so (with AMX, or AMD's with AVX512_BF16), else fp32.
        engine: what computes the generator; ``auto`` is, on a CPU, OpenVINO in bf16 and ONNX Runtime, or else
            OpenVINO, in fp32, where they are installed; else torch. Colours differ by a code in few samples.
        render_size: short side, in pixels, of the upright picture that the generator sees, 32 to 2048.
        batch_size: pictures a batch, 1 to 1024; None chooses by a CPU's cores, or a GPU's memory.
        weights: a file, or the name of weights that came with vidcolor (``default``, ``steady``).
        saturation: factor on ab, 0 (grey) to 10.
        temporal: how ab is smoothed over time: along motion, as a plain average, or not at all.
        smoothing: 0 (none) to 1 (the longest memory, 60 pictures).
        every_frame: have the generator colour every frame; else, with ``flow``, every second one and those
            that motion does not explain, and the rest along motion.
        match_shots: read the source once before, so that shots which come back begin in the colours in which
            they ended; needs ``flow``, a ``smoothing`` above 0 and a file.
        compare: show the film before and after in one: whole and ``side`` by side, ``split`` in the middle,
            or with a border that moves (``wipe``).
        deinterlace: make whole frames of interlaced ones.
        codec: name of FFmpeg's encoder; None chooses by container and depth.
        crf: constant rate factor, for encoders that have one; 0 is lossless, None is 18.
        preset: the encoder's, by name; None leaves its own.
        pix_fmt: pixel format of the target; None keeps the source's depth and subsampling.
        encoder_options: further options of the encoder; none may name a file.
        audio: ``auto``, ``copy``, ``none`` or the name of an encoder.
        format: name of FFmpeg's muxer; None follows the target's suffix.
        start: seconds of the source before the first frame that is wanted.
        duration: seconds of the source that are wanted.
        framerate: frames a second of an image sequence, up to 1000; None is 25.
        overwrite: whether a target that exists is replaced.
        resume: whether what is finished is kept if the job is interrupted, and used when it is run again.
        restart: forget what an earlier run has finished.
        accept_drift: go on where an earlier run stopped even on another machine or with other libraries.
        work_dir: existing folder for unfinished films; None keeps them beside the target.
        allow_references: whether playlists may open other files.
        allow_network: whether sources may be URLs.

    Raises:
        UsageError: a value is out of range or of another type, contradicts another, or would have the encoder
            read or write a file.
    """

    render_size: int = 256
    saturation: float = 1.0
    weights: str = "default"
    precision: str = "auto"
    engine: str = "auto"
    device: str = "auto"
    batch_size: int | None = None
    temporal: str = "flow"
    smoothing: float = 0.9
    every_frame: bool = False
    match_shots: bool = False
    deinterlace: bool = False
    compare: str | None = None
    codec: str | None = None
    crf: float | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    encoder_options: Mapping[str, str] = field(default_factory=dict)
    audio: str = "auto"
    format: str | None = None
    start: Fraction | None = None
    duration: Fraction | None = None
    framerate: Fraction | None = None
    jobs: int | None = field(default=None, metadata=_HOW)
    ray: str | None = field(default=None, metadata=_HOW)
    overwrite: bool = field(default=False, metadata=_HOW)
    resume: bool = field(default=True, metadata=_HOW)
    restart: bool = field(default=False, metadata=_HOW)
    accept_drift: bool = field(default=False, metadata=_HOW)
    work_dir: str | None = field(default=None, metadata=_HOW)
    allow_references: bool = field(default=False, metadata=_HOW)
    allow_network: bool = field(default=False, metadata=_HOW)

    def __post_init__(self) -> None:
        for one in fields(self):
            self._require_kind(one.name, one.type)
        _require(_DEVICE.fullmatch(self.device), f"device {self.device!r}: auto, cpu, cuda, cuda:N or mps")
        _require(self.jobs is None or 1 <= self.jobs <= _MOST_JOBS, f"jobs {self.jobs}: 1 to {_MOST_JOBS}")
        _require(self.precision in PRECISIONS, f"precision {self.precision!r}: {', '.join(PRECISIONS)}")
        _require(self.engine in ENGINES, f"engine {self.engine!r}: {', '.join(ENGINES)}")
        _require(self.temporal in TEMPORAL, f"temporal {self.temporal!r}: {', '.join(TEMPORAL)}")
        _require(
            32 <= self.render_size <= MAX_RENDER_SIZE,
            f"render size {self.render_size}: 32 to {MAX_RENDER_SIZE} pixels",
        )
        _require(
            self.batch_size is None or 1 <= self.batch_size <= 1024,
            f"batch size {self.batch_size}: 1 to 1024",
        )
        _require(0.0 <= self.saturation <= 10.0, f"saturation {self.saturation:g}: 0 to 10")
        _require(0.0 <= self.smoothing <= 1.0, f"smoothing {self.smoothing:g}: 0 to 1")
        _require(
            not self.match_shots or (self.temporal == "flow" and self.smoothing > 0.0),
            "match shots: needs the temporal filter, --temporal flow with a --smoothing above 0",
        )
        _require(self.compare in (None, *COMPARISONS), f"compare {self.compare!r}: {', '.join(COMPARISONS)}")
        _require(self.crf is None or 0.0 <= self.crf <= 255.0, f"crf {self.crf}: 0 to 255")
        _require(self.duration is None or self.duration > 0, f"duration {self.duration}: more than 0 s")
        _require(
            self.framerate is None or 0 < self.framerate <= 1000,
            f"frame rate {self.framerate}: above 0, at most 1000",
        )
        _require(
            self.ray is None or len(self.device.split(",")) == 1,
            f"device {self.device!r}: the cluster of --ray gives out devices itself; name a kind",
        )
        for name in (*_TEXTS, "ray", "work_dir"):
            _require(getattr(self, name) != "", f"{name.replace('_', '-')}: is empty")
        for key, value in self.encoder_options.items():
            refuse_files(key, value)
            named = getattr(self, key) if key in ("crf", "preset") else None
            _require(named is None, f"encoder option {key}: --{key} says it already")

    @property
    def again(self) -> str:
        """What goes on with what is finished, in messages; ``restart`` would forget it."""
        return "the same command without --restart" if self.restart else "the same command"

    def _require_kind(self, name: str, annotation: object) -> None:
        """Refuse a value of another type; seconds and rates may be any number, names of files a path."""
        kind, value = str(annotation).removesuffix(" | None"), getattr(self, name)
        if isinstance(value, (Real, Decimal)) and not isinstance(value, (bool, Fraction)):
            if kind == "Fraction" and math.isfinite(value):
                value = Fraction(str(value))
            elif kind == "float":
                value = float(value)
            elif kind == "int" and isinstance(value, Integral):
                value = int(value)
        if kind == "str" and isinstance(value, os.PathLike):
            value = os.fspath(value)
        object.__setattr__(self, name, value)
        fits = isinstance(value, _KINDS[kind]) and (kind == "bool") == isinstance(value, bool)
        optional = str(annotation) != kind
        _require(fits or (optional and value is None), f"{name.replace('_', ' ')} {value!r}: is no {kind}")
        if isinstance(value, Mapping):
            texts = all(isinstance(text, str) for pair in value.items() for text in pair)
            _require(texts, f"{name.replace('_', ' ')}: names and values are texts")

    @property
    def devices(self) -> tuple[str, ...]:
        """One for each worker process."""
        names = self.device.split(",")
        return tuple(names[i % len(names)] for i in range(max(self.jobs or 1, len(names))))

    @property
    def end(self) -> Fraction | None:
        """Seconds of the source up to which it is wanted; None: to its end."""
        return None if self.duration is None else (self.start or Fraction(0)) + self.duration


def _require(condition: object, message: str) -> None:
    if not condition:
        raise UsageError(message)


def refuse_files(key: str, value: str) -> None:
    """Refuse an encoder option that would make the encoder read or write a file of its own.

    Raises:
        UsageError: the key, or a key nested in ``x264-params`` and the like, names a file.
    """
    _require(re.fullmatch(r"[\w.-]+", key, re.ASCII), f"encoder option {key!r}: is not a name")
    _require(value.isprintable(), f"encoder option {key}: holds a control character")
    _refuse_one(key, value)
    if _NESTED.search(key.lower()):
        _require(
            not re.search(r"[\\'\"]", value),
            f"encoder option {key}: quotes and backslashes are not taken here",
        )
        # encoders differ in what stands between two options, so whatever may is taken to
        for part in re.split(r"[:,;|&\s]", value):
            _refuse_one(*part.partition("=")[::2])
    if re.search(r"[/\\]", re.sub(r"\b\d+/\d+\b", "", value)):
        raise UsageError(f"encoder option {key}: a value with a path is refused")
    if key.lower().endswith("flags") and re.search(r"pass[12]", value):
        raise UsageError(f"encoder option {key}: two passes are not possible here")


def _refuse_one(name: str, value: str) -> None:
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    if plain == "filmgrain" and value.isdigit():
        return  # a strength; elsewhere it is a file
    if plain == "cqm" and value not in ("flat", "jvt"):
        raise UsageError(f"encoder option {name}: only flat and jvt, a file is refused")
    if plain in _FIXED:
        raise UsageError(f"encoder option {name}: follows from the source; --pix-fmt chooses another format")
    if plain in _PASSES:
        raise UsageError(f"encoder option {name}: two passes are not possible here")
    if any(word in _HARMLESS.sub("", plain) for word in _FILE_WORDS):
        raise UsageError(f"encoder option {name}: options that name files are refused")


def parse_seconds(text: str) -> Fraction:
    """Seconds of ``90``, ``1:30``, ``00:01:30.5``.

    Raises:
        UsageError: it is none of these.
    """
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d+)?", text):
        raise UsageError(f"{text!r} is not a time: use seconds or HH:MM:SS.mmm")
    seconds = Fraction(0)
    for part in text.split(":"):
        seconds = seconds * 60 + Fraction(part)
    return seconds
