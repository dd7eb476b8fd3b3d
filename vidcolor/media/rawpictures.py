"""Raw pictures in containers: which of them readers know again."""

from __future__ import annotations

import io
from contextlib import suppress

import av

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
            stream = output.add_stream("rawvideo", 25)
            stream.width, stream.height, stream.pix_fmt = 16, 16, pix_fmt
            output.mux(stream.encode(av.VideoFrame(16, 16, pix_fmt)))
        scratch.seek(0)
        with av.open(scratch) as again:
            format = again.streams.video[0].format  # None where the letters say nothing to FFmpeg
            found = format.name if format else ""
    if found != pix_fmt.replace("yuvj", "yuv"):
        raise UsageError(
            f"--codec rawvideo: readers of {label(muxer)} do not know raw {pix_fmt}; choose another "
            "--pix-fmt, such as yuv420p, or --codec ffv1 in mkv"
        )
