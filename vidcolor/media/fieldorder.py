"""Which of two fields comes first, by container and codec."""

from __future__ import annotations

from fractions import Fraction

import av
from av.video.stream import VideoStream

PROGRESSIVE, _TOP_FIRST, _BOTTOM_FIRST = 1, 2, 3  # AVFieldOrder; TT, BB


def field_order_of(stream: VideoStream, video: av.VideoFrame | None = None, *, whole: bool = False) -> int:
    """Which field comes first (AVFieldOrder); 0, unknown, with PyAV 17, which does not tell.

    A frame ``video`` in fields says it itself where its container does not, or calls it progressive, and in
    MXF, whose order FFmpeg means otherwise than in mov and mkv (``tb``, ``bt``), and of H.264 writes but one.
    Of DV, whose lower field comes first, FFmpeg does not tell before a frame is decoded.

    Args:
        whole: whether frames are made whole, whatever they were.
    """
    context = stream.codec_context
    told = int(getattr(context, "field_order", 0))
    if whole:
        return PROGRESSIVE
    if video is None or not video.interlaced_frame:
        return told
    if told == 0 and context.name == "dvvideo":
        return _BOTTOM_FIRST
    container = getattr(stream, "container", None)
    doubtful = told <= PROGRESSIVE or (container is not None and container.format.name == "mxf")
    if not doubtful or not hasattr(context, "field_order"):
        return told
    return _BOTTOM_FIRST if _shows_bottom_first(video) else _TOP_FIRST


def is_bottom_first(field_order: int) -> bool:
    """Whether the lower field is shown first, by an AVFieldOrder: BB, or BT.

    FFmpeg's header has TB and BT the other way round, but its programs and decoders, QuickTime (9 and 14) and
    Matroska (RFC 9559) mean by TB that the top field is the earlier one.
    """
    return field_order in (3, 5)


def _shows_bottom_first(video: av.VideoFrame) -> bool:
    """Whether the decoder calls the lower field of a frame the earlier; only filters are told by PyAV."""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=video.width, height=video.height, format=video.format, time_base=Fraction(1, 1000)
    )
    sink = graph.add("buffersink")
    graph.link_nodes(source, graph.add("select", "eq(interlace_type,BOTTOMFIRST)"), sink).configure()
    graph.push(video)
    try:
        graph.pull()
    except (av.BlockingIOError, av.EOFError):
        return False
    return True
