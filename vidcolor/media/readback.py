"""Whether what is written can be read again, where that is in doubt: a picture is written and read."""

from __future__ import annotations

import io
from contextlib import suppress

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from vidcolor.errors import UsageError
from vidcolor.media.containers import label
from vidcolor.media.traits import traits_of


def check_raw(muxer: str, pix_fmt: str) -> None:
    """Raw pictures are told by four letters alone, which few formats have: is one read as it was written?

    Raises:
        UsageError: it is not.
    """
    traits, scratch = traits_of(muxer), io.BytesIO()
    if not traits.timed and muxer != "yuv4mpegpipe":  # a stream without a header: who reads it knows
        return
    found = ""
    with suppress(av.FFmpegError, OSError, ValueError):
        with av.open(scratch, "w", format=muxer, options=dict(traits.options)) as output:
            _write_picture(output, "rawvideo", (16, 16), pix_fmt)
        scratch.seek(0)
        with av.open(scratch) as again:
            format = again.streams.video[0].format  # None where the letters say nothing to FFmpeg
            found = format.name if format else ""
    if found != pix_fmt.replace("yuvj", "yuv"):
        raise UsageError(
            f"--codec rawvideo: readers of {label(muxer)} do not know raw {pix_fmt}; choose another "
            "--pix-fmt, such as yuv420p, or --codec ffv1 in mkv"
        )


def check_cineform(size: tuple[int, int], pix_fmt: str) -> None:
    """FFmpeg takes sizes, 720×486 in 4:2:2 among them, and cannot decode what it makes of them.

    Args:
        size: width and height.

    Raises:
        UsageError: this is one.
    """
    scratch, found = io.BytesIO(), 0
    with suppress(av.FFmpegError, OSError, ValueError):
        with av.open(scratch, "w", format="mov") as output:
            if not _write_picture(output, "cfhd", size, pix_fmt):
                return  # the encoder says itself what it does not take
        scratch.seek(0)
        with av.open(scratch) as again:
            found = len(list(again.decode(video=0)))
    if not found:
        raise UsageError(
            f"--codec cfhd: FFmpeg cannot decode what it makes of {size[0]}×{size[1]} in {pix_fmt}; choose "
            "--codec prores_ks or dnxhd"
        )


def _write_picture(output: OutputContainer, codec: str, size: tuple[int, int], pix_fmt: str) -> bool:
    """Write one black picture; whether the encoder takes it."""
    stream = output.add_stream(codec, 25)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
    try:
        output.mux([*stream.encode(av.VideoFrame(*size, pix_fmt)), *stream.encode(None)])
    except (av.FFmpegError, ValueError):
        return False
    return True
