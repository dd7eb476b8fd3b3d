"""Segments: finished parts of a film on disk, each written once, with what the next one begins from.

A segment's file is a safetensors file that is called after its number and the hash of its content. It holds
the packets of a closed stretch of compressed video, in the order of decoding, and the temporal state after
its last picture. It is whole, or it is not there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from vidcolor.arrayfiles import content_without, metadata_of
from vidcolor.errors import Interrupted, OutputError
from vidcolor.statearrays import Arrays, arrays_of, state_of
from vidcolor.temporal import TemporalState
from vidcolor.writing import sync_folder

log = logging.getLogger(__name__)

SUFFIX = ".segment"
_NAME = re.compile(rf"(\d{{6}})-([0-9a-f]{{32}})\{SUFFIX}")
_SEGMENT = ("number", "frames", "delay")
_PLACE = ("frames", "last", "lumas", "seconds", "lost", "damaged", "ticks")
_CODED = ("data", "sizes", "pts", "durations", "keys", "extradata")


@dataclass(frozen=True, kw_only=True)
class Coded:
    """Packets of compressed video, in the order of decoding.

    Attributes:
        data: of each.
        pts, durations: in ticks of the encoder; a duration may be 0, for unknown.
        keys: whether each can be decoded without what came before.
        extradata: the encoder's header.
    """

    data: tuple[bytes, ...]
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


class SegmentStore:
    """The segments in a folder.

    Args:
        folder: where they are.
        name: of the film that is being made, for messages.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name

    def find(
        self, *, clean: bool = True, since: int = 0, cancel: threading.Event | None = None
    ) -> dict[int, Path]:
        """Files of the segments by number, from ``since`` on; what is unfinished or damaged is removed, if
        ``clean``. To read all takes minutes where they are large.

        Raises:
            Interrupted: ``cancel`` is set meanwhile.
            OutputError: they cannot be read, or are gone.
        """
        try:
            return self._found(clean, since, cancel)
        except OSError as error:
            raise OutputError(
                f"{self._name}: what is finished in {self._folder} cannot be read ({error.strerror}); run "
                "the same command again when that is mended"
            ) from error

    def _found(self, clean: bool, since: int, cancel: threading.Event | None) -> dict[int, Path]:
        found: dict[int, Path] = {}
        for path in sorted(self._folder.iterdir()):
            match = _NAME.fullmatch(path.name)
            if match and int(match[1]) < since:
                continue
            if match and _digest_of(path, cancel) == match[2]:
                found[int(match[1])] = path
            elif clean and (match or path.name.endswith(".part")):
                if match:
                    log.warning("%s: segment %d is damaged: it is made anew", self._name, int(match[1]))
                path.unlink()
        return found

    def glance(self) -> dict[int, Summary]:
        """What the headers say, by number, of segments that are as long as they should be; the rest of them
        is not read.

        Raises:
            OSError: the folder cannot be listed, or it or one of them is taken away meanwhile.
        """
        seen: dict[int, Summary] = {}
        for path in self._listed():
            try:
                seen[int(path.name.split("-")[0])] = self.describe(path)
            except OutputError:
                path.stat()
        return seen

    def listed(self) -> list[Path]:
        """Files of segments by their names alone, whether whole or not; none where the folder is gone."""
        try:
            return self._listed()
        except OSError:
            return []

    def _listed(self) -> list[Path]:
        return [path for path in self._folder.iterdir() if _NAME.fullmatch(path.name)]

    def write(self, segment: Segment) -> Path:
        """Add a segment; it is on disk when this returns.

        Raises:
            OutputError: the disk is full or refuses; nothing is lost then but this segment.
        """
        content = _pack(segment)
        path = self._folder / f"{segment.number:06d}-{_digest(content)}{SUFFIX}"
        part = path.with_suffix(f".{secrets.token_hex(4)}.part")  # a worker thought dead may still be writing
        try:
            with open(part, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
            sync_folder(self._folder)
        except OSError as error:
            with suppress(OSError):  # the disk may be one by now that can only be read
                part.unlink(missing_ok=True)
            kept = f"; what is finished is kept in {self._folder}" if self.listed() else ""
            raise OutputError(
                f"{self._name}: a segment cannot be written ({error.strerror}){kept}: make room and run the "
                "same command again"
            ) from error
        return path

    @staticmethod
    def describe(path: Path) -> Summary:
        """What a segment's header says; its packets stay on disk.

        Raises:
            OutputError: it is damaged, or has become unreadable.
        """
        with _readable(path):
            described = json.loads(metadata_of(path)["segment"])
            return Summary(
                frames=described["frames"], seconds=described["after"]["seconds"], delay=described["delay"]
            )

    @staticmethod
    def end_of(path: Path) -> tuple[int, Place]:
        """Frames of a segment, and the place where it ends; its packets stay on disk.

        Raises:
            OutputError: it has become unreadable since :meth:`find` has named it.
        """
        with _readable(path):
            segment = _unpack(content_without(path, _CODED))
        return segment.frames, segment.after

    @staticmethod
    def read(path: Path) -> Segment:
        """Read a segment that :meth:`find` has named.

        Raises:
            OutputError: it has become unreadable since.
        """
        with _readable(path):
            return _unpack(path.read_bytes())


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise OutputError(f"{path}: cannot be read ({error}); run the same command again") from error


def finished_segments(seen: dict[int, Summary]) -> list[Summary]:
    """Those from the beginning on, up to the first that is missing."""
    return [seen[number] for number in takewhile(seen.__contains__, count())]


def frames_in(seen: dict[int, Summary]) -> int:
    """Frames of all of them, also of those after one that is missing."""
    return sum(segment.frames for segment in seen.values())


def _digest_of(path: Path, cancel: threading.Event | None) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            if cancel is not None and cancel.is_set():
                raise Interrupted(signal.SIGINT)
            digest.update(block)
    return digest.hexdigest()[:32]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _pack(segment: Segment) -> bytes:
    coded = segment.coded
    arrays: Arrays = {
        "data": np.frombuffer(b"".join(coded.data), np.uint8),
        "sizes": np.array([len(d) for d in coded.data], np.int64),
        "pts": np.array(coded.pts, np.int64),
        "durations": np.array(coded.durations, np.int64),
        "keys": np.array(coded.keys, np.uint8),
        "extradata": np.frombuffer(coded.extradata, np.uint8),
    }
    if segment.after.state is not None:
        arrays |= arrays_of(segment.after.state)
    after = {name: getattr(segment.after, name) for name in _PLACE}
    described = json.dumps({name: getattr(segment, name) for name in _SEGMENT} | {"after": after})
    # safetensors has no arrays without elements
    return save({k: v for k, v in arrays.items() if v.size}, {"segment": described})


def _unpack(content: bytes) -> Segment:
    arrays = load(content)
    length = int.from_bytes(content[:8], "little")
    described = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["segment"])
    none = np.zeros(0, np.uint8)
    ends = np.cumsum(arrays["sizes"]).tolist() if "sizes" in arrays else []
    data = arrays.get("data", none).tobytes()
    coded = Coded(
        data=tuple(data[begin:end] for begin, end in zip([0, *ends], ends, strict=False)),
        pts=tuple(arrays.get("pts", none).tolist()),
        durations=tuple(arrays.get("durations", none).tolist()),
        keys=tuple(bool(key) for key in arrays.get("keys", none)),
        extradata=arrays.get("extradata", none).tobytes(),
    )
    after = described.pop("after")
    after["lumas"] = tuple(after["lumas"])
    return Segment(coded=coded, after=Place(state=state_of(arrays), **after), **described)
