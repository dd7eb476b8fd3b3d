"""Finding a time in a source, so that no frame from there on is missed."""

from __future__ import annotations

import logging
from fractions import Fraction

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from vidcolor.errors import InputError
from vidcolor.media.continuity import Continuity, demuxed, may_jump
from vidcolor.media.streams import sane_rate

log = logging.getLogger(__name__)

_INDEXED = ("matroska", "avi")
_DEEPEST = 16  # frames by which decoding runs ahead of presentation, at most
_LONGEST_GOP = 12  # seconds
_LATEST = 2**63 - 1  # microseconds: FFmpeg counts no further


def seek(container: InputContainer, stream: VideoStream, start: Fraction, name: str, *, surely: bool) -> None:
    """Go to a key frame at or before ``start``; without an index, FFmpeg lands only thereabouts.

    Only ``surely`` also where the clock begins again: then all before is looked through first. Who resumes
    knows the frame that has to come. An AVI with B-frames is then read from its beginning: its times are
    guessed another way after seeking.

    Where it cannot seek at all (a raw stream has no times), reading begins at the beginning.
    """
    if surely and "avi" in container.format.name and stream.codec_context.has_b_frames:
        return
    early = start - _earlier(container, stream)
    target = min(int(early * av.time_base), _LATEST)
    if target <= (container.start_time or 0):
        return
    try:
        if surely and may_jump(container) and _jumps(container, start):
            _rewind(container, name)
            return
        ticks = min(int(early / (stream.time_base or Fraction(1, av.time_base))), _LATEST)
        container.seek(ticks, stream=stream, backward=True)  # another track may have other key frames
    except (OSError, av.FFmpegError) as error:
        log.debug("%s: cannot seek (%s); it is read from the beginning", name, error)
        _rewind(container, name)


def _earlier(container: InputContainer, stream: VideoStream) -> Fraction:
    """Seconds before the wanted time at which a key frame has to be sought, lest frames be missed."""
    if "mov" in container.format.name:  # sought by decode time: a key frame may be shown after it
        return max(Fraction(1), _DEEPEST / sane_rate(stream))
    return Fraction(0 if any(name in container.format.name for name in _INDEXED) else _LONGEST_GOP)


def _jumps(container: InputContainer, until: Fraction) -> bool:
    """Whether the clock begins again before that time, in seconds: then no seeking finds it."""
    continuity = Continuity(container, None)
    for packet in demuxed(container, None, continuity):
        if continuity.jumped:
            return True
        if packet.dts is not None and packet.time_base and packet.dts * packet.time_base > until:
            return False
    return False


def _rewind(container: InputContainer, name: str) -> None:
    """Back to the first byte: a failed search for a time has read the file to its end."""
    try:
        container.seek(0, unsupported_byte_offset=True)
    except (OSError, av.FFmpegError) as error:
        raise InputError(f"{name}: --start does not work, as it cannot be searched ({error})") from error
