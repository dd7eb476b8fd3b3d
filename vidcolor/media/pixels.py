"""Pixel formats: which decoded ones hold luma as a plane, and how the others are brought there."""

from __future__ import annotations

import re
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from vidcolor.frames import Codes, Signal
from vidcolor.matrices import BT470BG, BT709, BT2020, MATRICES, SMPTE170M, Matrix

_PLANAR = re.compile(r"(?:yuv(j?)a?(4\d\d)p|gray)(\d+)?(le|be)?")
_FULL_RANGE, _LIMITED_RANGE = 2, 1
_FLOAT = re.compile(r"(gray|ya)f(16|32)(le|be)")
_MONO = {"monow", "monob"}
_STRIP = 1 << 15
"""Pixels of R'G'B' that are worked on together: their floats stay in a processor's cache."""
_UNSPECIFIED_CODE = 2
_KNOWN_CODES = {
    "colorspace": frozenset(range(18)) - {3},
    "color_primaries": frozenset([1, 2, *range(4, 13), 22]),
    "color_trc": frozenset([1, 2, *range(4, 19)]),
}
_REFUSED_MATRICES = {
    8: "YCgCo", 10: "BT.2020 constant luminance", 11: "SMPTE ST 2085", 12: "by primaries",
    13: "by primaries, constant luminance", 14: "ICtCp", 15: "IPT-C2", 16: "YCgCo-Re", 17: "YCgCo-Ro",
}  # fmt: skip
"""What FFmpeg's scaler does not know; each gives a grey the same luma as the others do."""
_OF_BT2020 = frozenset([10, 14])
_STANDARD_LINES = 576
_PAL_LINES = (576, 288)


def is_planar_luma(name: str) -> bool:
    """Whether plane 0 of the pixel format holds nothing but luma, one integer a sample."""
    return _PLANAR.fullmatch(name) is not None


def is_rgb(fmt: av.VideoFormat) -> bool:
    """Whether the pixel format holds red, green and blue (palettes, XYZ and Bayer patterns included)."""
    return bool(fmt.is_rgb or fmt.has_palette or fmt.name.startswith(("xyz", "bayer")))


def depth_of(fmt: av.VideoFormat) -> int:
    """Bits a sample that the luma of this format needs: 8 to 16."""
    return min(max(fmt.components[0].bits, 8), 16)


def signal_of(frame: av.VideoFrame) -> Signal:
    """How to read the frame's luma, from its tags or, where they are missing, by custom.

    An untagged matrix is BT.2020's where the primaries are, else BT.601's up to 576 lines, else BT.709's; an
    untagged range is full for grey and yuvj formats, limited for others. RGB is brought to limited range,
    whatever its tag.
    """
    name = frame.format.name
    rgb = is_rgb(frame.format)
    if frame.color_range in (_LIMITED_RANGE, _FULL_RANGE) and not rgb and not _FLOAT.match(name):
        full = frame.color_range == _FULL_RANGE
    else:
        full = not rgb and (name.startswith(("yuvj", "gray", "ya")) or name in _MONO)
    return Signal(depth=depth_of(frame.format), full_range=full, matrix=_matrix_of(frame))


def _matrix_of(frame: av.VideoFrame) -> Matrix:
    tagged = MATRICES.get(int(frame.colorspace))
    if tagged is None and int(frame.color_primaries) == BT2020.code:
        return BT2020  # those of a film are written anew, and colours have to be meant for them
    return usual_matrix(frame.height) if tagged is None else tagged


def usual_matrix(height: int) -> Matrix:
    """The matrix that pictures of so many lines are taken to have where nothing tells."""
    if height > _STANDARD_LINES:
        return BT709
    return BT470BG if height in _PAL_LINES else SMPTE170M


def planar(frame: av.VideoFrame) -> av.VideoFrame:
    """The frame itself where its luma is a plane, else the same samples in a planar format (not for RGB)."""
    fmt = frame.format
    if is_planar_luma(fmt.name):
        return frame
    if fmt.name in _MONO or fmt.name.startswith(("ya", "gray")):
        target = "gray" if fmt.components[0].bits <= 8 else "gray16le"
    else:
        target = planar_name(depth_of(fmt), subsampling_of(fmt))
    return frame.reformat(format=target, src_color_range=frame.color_range, dst_color_range=frame.color_range)


def subsampling_of(fmt: av.VideoFormat) -> str:
    """``420``, ``422`` or ``444``: the chroma layout of the target for a source of this format."""
    if is_rgb(fmt) or len(fmt.components) < 3:
        return "420"
    half_width, half_height = fmt.chroma_width(16) < 16, fmt.chroma_height(16) < 16
    return (
        "420" if (half_height and half_width) or fmt.chroma_width(16) < 8 else "422" if half_width else "444"
    )


def planar_name(depth: int, subsampling: str) -> str:
    """FFmpeg's name of the planar Y'CbCr format, native little-endian above 8 bits."""
    return f"yuv{subsampling}p" if depth == 8 else f"yuv{subsampling}p{depth}le"


def plane_array(plane: Any, name: str, width: int, height: int) -> Codes:
    """The samples of a plane as a view ``(h, w)``, without the padding of its lines."""
    wide = _wide(name)
    kind = np.dtype(np.uint8) if not wide else np.dtype(">u2" if name.endswith("be") else "<u2")
    samples: Codes = _lines(plane, kind, height)[:, :width]
    return samples


def _lines(plane: Any, kind: np.dtype[Any], height: int) -> NDArray[Any]:
    """The lines of a plane with their padding, from the top down also where they lie from the bottom up."""
    lines: NDArray[Any] = np.frombuffer(plane, kind).reshape(-1, abs(plane.line_size) // kind.itemsize)
    return lines[:height] if plane.line_size > 0 else lines[:height][::-1]


def _wide(name: str) -> bool:
    match = _PLANAR.fullmatch(name)
    return bool(match and match.group(3) and int(match.group(3)) > 8)


def luma_of(frame: av.VideoFrame, signal: Signal) -> Codes:
    """Luma codes ``(h, w)`` of a frame, native byte order: its Y plane, or computed where it holds RGB."""
    if is_rgb(frame.format):
        return _luma_of_rgb(frame, signal)
    if _FLOAT.match(frame.format.name):
        return _luma_of_float(frame)
    frame = planar(frame)
    plane = plane_array(frame.planes[0], frame.format.name, frame.width, frame.height)
    return plane.astype(np.uint16) if plane.dtype.str == ">u2" else plane


def is_transparent(frame: av.VideoFrame) -> bool:
    """Whether a frame has an alpha channel, of 16 bits at most, that is not opaque everywhere.

    Of some of 32 bits FFmpeg's scaler ends the process.
    """
    if not any(component.is_alpha and component.bits <= 16 for component in frame.format.components):
        return False
    return int(frame.to_ndarray(format="rgba")[..., 3].min()) < 255


def _luma_of_float(frame: av.VideoFrame) -> Codes:
    """Grey of floating point, 0 to 1, in 16 bits: FFmpeg's scaler takes its range for a limited one."""
    name, parts = frame.format.name, len(frame.format.components)  # grey, and alpha beside it
    kind = np.dtype((">" if name.endswith("be") else "<") + ("f4" if "f32" in name else "f2"))
    lines = _lines(frame.planes[0], kind, frame.height)
    grey = np.nan_to_num(lines[:, : frame.width * parts : parts].astype(np.float32))
    codes: Codes = np.rint(np.clip(grey, 0.0, 1.0) * np.float32(65535.0)).astype(np.uint16)
    return codes


def _luma_of_rgb(frame: av.VideoFrame, signal: Signal) -> Codes:
    wide = frame.format.components[0].bits > 8 and not frame.format.has_palette
    rgb = frame.to_ndarray(format="rgb48le" if wide else "rgb24")
    black, white = signal.ends
    result: Codes = np.empty(rgb.shape[:2], np.uint8 if signal.depth == 8 else np.uint16)
    height = max(1, _STRIP // rgb.shape[1])
    for top in range(0, len(rgb), height):
        strip = rgb[top : top + height].astype(np.float32) / np.float32(65535.0 if wide else 255.0)
        y = signal.matrix.luma(strip[..., 0], strip[..., 1], strip[..., 2])
        result[top : top + height] = np.rint(y * np.float32(white - black) + np.float32(black))
    return result


def without_refused_codes(video: av.VideoFrame) -> str | None:
    """Have codes that FFmpeg would refuse say "unspecified", in place: those that mean nothing (ITU-T H.273),
    and matrices that its scaler does not know.

    Of these BT.2020's become the one that is known; all are the same to greys.

    Returns:
        Such a matrix's name, if there was one.
    """
    for name, known in _KNOWN_CODES.items():
        if int(getattr(video, name)) not in known:
            setattr(video, name, _UNSPECIFIED_CODE)
    matrix = int(video.colorspace)
    if matrix in _REFUSED_MATRICES:
        video.colorspace = BT2020.code if matrix in _OF_BT2020 else _UNSPECIFIED_CODE
    return _REFUSED_MATRICES.get(matrix)
