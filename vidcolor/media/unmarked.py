"""Marks of a picture that do not come into the target."""

from __future__ import annotations

import io
import struct

import av
from av.video.stream import VideoStream

from vidcolor.media.sidedata import is_spherical, is_stereoscopic
from vidcolor.media.traits import traits_of

_STATE_STEREO = ("libx264", "libx264rgb", "mpeg2video")


def unmarked_space(stream: VideoStream, video: av.VideoFrame, muxer: str, codec: str) -> list[str]:
    """A line where the mark of two views in one picture, or of a whole sphere, is lost."""
    tagged = traits_of(muxer).is_matroska and "stereo_mode" in stream.metadata
    lost = is_stereoscopic(video) and codec not in _STATE_STEREO and not tagged
    kind = "stereoscopic" if lost else "spherical" if is_spherical(video) else ""
    return [f"the mark of a {kind} picture is left out: players show it flat"] if kind else []


def hidden_edges(stream: VideoStream) -> list[str]:
    """A line where the container crops the picture (mov's clean aperture, Matroska's PixelCrop).

    PyAV tells nothing of it, but copies it: it is looked for in the header of a mov with the same stream.
    """
    header = io.BytesIO()
    try:
        with av.open(header, "w", format="mov", options={"movflags": "empty_moov+frag_keyframe"}) as out:
            out.add_stream_from_template(stream)
            out.start_encoding()
    except (av.FFmpegError, ValueError):  # mov holds no such codec
        return []
    clap = header.getvalue().partition(b"clap")[2]
    if len(clap) < 16:
        return []
    shown = struct.unpack(">4I", clap[:16])  # width and height, as fractions
    if shown[0] >= stream.width * shown[1] and shown[2] >= stream.height * shown[3]:
        return []  # FFmpeg writes one for some codecs that nobody crops
    return ["the source hides the picture's edges (cropping by its container): they are coloured, and shown"]
