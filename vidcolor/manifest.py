"""What an unfinished job depends on, written down when it begins and compared when it goes on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from av.container import InputContainer

from vidcolor.errors import InputError, ResumeMismatch, WeightsError
from vidcolor.frames import Frame
from vidcolor.media.opening import is_image_sequence, reads_once, sequence_files
from vidcolor.media.sourcefiles import is_playlist, named_in
from vidcolor.options import TORCH, Options
from vidcolor.packing import luma_check
from vidcolor.writing import write_whole

FORMAT = 13
_WHOLE = 256 << 20
"""Sources up to this size are hashed whole; of larger ones, samples and the time of change count."""
_SAMPLES, _SAMPLE = 64, 1 << 20
PROCESSORS = ("processors", "processors online")
"""What of the machine many encoders can be told."""
_ARITHMETIC = ("device", "precision", "engine", "batch_size", "weights")
"""Options that are recorded as what they came to."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a job depends on: it goes on where that is the same.

    Attributes:
        source: what identifies the input.
        options: those that change the film, by name.
        weights: SHA-256 of the generator's file.
        machine: what the arithmetic's last digits depend on: device, precision, batch, threads, versions.
        segment_frames: frames a segment.
        batch_limit: pictures a batch to which memory has forced the job; None while it has not.
        total: frames that the film is thought to have; 0 where that is not known.
        format: of segments and manifest.
    """

    source: dict[str, Any]
    options: dict[str, Any]
    weights: str
    machine: dict[str, Any]
    segment_frames: int
    batch_limit: int | None = None
    total: int = 0
    format: int = FORMAT

    @property
    def fingerprint(self) -> str:
        """Tells whether a film is what is asked for; the machine is no part of it."""
        return fingerprint(self.source, self.options, self.weights)

    def write(self, path: Path) -> None:
        """Write it down twice, each whole or not at all: ``path`` and a copy beside it.

        Raises:
            OutputError: the disk refuses.
        """
        content = json.dumps(asdict(self), sort_keys=True)
        text = json.dumps({"sha256": _digest(content), "terms": content}, indent=1) + "\n"
        for one in (path, _copy_of(path)):
            write_whole(one, lambda file: file.write(text.encode()), alone=False)  # workers write it, too

    @classmethod
    def read(cls, path: Path) -> Manifest | None:
        """What was written to ``path``, or to its copy; None where neither can be read.

        Raises:
            ResumeMismatch: it is of another format.
        """
        for one in (path, _copy_of(path)):
            try:
                file = json.loads(one.read_text())
                content = json.loads(file["terms"])
                if file["sha256"] != _digest(file["terms"]) or not isinstance(content, dict):
                    continue
            except (OSError, ValueError, TypeError, KeyError, RecursionError):
                continue
            if content.get("format") != FORMAT:
                raise ResumeMismatch(
                    f"{path.parent}: begun by another version of vidcolor (format {content.get('format')}, "
                    f"not {FORMAT}): finish it with that, or begin anew with --restart"
                )
            content["machine"].setdefault("engine", TORCH)  # it was the only one
            return cls(**content)
        return None

    def accept(self, wanted: Manifest, name: str, *, drift: bool) -> Manifest:
        """The manifest with which this job goes on, if ``wanted`` asks for the same film.

        Args:
            wanted: that with which it would be begun now.
            name: of the film, for messages.
            drift: whether another machine's arithmetic will do.

        Raises:
            ResumeMismatch: it does not; the message says what differs.
        """
        found = self.differences(wanted, drift=True)
        if found:
            raise ResumeMismatch(
                f"{name}: an unfinished job does not fit: {'; '.join(found)}. Run it as before, or begin "
                "anew with --restart"
            )
        refuse_drift(name, self.differences(wanted, drift=drift))
        return replace(self, machine=wanted.machine)

    def differences(self, wanted: Manifest, *, drift: bool) -> list[str]:
        """What of ``wanted`` gives another film, a phrase each; with ``drift`` the machine does not count."""
        found = _differences(self.source, wanted.source, "the input has changed")
        found += _differences(self.options, wanted.options, "{0} was {1}, now {2}")
        found += ["the weights are others"] if self.weights != wanted.weights else []
        return found + ([] if drift else _differences(self.machine, wanted.machine, "{0} was {1}, now {2}"))


def _copy_of(path: Path) -> Path:
    return path.with_name(path.stem + "-copy" + path.suffix)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(source: Mapping[str, Any], options: Mapping[str, Any], weights: str) -> str:
    """32 hexadecimal digits for a source, the options that change the film, and the weights."""
    return _digest(json.dumps([FORMAT, dict(source), dict(options), weights], sort_keys=True))[:32]


def identify(source: str) -> dict[str, Any]:
    """What tells a source from another: its size and its content, or samples of it and its time of change.

    Of an image sequence names, sizes and times of change; of a pipe nothing, see :func:`identify_pipe`.

    Raises:
        InputError: it cannot be read.
    """
    try:
        if is_image_sequence(source):
            return _identify_sequence(source)
        if reads_once(source):
            return {}
        with open(source, "rb") as file:
            status = os.fstat(file.fileno())
            digest = hashlib.sha256()
            if status.st_size <= _WHOLE:
                head = b""
                while block := file.read(_SAMPLE):
                    head = head or block
                    digest.update(block)
                known = {"size": status.st_size, "sha256": digest.hexdigest()}
                return known | _parts(Path(source).parent, head)
            for index in range(_SAMPLES):
                file.seek((status.st_size - _SAMPLE) * index // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE))
            return {
                "size": status.st_size,
                "sampled sha256": digest.hexdigest(),
                "changed": status.st_mtime_ns,
            }
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({error.strerror})") from error


def _parts(folder: Path, head: bytes) -> dict[str, Any]:
    """Of a playlist: what tells the files that it names from others; empty for anything else."""
    if not is_playlist(head):
        return {}
    digest = hashlib.sha256()
    for path in named_in(head, folder):
        with suppress(OSError):
            digest.update(_line_on(path))
    return {"parts sha256": digest.hexdigest()}


def _identify_sequence(source: str) -> dict[str, Any]:
    digest = hashlib.sha256()
    files = sequence_files(source)
    for path in files.values():
        digest.update(_line_on(path))
    return {"pictures": len(files), "listing sha256": digest.hexdigest()}


def _line_on(path: Path) -> bytes:
    """Name, size and time of change of a file."""
    status = path.stat()
    return f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="surrogateescape")


def identify_pipe(container: InputContainer, first: Frame) -> dict[str, Any]:
    """What is known of a pipe when it begins: its format, its tracks, its first frame."""
    return {
        "pipe": container.format.name,
        "tracks": [f"{stream.type} {stream.name}" for stream in container.streams],
        "size": [first.video.width, first.video.height],
        "first luma": luma_check(first),
    }


def digest_weights(path: Path) -> str:
    """SHA-256 of a generator's file (safetensors), but for the scores that may be recorded in it.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
    end = 8 + int.from_bytes(content[:8], "little")
    with suppress(ValueError):  # a file of another kind counts as it is
        header = json.loads(content[8:end])
        header.get("__metadata__", {}).pop("scores", None)
        content = json.dumps(header, sort_keys=True).encode() + content[end:]
    return hashlib.sha256(content).hexdigest()


def describe_options(options: Options) -> dict[str, Any]:
    """Options that change the film, as JSON holds them."""
    chosen = (f.name for f in fields(options) if not f.metadata.get("how") and f.name not in _ARITHMETIC)
    return {name: _plain(getattr(options, name)) for name in chosen}


def refuse_drift(name: str, found: list[str]) -> None:
    """Say in what the rest of a film would be worked out otherwise than its beginning.

    Raises:
        ResumeMismatch: there is something.
    """
    if found:
        raise ResumeMismatch(
            f"{name}: the rest would not be worked out as the beginning was: {'; '.join(found)}. "
            "Begin anew with --restart, or go on with --accept-drift"
        )


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], line: str) -> list[str]:
    keys = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    lines = [line.format(key.replace("_", "-"), _shown(old.get(key)), _shown(new.get(key))) for key in keys]
    return list(dict.fromkeys(lines))


def _shown(value: Any) -> str:
    """An option's value, for a message, as people give it."""
    if isinstance(value, Mapping):
        return ",".join(f"{k}={v}" for k, v in value.items()) or "none"
    if value is None or isinstance(value, bool):
        return {None: "not given", True: "on", False: "off"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): str(v) for k, v in sorted(value.items())}
    return str(value) if isinstance(value, Fraction) else value
