"""What containers have a place for beside tracks: metadata, and the marks of tracks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from av.stream import Disposition

from vidcolor.media.containers import codec_name
from vidcolor.media.traits import traits_of

if TYPE_CHECKING:
    from av.stream import Stream

# Of the old file rather than of the track; an attached file's name and type become its stream's.
_BOOKKEEPING = {"handler_name", "creation_time", "vendor_id", "filename", "mimetype", "timecode"}


def missing_keys(format_name: str, metadata: dict[str, str], *, track: bool) -> list[str]:
    """Return the keys that the container's usual header has no place for."""
    traits = traits_of(format_name)
    known = traits.track_keys if track else traits.keys
    if known is None:
        return []
    if track:
        known |= _BOOKKEEPING
    if traits.timecode:
        known |= {"timecode"}  # see place_timecode
    lost = [k for k in metadata if k.lower() not in known]
    if traits.is_mov:  # holds one of each in a language, and places of ISO 6709 alone: +52.5200+013.4050/
        lost = [k for k in lost if not _in_a_language(k, metadata)]
        lost += [k for k, v in metadata.items() if k.lower() == "location" and v[:1] not in ("+", "-")]
    return lost + ["language"] * (track and not traits.has_language(metadata.get("language", "und")))


def _in_a_language(key: str, metadata: dict[str, str]) -> bool:
    """Whether a key, such as ``title-fre``, tells the language of another."""
    base, _, language = key.lower().rpartition("-")
    values = [v for k, v in metadata.items() if k.lower() == base]
    return len(language) == 3 and values == [metadata[key]]


def missing_dispositions(format_name: str, stream: Stream) -> list[str]:
    """Return the marks of a track (forced, comment ...) that the container has no place for.

    And what it has none for in a track of this kind alone.
    """
    lost, known = [], traits_of(format_name).dispositions
    if stream.disposition & Disposition.attached_pic and traits_of(format_name).covers == "header":
        lost += ["title"] * ("title" in stream.metadata)
    if format_name == "nut" and codec_name(stream) in ("ass", "ssa"):
        lost.append("how long each line is shown")
    if format_name == "mpegts" and codec_name(stream) == "hdmv_pgs_subtitle":
        lost += ["language"] * (stream.metadata.get("language", "und") != "und")
    if known is None:
        return lost
    names = [d.name or "" for d in Disposition if d & stream.disposition]
    return lost + [n for n in names if n not in known and n not in ("default", "attached_pic")]
