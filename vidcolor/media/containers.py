"""What an output container can hold, found by asking its muxer.

A muxer's list of codecs is a first guess only: some muxers accept anything and write a track that no
reader understands, others refuse late, with the header. So a track is tried in a throw-away file in
memory, and what the few muxers that accept too much make of it is in the table of traits.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.container import OutputContainer

from vidcolor.media.layouts import channels_of, layout_of
from vidcolor.media.traits import traits_of

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream

# Sound whose demuxer states sizes of blocks that a muxer must not be told, and the encoder that states none.
_UNBLOCKED = {"avi": {"ac3": "ac3", "mp3": "libmp3lame"}, "nut": {"mp2": "mp2", "mp3": "libmp3lame"}}
_NOMINAL = 128_000  # bits a second, in place of the source's: see _add_unblocked
_SIZED = ("avi", "asf")  # containers that state a size of blocks also where packets have none
# What the header of H.264 and HEVC begins with where lengths stand before the units: not what AVI takes.
_LENGTHS_FIRST = b"\x01"
_BLU_RAY_SOUND = ("ac3", "eac3", "dts", "truehd")
ALPHA_MODE = "alpha_mode"
"""A track's metadata in Matroska: 1 where pictures have an alpha channel, coded beside them."""
_STALE = re.compile(
    r"(encoder|major_brand|minor_version|compatible_brands|rotate|_statistics_.*"
    r"|(bps|duration|number_of_frames|number_of_bytes)(-\w+)?"
    r"|((generation|product)_)?uid|(material|file)_package_umid|operational_pattern_ul"  # of MXF
    r"|(product|toolkit)_version_num|application_platform)$",
    re.IGNORECASE,
)


def label(format_name: str, suffix: str = "") -> str:
    """Return the short name by which people know a container format, in a file with this suffix."""
    if makes_blu_ray(format_name, suffix):
        return "m2ts"
    return traits_of(format_name).label or format_name


def codec_name(stream: Stream) -> str:
    """Return the canonical name of a stream's codec, or 'unknown'."""
    if stream.codec_context is not None:
        return str(stream.codec_context.codec.canonical_name)
    # without a decoder PyAV's streams of sound have not even the attribute
    return getattr(stream, "name", None) or "unknown"


def describe(stream: Stream) -> str:
    """Return the words by which messages name a track, e.g. ``audio track #1 (vorbis, eng)``."""
    language = stream.metadata.get("language")
    details = codec_name(stream) if language in (None, "und") else f"{codec_name(stream)}, {language}"
    return f"{stream.type} track #{stream.index} ({details})"


def holds_picture_only(output: OutputContainer) -> bool:
    """Tell whether a format (y4m, images, raw video) has no place for anything beside one picture track."""
    return output.default_audio_codec == "none" and output.format.name not in ("nut", "null")


def takes(format_name: str, add: Callable[[OutputContainer], object], movflags: str | None = None) -> bool:
    """Tell whether a muxer writes its header and trailer with what ``add`` puts into it."""
    options = {"movflags": movflags} if movflags else {}
    picture_first = traits_of(format_name).picture_first
    begun = False
    try:
        with av.open(io.BytesIO(), "w", format=format_name, container_options=options) as trial:
            if picture_first:
                trial.add_stream("mpeg2video", rate=25, width=720, height=576, pix_fmt="yuv420p")
            add(trial)
            trial.start_encoding()
            begun = True
    except (av.FFmpegError, ValueError):
        return begun and picture_first  # which do not end either without a picture
    return True


def add_copy(output: OutputContainer, template: Stream) -> Stream:
    """Add a stream for the unchanged packets of ``template``. ValueError where the muxer refuses it."""
    encoder = _UNBLOCKED.get(output.format.name, {}).get(codec_name(template))
    if encoder is not None and isinstance(template, AudioStream):
        return _add_unblocked(output, template, encoder)
    stream = output.add_stream_from_template(template, opaque=True)
    context = stream.codec_context
    if isinstance(context, AudioCodecContext) and layout_of(context).name.endswith("channels"):
        # Headers of PCM in mp4 need a named layout; files of PCM often state only a count.
        context.layout = {1: "mono", 2: "stereo"}.get(channels_of(context), layout_of(context).name)
    return stream


def _add_unblocked(output: OutputContainer, template: AudioStream, encoder: str) -> Stream:
    """Add a stream for such packets without their source's block size, by which AVI would count time.

    FFmpeg's muxer of nut makes a table of packets' sizes by it, or by the bits a second. Where that comes on
    the greater of the two sizes that MPEG's sound has at 44.1 kHz, the table that it writes is not the one by
    which it goes on, and nearly all packets are lost; a nominal rate comes on the lesser.
    """
    stream = output.add_stream(encoder, rate=template.sample_rate)
    assert isinstance(stream, AudioStream)
    stream.layout = layout_of(template.codec_context).name
    nominal = _NOMINAL if output.format.name == "nut" else template.bit_rate
    stream.bit_rate = nominal or stream.bit_rate
    stream.time_base = Fraction(1, template.sample_rate)
    return stream


def may_hold(format_name: str, name: str) -> bool:
    """Tell whether players understand the codec of that canonical name in this container."""
    traits = traits_of(format_name)
    return name not in traits.never and (traits.only is None or name in traits.only)


def holds_covers(output: OutputContainer) -> bool:
    """Whether a cover has a place beside the tracks; in fragments it would become one of them."""
    flags = {**output.options, **output.container_options}.get("movflags", "")
    return bool(traits_of(output.format.name).covers) and "empty_moov" not in flags


def makes_blu_ray(format_name: str, suffix: str) -> bool:
    """Tell whether the muxer makes the TS of a Blu-ray, as FFmpeg's does in files with the suffix .m2ts."""
    return format_name == "mpegts" and suffix.lower() == ".m2ts"


def can_copy(format_name: str, template: Stream, suffix: str = "") -> bool:
    """Tell whether a track that is not coloured, ``template``, can go into the container as it is.

    In files with the suffix .m2ts FFmpeg's TS has places for one picture, and for a Blu-ray's sound and
    subtitles, of which it says in these alone what they are; other sound it would write as private data.
    """
    name, blu_ray = codec_name(template), makes_blu_ray(format_name, suffix)
    if template.type == "audio":
        fits = name in _BLU_RAY_SOUND or not blu_ray
    else:
        fits = format_name != "mpegts" or (name == "hdmv_pgs_subtitle") == blu_ray
    if not (fits and may_hold(format_name, name)):
        return False
    header = getattr(template.codec_context, "extradata", None) or b""
    if format_name == "avi" and name in ("h264", "hevc") and header[:1] == _LENGTHS_FIRST:
        return False
    if format_name == "avi" and name == "aac" and template.container.format.name in _SIZED:
        return False  # AVI would count time by the size of blocks that these state
    # Only a header with the sample description in it shows whether this PCM can be described.
    early = "empty_moov" if traits_of(format_name).is_mov and name.startswith("pcm_") else None
    return takes(format_name, lambda trial: add_copy(trial, template), early)


def names_data(format_name: str, stream: Stream, source: InputContainer) -> bool:
    """Tell whether readers of a container learn what a track of data in it is; mov tells it of mov's own."""
    known = traits_of(format_name).data
    return stream.name is not None and (known == "any" or (known == "mov" and "mov" in source.format.name))


def lacks_header(source: InputContainer, stream: AudioStream, target: str) -> bool:
    """Tell whether AAC has lost what stands outside its packets in these containers; nothing plays it.

    In FLV most players guess it; muxers that have to write it fail, at the first packet.
    """
    known = source.format.name
    apart = any(name in known for name in ("mov", "matroska")) or (
        known == "flv" and (traits_of(target).is_matroska or target == "mpegts")
    )
    return apart and codec_name(stream) == "aac" and not stream.codec_context.extradata


def live_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """Return metadata without what describes the old file or its encoding and is wrong for a new one."""
    kept = {k: v for k, v in metadata.items() if not _STALE.match(k) and v != "[0][0][0][0]"}
    if "name" in kept:  # the demuxer of mov and mp4 calls a track's title so; the muxer wants 'title'
        kept.setdefault("title", kept.pop("name"))
    return kept


def track_metadata(format_name: str, track: Stream, coloured: Stream) -> dict[str, str]:
    """Return a track's :func:`live_metadata`, its language by the code that the container knows it by.

    Args:
        coloured: the track whose picture is coloured, without an alpha channel.
    """
    kept = live_metadata(track.metadata)
    if track.index == coloured.index:
        kept = {k: v for k, v in kept.items() if k.lower() != ALPHA_MODE}
    if "language" in kept:
        kept["language"] = traits_of(format_name).to_language(kept["language"])
    return kept
