"""Opening sources that are not trusted: no demuxer that follows other files, no network, no device."""

from __future__ import annotations

import codecs
import os
import re
import stat
from fractions import Fraction
from itertools import pairwise
from pathlib import Path, PurePath

import av
from av.container import InputContainer

from vidcolor.errors import InputError, UsageError
from vidcolor.media.names import folded, same_file
from vidcolor.media.traits import MUXERS, traits_of

STDIN = "-"
_FOLLOWERS = frozenset([
    "concat", "hls", "dash", "imf", "vobsub", "sdp", "rtsp", "rtp", "sap", "hds", "smoothstreaming",
    "webm_dash_manifest", "avisynth", "vapoursynth",
])  # fmt: skip
_DEVICES = frozenset([
    "alsa", "fbdev", "lavfi", "video4linux2,v4l2", "x11grab", "kmsgrab", "oss", "pulse", "jack", "dshow",
    "gdigrab", "avfoundation", "vfwcap", "iec61883", "decklink", "openal", "sndio", "android_camera",
    "xcbgrab", "bktr", "libdc1394", "libcdio",
])  # fmt: skip
_TEXT_ART = frozenset(["tty", "bin", "xbin", "adf", "idf"])
NUMBER = re.compile(r"%0?\d*d")
"""Where a sequence's name has its number."""
_LOCAL = "file,pipe"
_NETWORK = "file,pipe,http,https,tcp,udp,tls,rtp,rtmp,rtmps,rtsp,srt,crypto,httpproxy"
_LATIN = "vidcolor-latin"
"""How texts are read that are no UTF-8, such as old AVIs': as Windows-1252, byte for byte."""
_URL = re.compile(r"[a-z][a-z0-9+.]*://", re.IGNORECASE)


def _as_latin(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


codecs.register_error(_LATIN, _as_latin)


def open_source(
    name: str,
    *,
    allow_references: bool = False,
    allow_network: bool = False,
    framerate: Fraction | None = None,
) -> InputContainer:
    """Open a file, ``-`` (standard input), an image, or an image sequence (``scan_%05d.png``).

    Args:
        allow_references: let demuxers in that open further files (concat, hls, dash, sdp…).
        allow_network: take URLs; without it every name is a local file's.
        framerate: of an image sequence; 25 where None.

    Raises:
        InputError: it does not exist, cannot be read, is nothing that FFmpeg's demuxers open, or is
            an image sequence with a gap.
        UsageError: a frame rate for what is no image sequence.
    """
    allowed = sorted(
        av.formats_available - _DEVICES - _TEXT_ART - (set() if allow_references else _FOLLOWERS)
    )
    options = {
        "format_whitelist": ",".join(allowed),
        "protocol_whitelist": _NETWORK if allow_network else _LOCAL,
    }
    url, demuxer = _address(name, allow_network)
    if demuxer:
        options["framerate"] = str(framerate or 25)
        options["start_number"] = str(min(sequence_files(name)))
    else:
        if framerate is not None:
            raise UsageError(f"{name}: --framerate is for image sequences (scan_%05d.png)")
        options["pattern_type"] = "none"  # of a picture whose own name has a % in it
    try:
        return av.open(url, "r", format=demuxer, options=options, metadata_errors=_LATIN)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{name}: {_reason(name, error)}") from error


def _address(name: str, allow_network: bool) -> tuple[str, str | None]:
    """FFmpeg's name for the source, and the demuxer where it must be forced."""
    if name == STDIN:
        return "pipe:0", None
    if allow_network and _URL.match(name):
        return name, None
    path = Path(name)
    if is_image_sequence(name):
        return f"file:{sequence_address(path)}", "image2"
    try:
        refuse_directory(name)
        if not path.exists():
            hint = "; URLs need --allow-network" if _URL.match(name) else ""
            raise InputError(f"{name}: no such file{hint}")
        if path.is_file() and path.stat().st_size == 0:
            raise InputError(f"{name}: the file is empty")
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise InputError(f"{name}: cannot be opened ({said})") from error
    return f"file:{name}", None


def refuse_missing(name: str, allow_network: bool) -> None:
    """Say what can be said of a source before it is opened.

    Raises:
        InputError: there is no such file, or it is empty, or a directory.
    """
    _address(name, allow_network)


def refuse_directory(name: str) -> None:
    """Say what to name instead of a directory.

    Raises:
        InputError: ``name`` is one.
    """
    if name != STDIN and os.path.isdir(name):
        raise InputError(f"{name}: is a directory; name a film, or an image sequence as {name}/%05d.png")


def reads_once(name: str) -> bool:
    """Whether a source is a pipe: what has been read of it does not come again."""
    try:
        return name == STDIN or stat.S_ISFIFO(os.stat(name).st_mode)
    except (OSError, ValueError):
        return False


def is_picture(name: str) -> bool:
    """Whether a source is a file of a single picture, by its name."""
    muxer = MUXERS.get(Path(name).suffix.lower().lstrip("."), "")
    return traits_of(muxer).is_image and not (is_image_sequence(name) or reads_once(name))


def is_image_sequence(name: str) -> bool:
    """Whether a source is a numbered picture for each frame (``scan_%05d.png``)."""
    if name == STDIN or _URL.match(name):  # a space in a URL is written %20
        return False
    return NUMBER.search(Path(name).name) is not None and not os.path.exists(name)


def sequence_files(name: str) -> dict[int, Path]:
    """Pictures of an image sequence by number, without a gap: at one, FFmpeg would stop without a word.

    Raises:
        InputError: there is a gap, or no picture.
    """
    path = Path(name)
    before, pattern, after = _split(path.name)
    width = int(pattern[1:-1] or 0)
    shape = re.compile(f"{re.escape(before)}([0-9]+){re.escape(after)}")

    def nth(number: int) -> str:
        return f"{before}{number:0{width}d}{after}"

    try:
        with os.scandir(path.parent) as found:  # a look at each of 100 000 files takes long on a network
            names = {file.name for file in found if not file.is_symlink() or os.path.exists(file)}
        matches = filter(None, map(shape.fullmatch, names))
        numbers = sorted(n for match in matches if match[0] == nth(n := int(match[1])))
        if not numbers:  # the file system may find them under this name nevertheless
            like = re.compile(f"{re.escape(folded(before))}([0-9]+){re.escape(folded(after))}")
            alike = ((name, match) for name in names if (match := like.fullmatch(folded(name))))
            numbers = sorted(
                n for name, m in alike if same_file(path.with_name(name), path.with_name(nth(n := int(m[1]))))
            )
    except FileNotFoundError:
        numbers = []
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: cannot be opened ({error})") from error
    if not numbers:
        raise InputError(f"{name}: no such file")
    for last, following in pairwise(numbers):
        if following != last + 1:
            raise InputError(
                f"{nth(last + 1)} is missing between {nth(last)} and {nth(following)} ({name}): "
                "number the pictures without a gap"
            )
    return {number: path.parent / nth(number) for number in numbers}


def _split(name: str) -> tuple[str, str, str]:
    """What stands before a sequence's number, the pattern for the number, and what stands after it."""
    match = NUMBER.search(name)
    if match is None or NUMBER.search(name, match.end()):
        raise InputError(f"{name}: an image sequence's name has one number, as in scan_%05d.png")
    return name[: match.start()], match[0], name[match.end() :]


def sequence_address(path: PurePath) -> str:
    """FFmpeg's name for an image sequence: per cent signs that stand for themselves are doubled.

    Raises:
        InputError: its name has not one number.
    """
    before, pattern, after = _split(path.name)
    folder = type(path)(str(path.parent).replace("%", "%%"))
    return str(folder / f"{before.replace('%', '%%')}{pattern}{after.replace('%', '%%')}")


def _reason(name: str, error: Exception) -> str:
    if isinstance(error, av.error.EOFError):
        return "holds no picture; there is nothing to colour"
    if isinstance(error, av.error.NotImplementedError) and reads_once(name):
        return "cannot be read from a pipe, in which there is no going back (as for APNG); name the file"
    if isinstance(error, (av.error.InvalidDataError, av.error.ArgumentError)):
        head = b"" if reads_once(name) else _head(name)
        if b"ffconcat" in head or b"#EXTM3U" in head or b"<MPD" in head or head.startswith(b"v=0"):
            return "a playlist that names other files; --allow-references opens it"
        if head[4:8] == b"ftyp":
            return "an mp4 or mov without its index (moov): the recording was cut off before it was finished"
        if reads_once(name):
            return (
                "nothing came through the pipe, or nothing that can be played from one (an mp4 needs its "
                "index at the front: +faststart)"
            )
        return "not a video that FFmpeg's demuxers recognise"
    return str(getattr(error, "strerror", None) or error)


def _head(name: str) -> bytes:
    try:
        with open(name, "rb") as file:
            return file.read(512)
    except OSError:
        return b""
