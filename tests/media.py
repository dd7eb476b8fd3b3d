"""Makes and reads the small films that the tests need, with PyAV alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from vidcolor.colorspace import ab_from_rgb, rgb_from_ycbcr
from vidcolor.matrices import Matrix
from vidcolor.media.priority import ordinary_priority


def luma_codes(width: int, height: int, index: int, depth: int = 8, *, full: bool = False) -> np.ndarray:
    """A moving pattern of legal luma codes ``(h, w)`` with edges, ramps and grain."""
    rng = np.random.default_rng(index)
    rows, columns = np.mgrid[0:height, 0:width]
    wave = 0.5 + 0.3 * np.sin((columns + 2 * index) / 5.0) * np.cos(rows / 7.0)
    wave += 0.15 * (((columns + index) // 8 + rows // 8) % 2) + 0.02 * rng.standard_normal((height, width))
    low, high = (0, 2**depth - 1) if full else (16 << (depth - 8), 235 << (depth - 8))
    codes = np.clip(low + np.clip(wave, 0, 1) * (high - low), low, high)
    return codes.astype(np.uint8 if depth == 8 else np.uint16)


def fill_plane(plane: Any, codes: np.ndarray) -> None:
    """Write codes ``(h, w)`` into a frame's plane."""
    kind = codes.dtype.newbyteorder("<")
    lines = np.frombuffer(plane, kind).reshape(-1, plane.line_size // codes.itemsize)
    lines[: codes.shape[0], : codes.shape[1]] = codes


def planes_of(frame: av.VideoFrame) -> list[np.ndarray]:
    """Copies of a planar frame's planes, without padding."""
    found = []
    for plane in frame.planes:
        wide = any(c.bits > 8 for c in frame.format.components)
        kind = np.dtype("<u2") if wide else np.dtype(np.uint8)
        lines = np.frombuffer(plane, kind).reshape(-1, plane.line_size // kind.itemsize)
        found.append(lines[: plane.height, : plane.width].copy())
    return found


def grey_frame(width: int, height: int, pix_fmt: str, index: int, *, full: bool = False) -> av.VideoFrame:
    """A frame with the pattern as luma and neutral chroma."""
    frame = av.VideoFrame(width, height, pix_fmt)
    depth = frame.format.components[0].bits
    fill_plane(frame.planes[0], luma_codes(width, height, index, depth, full=full))
    for plane in frame.planes[1:]:
        neutral = np.full(
            (plane.height, plane.width), 1 << (depth - 1), np.uint8 if depth == 8 else np.uint16
        )
        fill_plane(plane, neutral)
    frame.color_range = 2 if full else 1
    return frame


def make_film(
    path: Path | str,
    *,
    frames: int = 10,
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: Fraction | int = 25,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    full: bool = False,
    audio: str | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    format: str | None = None,
    **context: Any,
) -> Path:
    """Write a grey film.

    Args:
        pts: presentation times in ``time_base``; by default one frame each 1/``rate``.
        audio: an audio encoder; adds a second of tone for each second of film.
        context: attributes set on the video codec context (``color_range``, ``sample_aspect_ratio``…).
    """
    base = time_base or 1 / Fraction(rate)
    with ordinary_priority(), av.open(str(path), "w", format=format, options=container_options or {}) as out:
        lossless = {"qp": "0"} if codec == "libx264" else {}
        stream = out.add_stream(codec, rate=rate, options=lossless | (options or {}))
        stream.width, stream.height, stream.pix_fmt = size[0], size[1], pix_fmt
        stream.codec_context.time_base = stream.time_base = base
        stream.codec_context.color_range = 2 if full else 1
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        sound = out.add_stream(audio, rate=48000) if audio else None
        times = list(pts) if pts is not None else list(range(frames))
        for index, time in enumerate(times):
            frame = grey_frame(*size, pix_fmt, index, full=full)
            frame.pts, frame.time_base = time, base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if sound is not None:
            _tone(out, sound, float((times[-1] - times[0] + 1) * base))
    return Path(path)


def flat_film(path: Path, codes: tuple[int, int, int], matrix: int, frames: int = 10) -> Path:
    """A lossless film of one colour, by its codes of Y'CbCr and the matrix that it is tagged with (H.273)."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", 25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.colorspace = matrix
        for number in range(frames):
            frame = av.VideoFrame(96, 64, "yuv420p")
            for plane, code in zip(frame.planes, codes, strict=True):
                fill_plane(plane, np.full((plane.height, plane.width), code, np.uint8))
            frame.colorspace, frame.pts = matrix, number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def true_ab(codes: tuple[int, int, int], matrix: Matrix) -> np.ndarray:
    """CIELAB a and b that codes of Y'CbCr in the limited range stand for."""
    y, cb, cr = (torch.full((1, 1, 1, 1), float(code)) for code in codes)
    rgb = rgb_from_ycbcr((y - 16.0) / 219.0, (torch.cat((cb, cr), 1) - 128.0) / 224.0, matrix)
    return ab_from_rgb(rgb, wide=matrix.wide).flatten().numpy()


def _tone(out: Any, stream: Any, seconds: float) -> None:
    chunk = 1024
    for start in range(0, int(seconds * 48000), chunk):
        wave = (8000 * np.sin(np.arange(start, start + chunk) * 440 * 2 * np.pi / 48000)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.repeat(wave, 2)[None], format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def read_film(path: Path | str) -> list[av.VideoFrame]:
    """All frames of the first stream that is a film."""
    with av.open(str(path)) as container:
        return list(container.decode(container.streams.video[0]))


def luma_of_film(path: Path | str) -> list[np.ndarray]:
    """The luma planes of all frames."""
    return [planes_of(frame)[0] for frame in read_film(path)]


def times_of(path: Path | str) -> list[Fraction]:
    """Presentation times of all frames in seconds."""
    return [frame.pts * frame.time_base for frame in read_film(path)]


def change_packets(source: Path, target: Path, change: Callable[[int, bytearray], bytes | bytearray]) -> Path:
    """Another film of the same video packets, each with other data, by a function of number and data."""
    with av.open(str(source)) as old, av.open(str(target), "w") as out:
        stream = out.add_stream_from_template(old.streams.video[0])
        for index, packet in enumerate(old.demux(video=0)):
            if packet.size:
                new = av.Packet(bytes(change(index, bytearray(bytes(packet)))))
                new.pts, new.dts, new.duration = packet.pts, packet.dts, packet.duration
                new.time_base, new.stream, new.is_keyframe = packet.time_base, stream, packet.is_keyframe
                out.mux(new)
    return target


def packets_of(path: Path | str, kind: str) -> dict[int, list[tuple[Fraction | None, str]]]:
    """Time and SHA-1 of every packet of the streams of a kind (``audio``, ``subtitle``…), by stream."""
    found: dict[int, list[tuple[Fraction | None, str]]] = {}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.stream.type != kind or not packet.size:
                continue
            time = None if packet.pts is None else packet.pts * packet.time_base
            found.setdefault(packet.stream_index, []).append((time, hashlib.sha1(bytes(packet)).hexdigest()))
    return found
