"""Units of H.264 and H.265 between start codes (Annex B), by their headers alone."""

from __future__ import annotations

import re

from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

_HEADER = re.compile(rb"\x00\x00\x01(.)", re.DOTALL)
_WITHOUT_PICTURES = {
    "h264": frozenset({6, 7, 8, 9, 10, 11, 12}),
    "hevc": frozenset(range(32, 41)),
}
"""Types of units of supplemental information, parameter sets, delimiters, ends and filler."""


def is_without_picture(packet: Packet[Stream], stream: VideoStream) -> bool:
    """Whether a packet that has no time holds what may follow the last picture, as the end of the sequence.

    FFmpeg's parser gives that by itself; before a picture it would be that one's. In a decoder it is a
    fault, or nothing. (What has a time comes from a container.)
    """
    context = stream.codec_context
    known = _WITHOUT_PICTURES.get(context.name)
    if known is None or packet.pts is not None or (context.extradata or b"").startswith(b"\1"):
        return False  # that is of units that have their length before them, in place of start codes
    shift, mask = (0, 31) if context.name == "h264" else (1, 63)
    found = False
    for header in _HEADER.finditer(bytes(packet)):
        if header[1][0] >> shift & mask not in known:
            return False
        found = True
    return found
