"""The stream that is coloured: which it is, and what it says of its rate, its length and its beginning."""

from __future__ import annotations

from fractions import Fraction

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from vidcolor.errors import InputError, UsageError
from vidcolor.options import parse_seconds

_TELLS_END = ("matroska", "nut", "asf")


def pick_video(container: InputContainer, name: str) -> VideoStream:
    """The stream to colour: the first that is no cover art, by preference one marked as default.

    Raises:
        InputError: there is none, or no decoder for it, or it is one picture in several streams.
    """
    cover = av.stream.Disposition.attached_pic
    films = [s for s in container.streams.video if not s.disposition & cover]
    if not films:
        what = "only sound" if container.streams.audio else "no picture"
        raise InputError(f"{name}: holds {what}; there is nothing to colour")
    tiles = [s for s in films if s.disposition & av.stream.Disposition.dependent and not s.duration]
    whole = any(s.disposition & av.stream.Disposition.default for s in films)
    if tiles and not whole and "mov" in container.format.name:
        raise InputError(
            f"{name}: is a picture in {len(tiles)} tiles (HEIF or AVIF), which come one by one: join them "
            "first (with heif-convert or ImageMagick, say)"
        )
    first, *others = [s for s in films if s.disposition & av.stream.Disposition.default] or films
    film = next((s for s in others if is_still(first) and s.frames > 1), first)
    if film.codec_context is None:
        raise InputError(f"{name}: no decoder for its video")
    return film


def sane_rate(stream: VideoStream) -> Fraction:
    """Frames a second that the source claims, on average; 25 where it claims nothing believable.

    1000 may be the tick of a container that counts milliseconds: Matroska's guess, wmv's and flv's average of
    one frame or two. It is believed where the two agree.
    """
    average, guessed = stream.average_rate, stream.guessed_rate
    if average == guessed == 1000:
        return Fraction(1000)
    return next((Fraction(rate) for rate in (average, guessed) if rate and 0 < rate < 1000), Fraction(25))


def tagged_length(stream: VideoStream) -> Fraction | None:
    """Seconds of this track by Matroska's tag; the container's are those of its longest track."""
    try:
        return parse_seconds(stream.metadata.get("DURATION", ""))
    except UsageError:
        return None


def shown_length(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Seconds that the picture, or else the source, lasts by its headers; None where they do not say.

    Matroska, NUT and WMV tell the time at which they end, as FFmpeg writes them. Programs that write the
    length hardly ever have a film begin late.
    """
    if stream.duration and stream.time_base:
        found: Fraction | None = stream.duration * stream.time_base
    else:
        of_all = Fraction(container.duration, av.time_base) if container.duration else None
        found = min(filter(None, (tagged_length(stream), of_all)), default=None)
    begin = beginning(container, stream)
    if found is None or not any(known in container.format.name for known in _TELLS_END):
        return found
    return found - begin if 0 < begin < found else found


def beginning(container: InputContainer, stream: VideoStream) -> Fraction:
    """Seconds on the source's clock at which it begins, from where ``--start`` counts.

    Broadcasts begin hours after zero; a picture may begin before it, but sound that does is only priming.
    """
    begin = Fraction(container.start_time or 0, av.time_base)
    if begin >= 0:
        return begin
    picture = (stream.start_time or 0) * (stream.time_base or Fraction(1))
    return min(picture, Fraction(0))


def is_still(stream: VideoStream) -> bool:
    """Whether it is one picture without a time, as an animated AVIF has beside its film."""
    return stream.frames == 1 and not stream.duration
