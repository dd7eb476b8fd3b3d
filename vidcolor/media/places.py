"""What containers have a place for beside tracks: metadata, and the marks of tracks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from av.stream import Disposition

from vidcolor.media.containers import MOV_FAMILY, codec_name
from vidcolor.media.languages import has_two_letters, is_three_letters

if TYPE_CHECKING:
    from av.stream import Stream


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Keys of the container's metadata that a muxer has a place for; formats absent here hold any key.
_MOV_KEYS = _words("title artist album date comment genre copyright make model location creation_time")
_MP4_KEYS = _words(
    "title artist album_artist composer album comment genre copyright grouping lyrics description synopsis "
    "show episode_id network keywords date creation_time track disc location compilation gapless_playback "
    "hd_video media_type season_number episode_sort tempo sort_name sort_artist sort_album sort_album_artist "
    "sort_composer sort_show"
)
_PHONES = ("3gp", "3g2")
_WITHOUT_TEXT = ("mpeg", "vob", "svcd", "dvd", "mxf")
"""Muxers that write nothing that a person would call metadata, and no dispositions."""
_CONTAINER_KEYS = {
    "mov": _MOV_KEYS,
    **dict.fromkeys(
        _PHONES, _words("title artist author album date comment genre copyright location creation_time")
    ),
    "avi": _words("title artist album date comment genre copyright language track encoded_by timecode"),
    "mpegts": frozenset({"service_name", "service_provider", "title"}),
    **dict.fromkeys(_WITHOUT_TEXT, frozenset()),
    "mxf": _words("creation_time company_name product_name product_version"),
}
# Of ISO 639's codes of three letters QuickTime has numbers for these; FFmpeg's muxer writes others as none.
_MOV_LANGUAGES = _words(
    "alb amh ara arm asm aym aze baq bel ben bul bur cat ces chi dan dut dzo eng epo est fin fra geo "
    "ger gre grn guj heb hin hun ice ind iri ita jav jpn kan kas kaz khm kin kir kor kur lao lat lav "
    "lit mac mal mar may mlg mlt mol mon nep nor nya ori orm per pol por pus que ron run rus san sin "
    "slk slv smi snd som spa sve swa tam tat tel tgk tgl tha tib tir tuk tur uig ukr urd uzb vie wel "
    "yid und"
)
# What is true of the container's metadata, for tracks.
_TITLED = ("mp4", "mov")
_TRACK_KEYS = {
    "avi": frozenset({"title"}),
    "mpegts": frozenset({"language"}),
    "flv": frozenset(),
    "asf": frozenset({"language"}),
    **dict.fromkeys(_WITHOUT_TEXT, frozenset()),
    **dict.fromkeys(MOV_FAMILY, frozenset({"language"})),
    **dict.fromkeys(_TITLED, _words("title language")),
}
_NO_TIMECODE = ("avi", "mpegts", "mpeg", "vob", "svcd", "dvd")
# Of the old file rather than of the track; an attached file's name and type become its stream's.
_BOOKKEEPING = _words("handler_name creation_time vendor_id filename mimetype timecode")

# Dispositions that survive; formats absent here are not known to lose any. 'default' is never missed.
_DISPOSITIONS = {
    **dict.fromkeys(MOV_FAMILY, frozenset()),
    "mp4": _words("dub comment forced hearing_impaired visual_impaired captions descriptions"),
    "matroska": _words("dub original comment forced hearing_impaired visual_impaired"),
    "webm": _words("forced captions descriptions metadata"),  # kinds of WebVTT
    "asf": frozenset(),
    "avi": frozenset(),
    "flv": frozenset(),
    "mpegts": _words("hearing_impaired visual_impaired clean_effects descriptions"),
    "nut": _words("dub original comment lyrics karaoke"),
    **dict.fromkeys(_WITHOUT_TEXT, frozenset()),
}


def holds_timecode(format_name: str) -> bool:
    """Tell whether a timecode can be kept, as a track of its own (mov, mp4) or as a tag."""
    return format_name not in _NO_TIMECODE


def takes_any_key(format_name: str) -> bool:
    """Tell whether FFmpeg's muxer writes keys of any name where it is asked to (``use_metadata_tags``)."""
    return format_name in MOV_FAMILY and format_name not in _PHONES


def missing_keys(format_name: str, metadata: dict[str, str], *, track: bool) -> list[str]:
    """Return the keys that the container's usual header has no place for."""
    if track:
        known = _TRACK_KEYS.get(format_name)
    else:
        known = _CONTAINER_KEYS.get(format_name, _MP4_KEYS if format_name in MOV_FAMILY else None)
    if known is None:
        return []
    if track:
        known |= _BOOKKEEPING
    if holds_timecode(format_name):
        known |= {"timecode"}  # see place_timecode
    lost = [k for k in metadata if k.lower() not in known and not _in_a_language(format_name, k, metadata)]
    if format_name in MOV_FAMILY:  # these hold places of ISO 6709 alone: +52.5200+013.4050/
        lost += [k for k, v in metadata.items() if k.lower() == "location" and v[:1] not in ("+", "-")]
    return lost + ["language"] * (track and _unknown(format_name, metadata.get("language", "und")))


def _in_a_language(format_name: str, key: str, metadata: dict[str, str]) -> bool:
    """Whether a key, such as ``title-fre``, tells the language of another; mov writes one of each."""
    base, _, language = key.lower().rpartition("-")
    values = [v for k, v in metadata.items() if k.lower() == base]
    return format_name in MOV_FAMILY and len(language) == 3 and values == [metadata[key]]


def _unknown(format_name: str, language: str) -> bool:
    """Whether the muxer has no code for a language."""
    if format_name == "mov":
        return language not in _MOV_LANGUAGES
    if format_name == "mpegts":
        return len(language) != 3
    if format_name == "asf":  # FFmpeg's muxer would give it that of another track
        return language != "und" and not has_two_letters(language)
    return format_name in MOV_FAMILY and not is_three_letters(language)


def missing_dispositions(format_name: str, stream: Stream) -> list[str]:
    """Return the marks of a track (forced, comment ...) that the container has no place for.

    And what it has none for in a track of this kind alone.
    """
    lost = []
    if stream.disposition & Disposition.attached_pic and format_name != "mov" and format_name in MOV_FAMILY:
        lost += ["title"] * ("title" in stream.metadata)
    if format_name == "nut" and codec_name(stream) in ("ass", "ssa"):
        lost.append("how long each line is shown")
    if format_name == "mpegts" and codec_name(stream) == "hdmv_pgs_subtitle":
        lost += ["language"] * (stream.metadata.get("language", "und") != "und")
    if (known := _DISPOSITIONS.get(format_name)) is None:
        return lost
    names = [d.name or "" for d in Disposition if d & stream.disposition]
    return lost + [n for n in names if n not in known and n not in ("default", "attached_pic")]
