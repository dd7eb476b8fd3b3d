"""What ``DATA`` stands for: picture files, folders and tars of pictures, films; found, counted and read."""

from __future__ import annotations

import hashlib
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageOps

from vidcolor.errors import InputError, first_line
from vidcolor.training import videos
from vidcolor.training.folders import files_below

PICTURES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".ppm", ".tif", ".tiff", ".avif")
)
_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz")
# fmt: off
_OTHERS = (
    ".gif", ".heic", ".heif", ".jxl", ".jp2", ".tga", ".psd", ".exr", ".dng", ".cr2", ".cr3", ".nef",
    ".arw", ".raf", ".orf", ".rw2", ".zip", ".7z", ".rar", ".tar.zst",
)
# fmt: on
"""Pictures and archives that are named where they are passed over."""
_BROKEN_TAR = (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError)
_FILM_IN_TAR = "a film inside a tar (unpack it)"
_NOT_READ = "of a kind that is not read"

Content = bytes | NDArray[np.uint8]


@dataclass(frozen=True)
class Entry:
    """One picture on offer.

    Attributes:
        name: its path below the folder or inside the tar, or film and time.
        read: gives the encoded file, or decoded R'G'B' ``(h, w, 3)``; may be called in any thread. None
            where there is nothing to read, and then ``problem`` says why.
    """

    name: str
    read: Callable[[], Content] | None
    problem: str = ""


@dataclass(frozen=True)
class _File:
    """A file that a source consists of, and what it is called."""

    name: str
    path: Path
    named: bool
    """Whether the user named this very file: then it must be usable."""
    problem: str = ""
    """Why it cannot be read."""

    @property
    def kind(self) -> str:
        """``picture``, ``tar``, ``film``, or ``other`` for what is not read; empty for what is no data."""
        lower = self.path.name.lower()
        if self.problem:
            return "other"
        if self.path.suffix.lower() in PICTURES:
            return "picture"
        if lower.endswith(_TARS) or (self.named and tarfile.is_tarfile(self.path)):
            return "tar"
        if self.named or self.path.suffix.lower() in videos.SUFFIXES:
            return "film"
        return "other" if lower.endswith(_OTHERS) else ""


def _files(sources: list[Path]) -> Iterator[_File]:
    """All files of the sources that are data of some kind, in the order of their names.

    Raises:
        InputError: a source does not exist or cannot be read.
    """
    for source in sources:
        try:
            if source.is_dir():
                found = [
                    _File(path.relative_to(source).as_posix(), path, named=False, problem=problem)
                    for path, problem in files_below(source)
                ]
            elif source.is_file():
                found = [_File(source.name, source, named=True)]
            else:
                raise InputError(f"{source}: no such file or folder")
            yield from (file for file in found if file.kind)
        except _BROKEN_TAR as error:  # a compressed file may be looked into to tell whether it is one
            said = getattr(error, "strerror", None) or first_line(error)
            raise InputError(f"{source}: cannot be read ({said})") from error


def state_of(sources: list[Path]) -> str:
    """SHA-256 over name, size and time of change of every file that would be read, or why one cannot be."""
    digest = hashlib.sha256()
    for file in _files(sources):
        status = None if file.problem else file.path.stat()
        known = file.problem if status is None else f"{status.st_size} {status.st_mtime_ns}"
        line = f"{file.path.absolute()} {known}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def count(sources: list[Path]) -> int | None:
    """How many entries there are; None where a film or a compressed tar would have to be read for it."""
    total = 0
    for file in _files(sources):
        if file.kind == "film" or (file.kind == "tar" and file.path.suffix.lower() != ".tar"):
            return None
        total += sum(1 for _ in _members(file.path)) if file.kind == "tar" else 1
    return total


def entries(sources: list[Path], *, largest: int, each_shot: int, gap_seconds: Fraction) -> Iterator[Entry]:
    """Yield all pictures in a fixed order.

    Raises:
        InputError: a named file is nothing that can be read, or a tar is damaged.
    """
    for file in _files(sources):
        if file.kind == "picture":
            yield Entry(file.name, file.path.read_bytes)
        elif file.kind == "tar":
            yield from _tar_entries(file.path)
        elif file.kind == "other":
            yield Entry(file.name, None, file.problem or _NOT_READ)
        else:
            frames = videos.film_frames(
                file.path, name=file.name, largest=largest, each_shot=each_shot, gap_seconds=gap_seconds
            )
            yield from _film_entries(file, frames)


def _given(content: Content) -> Callable[[], Content]:
    return lambda: content


def _film_entries(file: _File, frames: Iterator[tuple[str, NDArray[np.uint8]]]) -> Iterator[Entry]:
    try:
        for name, rgb in frames:
            yield Entry(name, _given(rgb))
    except InputError as error:
        if file.named:
            raise
        yield Entry(file.name, None, f"not a film that can be read ({error})".split("\n")[0])


def _members(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Name and reader of all data in a tar; a reader works until the next one is asked for."""
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if archive.offset <= member.offset:  # by which Python would come round to it for ever
                    raise tarfile.ReadError("a header gives a negative size")
                handle = archive.extractfile(member) if member.isfile() else None
                name = Path(member.name)
                lower = name.name.lower()
                known = name.suffix.lower() in PICTURES | videos.SUFFIXES or lower.endswith(_TARS + _OTHERS)
                if handle is not None and known and not name.name.startswith("."):
                    yield member.name, partial(_read, path, handle)
            _check_end(archive)
    except _BROKEN_TAR as error:
        raise InputError(f"{path}: the tar is damaged ({first_line(error)})") from error


def _check_end(archive: tarfile.TarFile) -> None:
    """Python takes a damaged header for the end of a tar; the true end is zeros, or the file's."""
    if archive.fileobj is None:
        return
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE).strip(b"\0"):
        raise tarfile.ReadError("a header is overwritten")
    while archive.fileobj.read(1 << 20):
        pass  # to the end, where compressed files have their sums


def _read(path: Path, handle: IO[bytes]) -> bytes:
    try:
        return handle.read()
    except _BROKEN_TAR as error:
        raise InputError(f"{path}: the tar is damaged ({first_line(error)})") from error


def _tar_entries(path: Path) -> Iterator[Entry]:
    for name, read in _members(path):
        suffix = Path(name).suffix.lower()
        if suffix in PICTURES:
            yield Entry(name, _given(read()))
        else:
            yield Entry(name, None, _FILM_IN_TAR if suffix in videos.SUFFIXES else _NOT_READ)


def encoded_pictures(sources: list[Path]) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield name and reader of every picture file in folders and tars, in the order of their names.

    A reader works until the next picture is asked for.

    Raises:
        InputError: a source does not exist or is neither a picture, nor a folder or tar of pictures.
    """
    for file in _files(sources):
        if file.kind == "picture":
            yield file.name, file.path.read_bytes
        elif file.kind == "tar":
            found = _members(file.path)
            yield from ((name, read) for name, read in found if Path(name).suffix.lower() in PICTURES)
        elif file.named:
            raise InputError(f"{file.path}: neither a folder nor a tar of pictures")


def decode_rgb(data: bytes, largest: int | None = None) -> NDArray[np.uint8] | None:
    """R'G'B' ``(h, w, 3)`` of an encoded picture, turned as its EXIF orientation says; None if it is damaged.

    What is transparent becomes white; colours of an ICC profile become sRGB's; damaged EXIF turns nothing.

    Args:
        largest: short side to which bigger pictures are reduced, pixels; None leaves the size alone.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            if largest is not None:
                picture.draft("RGB", (2 * largest, 2 * largest))
            turned = _of_8_bits(_in_srgb(_upright(picture)))
            if turned.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in turned.info:
                over = turned.convert("RGBA")
                turned = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
            return _reduced(turned if turned.mode == "RGB" else turned.convert("RGB"), largest)
    except MemoryError:
        raise
    except Exception:  # Pillow's readers raise what they like on damaged files: struct.error, RuntimeError…
        return None


def _upright(picture: Image.Image) -> Image.Image:
    """The picture turned as its EXIF says; as it is, and no copy, where that says nothing or is damaged."""
    picture.load()
    try:
        upright = picture.getexif().get(ExifTags.Base.Orientation, 1) == 1
        return picture if upright else ImageOps.exif_transpose(picture)
    except MemoryError:
        raise
    except Exception:  # of any kind, as of pictures
        return picture


def _in_srgb(picture: Image.Image) -> Image.Image:
    """The picture with the sRGB colours that its profile stands for; as it is where it has none that fits."""
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in ("RGB", "RGBA", "CMYK"):
        return picture
    try:
        mode = "RGB" if picture.mode == "CMYK" else picture.mode
        given, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(picture, given, srgb, outputMode=mode) or picture
    except (ImageCms.PyCMSError, OSError):
        return picture


def _of_8_bits(picture: Image.Image) -> Image.Image:
    """Grey of 16 bits as 8; other pictures as they are. Pillow would cut its codes off at 255."""
    if picture.mode != "I" and not picture.mode.startswith("I;16"):
        return picture
    codes = np.asarray(picture).clip(0, 65535).astype(np.float32)
    return Image.fromarray((codes / 257).round().astype(np.uint8))


def _reduced(picture: Image.Image, largest: int | None) -> NDArray[np.uint8]:
    short = min(picture.size)
    if largest is not None and short > largest:
        width, height = (max(1, round(side * largest / short)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return np.array(picture, np.uint8)
