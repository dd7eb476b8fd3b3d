"""Chapters and timecodes: marks on the film's clock."""

from __future__ import annotations

import logging
import re
from fractions import Fraction
from typing import TYPE_CHECKING

from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream

from vidcolor.media.containers import describe, label
from vidcolor.media.packets import Clock
from vidcolor.media.traits import traits_of

if TYPE_CHECKING:
    from av.container.core import Chapter

log = logging.getLogger(__name__)

_TIMECODE = re.compile(r"-?\d+:\d\d:\d\d([:;.])\d+$")


def clip_chapters(chapters: list[Chapter], clock: Clock) -> list[Chapter]:
    """Return the chapters that touch the wanted span, cut to it and moved by the clock's offset."""
    kept: list[Chapter] = []
    for chapter in chapters:
        time_base = chapter["time_base"]
        if not time_base:
            continue
        begin, finish = chapter["start"] * time_base, chapter["end"] * time_base
        if clock.start is not None:
            begin = max(begin, clock.start)
        if clock.end is not None:
            finish = min(finish, clock.end)
        if begin > finish or (begin == finish and (clock.start is not None or clock.end is not None)):
            continue
        moved = chapter.copy()
        moved["start"] = max(0, round((begin + clock.offset) / time_base))
        moved["end"] = max(0, round((finish + clock.offset) / time_base))
        kept.append(moved)
    return kept


def place_chapters(source: InputContainer, output: OutputContainer, clock: Clock, label: str) -> None:
    """Give ``output``, which people call ``label``, the chapters, or say what it has no place for."""
    traits = traits_of(output.format.name)
    known = traits.chapter_keys
    chapters = clip_chapters(source.chapters(), clock)
    if not chapters:
        return
    if known is not None and not known:
        log.warning("%d chapters are left out: %s holds none", len(chapters), label)
        return
    if traits.is_mov:  # whose muxer passes over a chapter without any title
        chapters = [{**c, "metadata": {"title": "", **c["metadata"]}} for c in chapters]
    output.set_chapters(chapters)
    lost = {key for c in chapters for key in c["metadata"] if known is not None and key not in known}
    if lost:
        log.warning("%s has no place for the chapters' %s", label, ", ".join(sorted(lost)))


def timecode_fits(timecode: str, rate: Fraction | None) -> bool:
    """Tell whether a timecode track can be made for a picture of ``rate`` frames a second."""
    match = _TIMECODE.match(timecode)
    if match is None or not rate:
        return False
    frames = round(rate)
    return 0 < frames <= 255 and (match.group(1) == ":" or frames % 30 == 0)


def advance_timecode(timecode: str, rate: Fraction, seconds: Fraction) -> str:
    """Return the timecode ``seconds`` later at ``rate`` frames a second; drop-frame counting stays so."""
    match = _TIMECODE.match(timecode)
    if match is None or not seconds:
        return timecode
    hours, minutes, second, frame = (int(part) for part in re.split("[:;.]", timecode.lstrip("-")))
    fps = round(rate)
    drop = fps // 15 if match.group(1) != ":" else 0  # numbers skipped each minute but the tenth
    total_minutes = 60 * hours + minutes
    count = (60 * total_minutes + second) * fps + frame - drop * (total_minutes - total_minutes // 10)
    count += round(seconds * rate)
    if drop:
        tens, rest = divmod(count, 600 * fps - 9 * drop)
        count += 9 * drop * tens
        if rest >= 60 * fps:
            count += drop * ((rest - 60 * fps) // (60 * fps - drop) + 1)
    second, frame = divmod(count, fps)
    clock = f"{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}"
    return f"{clock}{match.group(1)}{frame:02}"


def place_timecode(
    source: InputContainer,
    coloured: VideoStream,
    video: VideoStream,
    format_name: str,
    clock: Clock,
) -> None:
    """Keep the source's timecode as metadata of ``video``, of which mov and mp4 make a linked track.

    A timecode track copied as it is would lose its frame rate and drop-frame flag, and readers refuse
    the file; the track that the muxer makes from the metadata has both.
    """
    traits = traits_of(format_name)
    tracks = [s for s in source.streams if s.type == "data" and "timecode" in s.metadata]
    values = [s.metadata["timecode"] for s in tracks]
    values += [v for k, v in coloured.metadata.items() if k.lower() == "timecode"]
    for key in [k for k in video.metadata if k.lower() == "timecode"]:
        del video.metadata[key]
    rate = video.average_rate
    reel = {k: v for s in tracks for k, v in s.metadata.items() if k == "reel_name" and v}
    name = f"the reel's name, {reel['reel_name']}, is left out" if reel else ""
    also = f"; {name}" if name else ""
    named = values or [v for k, v in source.metadata.items() if k.lower() == "timecode"]
    if named and traits.is_mov and not timecode_fits(named[0], rate):
        log.warning("timecode %s is left out: it does not fit %s frames a second%s", named[0], rate, also)
        return
    if not values:  # a tag of the file goes with the others
        return
    if not traits.timecode:
        log.warning("timecode %s is left out: %s cannot hold it%s", values[0], label(format_name), also)
        return
    moved = moved_timecode({"timecode": values[0]}, coloured, clock, rate)["timecode"]
    video.metadata["timecode"] = moved
    if traits.reel:
        video.metadata.update(reel)
    elif traits.is_mov and name:
        log.warning("%s: %s cannot hold it", name, label(format_name))
    elif tracks and not traits.is_mov:
        log.warning("%s becomes a tag of the picture: %s%s", describe(tracks[0]), moved, also)


def moved_timecode(
    metadata: dict[str, str], coloured: VideoStream, clock: Clock, rate: Fraction | None = None
) -> dict[str, str]:
    """``metadata`` with its timecode, if it has one, that of the first frame written."""
    rate = rate or coloured.average_rate
    first = (coloured.start_time or 0) * (coloured.time_base or Fraction(0))
    if clock.begin is None or not rate or clock.begin <= first:
        return metadata
    later = clock.begin - first
    return {
        key: advance_timecode(value, rate, later) if key.lower() == "timecode" else value
        for key, value in metadata.items()
    }
