"""What containers that hold the picture alone leave out, in one line."""

from __future__ import annotations

import logging

from av.container import InputContainer
from av.stream import Discard
from av.video.stream import VideoStream

from vidcolor.media.chapters import clip_chapters
from vidcolor.media.containers import describe, live_metadata
from vidcolor.media.packets import Clock
from vidcolor.media.streams import is_still

log = logging.getLogger(__name__)
UNTOLD = (
    "the beginning of the source tells nothing of its codec: it is damaged, or begins later, where the film "
    "may go on in other tracks"
)
"""Why a track is left out whose rate or size is not known."""


def say_left_out(
    source: InputContainer, coloured: VideoStream, label: str, clock: Clock, *, sound: bool
) -> None:
    """Name the tracks, chapters and metadata of ``source`` that a film called ``label`` does not hold.

    Args:
        coloured: the track that it does hold.
        clock: the span that is wanted.
        sound: whether sound is wanted, so that it is missed.
    """
    others = [s for s in source.streams if s.index != coloured.index and (sound or s.type != "audio")]
    left = [*map(describe, others), *(f"metadata {key}" for key in live_metadata(source.metadata))]
    if chapters := clip_chapters(source.chapters(), clock):
        left.append(f"{len(chapters)} chapters")
    if left:
        log.warning("%s holds the picture only; left out: %s", label, ", ".join(left))


def unwanted(stream: VideoStream, coloured: VideoStream) -> str:
    """Why a second picture is none to be kept; else nothing."""
    if stream.discard == Discard.all:
        return "it holds pictures of chapters, which the demuxer does not give out"
    if is_still(stream) and not is_still(coloured):
        return "it is a picture of the animation that is coloured"
    return ""
