"""What a segment holds, and the content of its file."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from vidcolor.frames import Frame
from vidcolor.statearrays import Arrays, arrays_of, state_of
from vidcolor.temporal import TemporalState

Piece: TypeAlias = bytes | memoryview
_CODED = ("data", "sizes", "pts", "durations", "keys", "extradata")
_SEGMENT = ("number", "frames", "delay")
_PLACE = ("frames", "last", "lumas", "seconds", "lost", "damaged", "ticks")


@dataclass(frozen=True, kw_only=True)
class Coded:
    """Packets of compressed video, in the order of decoding.

    Attributes:
        data: of each.
        pts, durations: in ticks of the encoder; a duration may be 0, for unknown.
        keys: whether each can be decoded without what came before.
        extradata: the encoder's header.
    """

    data: tuple[Piece, ...]
    pts: tuple[int, ...]
    durations: tuple[int, ...]
    keys: tuple[bool, ...]
    extradata: bytes

    @property
    def delay(self) -> int:
        """Smallest d with which the i-th packet's decode time can be the (i - d)-th smallest pts."""
        place = {pts: i for i, pts in enumerate(sorted(self.pts))}
        return max((i - place[pts] for i, pts in enumerate(self.pts)), default=0)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is remembered of a frame: its time, and the CRC-32 of its luma codes."""

    pts: int
    time_base: Fraction
    luma: int

    @classmethod
    def of(cls, frame: Frame) -> Seen:
        """What is remembered of this frame."""
        return cls(pts=frame.pts, time_base=frame.time_base, luma=luma_check(frame))


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place between two frames, and all that the film depends on from there on.

    Attributes:
        frames: how many come before it.
        last: pts of the last of them, in the clock of the source.
        lumas: CRC-32 of the luma codes of the last few of them, by which the place is known again.
        seconds: time of the last of them.
        lost, damaged: frames of the source, so far, that did not decode, or not well.
        ticks: pts of the last of them, in the clock of the encoder.
        state: to go on from; None at the end of the film.
    """

    frames: int
    last: int
    lumas: tuple[int, ...]
    seconds: float
    lost: int
    damaged: int
    ticks: int
    state: TemporalState | None

    @property
    def independent(self) -> bool:
        """Whether a shot begins here, so that no colour depends on what comes before."""
        return self.state is not None and self.state.filter is None


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A finished part of a film.

    Attributes:
        number: from 0.
        frames: how many it has.
        delay: pictures by which decoding runs ahead of presentation, at least.
        coded: the picture.
        after: the place where it ends.
    """

    number: int
    frames: int
    delay: int
    coded: Coded
    after: Place


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Of a segment, what is needed of all of them at once; see :class:`Segment`."""

    frames: int
    seconds: float
    delay: int


def luma_check(frame: Frame) -> int:
    """CRC-32 of a frame's luma codes."""
    return zlib.crc32(frame.luma.tobytes())


def pack(segment: Segment, film: str = "") -> list[Piece]:
    """The content of a segment's file, in pieces; ``film`` is the fingerprint of the one it is of.

    It is safetensors, whose own ``save`` joins them first and holds all three times: of film without loss
    that is hundreds of megabytes.
    """
    coded = segment.coded
    arrays: Arrays = {
        "sizes": np.array([len(d) for d in coded.data], np.int64),
        "pts": np.array(coded.pts, np.int64),
        "durations": np.array(coded.durations, np.int64),
        "keys": np.array(coded.keys, np.uint8),
        "extradata": np.frombuffer(coded.extradata, np.uint8),
    }
    if segment.after.state is not None:
        arrays |= arrays_of(segment.after.state)
    after = {name: getattr(segment.after, name) for name in _PLACE}
    known = {name: getattr(segment, name) for name in _SEGMENT}
    described = json.dumps(known | {"film": film, "after": after})
    header: dict[str, Any] = {"__metadata__": {"segment": described}}
    pieces, end = list[Piece](), 0
    for name, array in sorted(arrays.items(), key=lambda one: -one[1].itemsize):  # each where it may lie
        pieces.append(np.ascontiguousarray(array).tobytes())
        header[name] = _entry(array.dtype, array.shape, end)
        end += array.nbytes
    size = sum(map(len, coded.data))
    header["data"] = _entry(np.dtype(np.uint8), (size,), end)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little"), text, *pieces, *coded.data]


def _entry(dtype: np.dtype[Any], shape: tuple[int, ...], begin: int) -> dict[str, Any]:
    """What a header of safetensors says of an array that begins at that byte."""
    kind = "BOOL" if dtype.kind == "b" else f"{dtype.kind.upper()}{8 * dtype.itemsize}"
    end = begin + math.prod(shape) * dtype.itemsize
    return {"dtype": kind, "shape": shape, "data_offsets": (begin, end)}


def _array(entry: Mapping[str, Any], content: memoryview) -> NDArray[Any]:
    """What such an entry describes of the content after the header."""
    begin, end = entry["data_offsets"]
    kind = entry["dtype"]
    dtype = np.dtype(bool if kind == "BOOL" else f"{kind[0].lower()}{int(kind[1:]) // 8}")
    array: NDArray[Any] = np.frombuffer(content[begin:end], dtype).reshape(entry["shape"])
    return array


def read_segment(path: Path) -> Segment:
    """The segment in a file; its packets are views of what was read, which safetensors' ``load`` would copy.

    Raises:
        OSError, SafetensorError, KeyError, ValueError: as :func:`summary_of`.
    """
    with _opened(path) as file:
        described = _described(file.metadata())
    content = memoryview(path.read_bytes())  # not mapped: where a disk fails, that would end the process
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(bytes(content[8:begin]))
    arrays = {name: _array(header[name], content[begin:]) for name in header.keys() - {"__metadata__"}}
    described.pop("film", None)
    none = np.zeros(0, np.uint8)
    ends = np.cumsum(arrays["sizes"]).tolist() if "sizes" in arrays else []
    data = arrays.get("data", none).data
    coded = Coded(
        data=tuple(data[begin:end] for begin, end in zip([0, *ends], ends, strict=False)),
        pts=tuple(arrays.get("pts", none).tolist()),
        durations=tuple(arrays.get("durations", none).tolist()),
        keys=tuple(bool(key) for key in arrays.get("keys", none)),
        extradata=arrays.get("extradata", none).tobytes(),
    )
    after = _place(described.pop("after"), arrays)
    return Segment(coded=coded, after=after, **described)


def summary_of(path: Path) -> Summary:
    """What the header of a segment's file says, the rest of which is not read.

    Raises:
        OSError: it cannot be read.
        SafetensorError, KeyError, ValueError: it is none, or not as long as it should be.
    """
    with _opened(path) as file:
        known = _described(file.metadata())
    return Summary(frames=known["frames"], seconds=known["after"]["seconds"], delay=known["delay"])


def end_of(path: Path) -> tuple[int, Place]:
    """Frames of the segment in a file, and the place where it ends; its packets are not read.

    Raises:
        OSError, SafetensorError, KeyError, ValueError: as :func:`summary_of`.
    """
    with _opened(path) as file:
        known = _described(file.metadata())
        arrays = {name: file.get_tensor(name) for name in set(file.keys()).difference(_CODED)}
    return known["frames"], _place(known["after"], arrays)


def film_of(path: Path) -> str:
    """Fingerprint of the film that the segment in a file is of; empty where it is not known.

    Raises:
        OSError, SafetensorError, KeyError, ValueError: as :func:`summary_of`.
    """
    with _opened(path) as file:
        return str(_described(file.metadata()).get("film", ""))


def _opened(path: Path) -> Any:
    with open(path, "rb"):  # what may not be read safetensors calls missing
        return safe_open(path, framework="np")


def _described(metadata: Mapping[str, str] | None) -> dict[str, Any]:
    described: dict[str, Any] = json.loads((metadata or {})["segment"])
    return described


def _place(after: dict[str, Any], arrays: Arrays) -> Place:
    return Place(state=state_of(arrays), **after | {"lumas": tuple(after["lumas"])})
