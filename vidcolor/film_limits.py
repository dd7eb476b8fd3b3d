"""What a target cannot hold of its film: the lines that say so before it is made."""

from __future__ import annotations

import logging
import warnings
from contextlib import suppress
from fractions import Fraction

import av
from av.container import InputContainer
from av.video.stream import VideoStream
from PIL.TiffImagePlugin import TiffImageFile

from vidcolor.frames import Frame, Orientation
from vidcolor.media.containers import ALPHA_MODE, label
from vidcolor.media.encoders import EncoderPlan
from vidcolor.media.hdr import further_metadata, loses_hdr
from vidcolor.media.pixels import is_rgb, is_transparent, usual_matrix
from vidcolor.media.quality import LOSSLESS
from vidcolor.media.sidedata import RGB, profile_of, tells_by_exif
from vidcolor.media.streams import sane_rate
from vidcolor.media.traits import traits_of
from vidcolor.media.unmarked import hidden_edges, unmarked_space
from vidcolor.options import Options
from vidcolor.reading import Reading
from vidcolor.result import clock
from vidcolor.stages.reencode import UNWOVEN
from vidcolor.target import Target

log = logging.getLogger(__name__)

_STATE_THEIR_ASPECT = frozenset([
    "libx264", "libx264rgb", "libx265", "h264_nvenc", "hevc_nvenc", "mpeg4", "mpeg2video", "h263p", "mjpeg",
    "png", "apng", "ffv1", "dvvideo",
])  # fmt: skip
_STATE_RANGE_AND_MATRIX = frozenset(
    ["libx264", "libx264rgb", "libx265", "h264_nvenc", "hevc_nvenc", "libvpx-vp9", "libsvtav1", "libaom-av1"]
)
_STATE_MATRIX = _STATE_RANGE_AND_MATRIX | {"mpeg2video", "prores", "prores_aw", "prores_ks"}
_ALWAYS_LIMITED = frozenset(["mpeg2video", "prores", "prores_aw", "prores_ks"])
_PROGRESSIVE_ONLY = UNWOVEN | {"libvpx-vp9", "libvpx", "libsvtav1", "libaom-av1", "libx265"}
_STATE_FIELDS = _ALWAYS_LIMITED | {"libx264", "h264_nvenc", "mpeg4", "libxvid", "ffv1", "dnxhd", "dvvideo"}
_SCANS = ("dpx", "exr")
_RATES_DIFFER = 1e-4
_LATE = 60
"""Seconds of nothing before a film that nobody takes for meant."""
_MASTERS = frozenset([
    "prores", "dnxhd", "cfhd", "jpeg2000", "ffv1", "huffyuv", "ffvhuff", "utvideo", "magicyuv", "v210",
    "v410",
])  # fmt: skip
_MPEG2_SHAPES = (Fraction(4, 3), Fraction(16, 9), Fraction(221, 100))
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}


def lines_of(
    reading: Reading, first: Frame, target: Target, options: Options, plan: EncoderPlan
) -> list[str]:
    """What the owner of a film should know before it is made, a line each."""
    source, stream, muxer, codec = reading.container, reading.stream, target.muxer, plan.codec
    found = _inexpressible(first, target, plan) + _loses_detail(stream, options, muxer, codec)
    found += (
        _lost_alpha(first, stream)
        + _lost_pages(source)
        + untold_order(first, stream)
        + _scanners_notes(stream, first, options)
    )
    found += [] if traits_of(muxer).numbered else _late_beginning(first, options)
    return found + unmarked_space(stream, first.video, muxer, codec) + hidden_edges(stream)


def _inexpressible(first: Frame, target: Target, plan: EncoderPlan) -> list[str]:
    """A line for each thing of the picture that the target cannot express."""
    codec, muxer, traits = plan.codec, target.muxer, traits_of(target.muxer)
    found = _signal_left_out(first, muxer, plan)
    lies = first.orientation != Orientation() and not traits.is_image and not plan.upright
    if lies and not traits.turn:
        found.append(f"{label(muxer)} cannot say that the picture is turned: it lies as it is stored")
    transfer = _HDR_TRANSFERS.get(int(first.video.color_trc))
    if transfer is not None:
        kept = "its metadata is kept, but"
        if loses_hdr(first.video, codec):
            kept = f"mastering display and light levels have no place in {codec}, and"
        found.append(f"the source is {transfer} (HDR): {kept} colours are worked out as for SDR")
    if further := further_metadata(first.video):
        found.append(f"the source's further HDR metadata ({further}) is left out: {codec} is not given it")
    shown = first.luma.shape[1] * first.aspect / first.luma.shape[0]
    if codec == "mpeg2video" and first.aspect != 1 and min(abs(shown / r - 1) for r in _MPEG2_SHAPES) > 0.01:
        found.append(f"mpeg2video knows pictures of 4:3, 16:9 and 2.21:1 only, not of {float(shown):.3g}:1")
    held = traits.aspect or (muxer == "yuv4mpegpipe" and not target.seekable)  # see headers
    if first.aspect != 1 and not held and codec not in _STATE_THEIR_ASPECT:
        shape = f"{first.aspect.numerator}:{first.aspect.denominator}"
        where = f"{codec} in {label(muxer)}"
        found.append(f"{where} does not get the pixels' aspect ratio, {shape}, written; H.264 does")
    told = traits.fields or codec.removesuffix("rgb") in _STATE_FIELDS
    woven = traits.fields is False or codec in _PROGRESSIVE_ONLY or not (told or traits.is_image)
    if first.fields == 2 and woven:
        found.append(f"{codec} has no place for interlacing: the fields stay woven, but are not marked")
    if muxer == "mxf" and codec == "libx264" and first.bottom_first:
        found.append("mxf says of H.264 that the upper field comes first: its frames alone tell the truth")
    if plan.is_jfif and not traits.is_image and not (first.signal.full_range or is_rgb(first.video.format)):
        found.append(f"{codec} holds full range alone: luma is stretched to it; --codec ffv1 keeps it")
    if is_rgb(av.VideoFormat(plan.pix_fmt)) and not traits.is_image and not is_rgb(first.video.format):
        found.append(f"{codec} holds R'G'B' alone: luma comes back from it rounded; --codec ffv1 keeps it")
    if traits.is_image:
        holds = {"png": ("EXIF", "colour profile"), "mjpeg": ("colour profile",)}.get(codec, ())
        profile = profile_of(first.video)
        came = {"EXIF": tells_by_exif(first.video), "colour profile": profile == RGB}
        lost = [name for name, there in came.items() if there and (plan.upright or name not in holds)]
        found += [f"the picture's {name} is left out: png keeps it" for name in lost]
        if profile not in (None, RGB):
            found.append(f"the picture's colour profile is left out: it is for {profile} alone")
    return found


def _signal_left_out(first: Frame, muxer: str, plan: EncoderPlan) -> list[str]:
    """Lines on range and matrix: players guess what neither the codec nor the container tells them."""
    codec, signal = plan.codec, first.signal
    if is_rgb(av.VideoFormat(plan.pix_fmt)) or plan.is_jfif:
        return []
    found = []
    told = codec in _STATE_RANGE_AND_MATRIX or (traits_of(muxer).range and codec not in _ALWAYS_LIMITED)
    if signal.full_range and not told:
        found.append(
            f"{codec} in {label(muxer)} cannot say that luma has its full range: players will show it with "
            f"too much contrast; H.264 says so{', and mkv does' * (codec not in _ALWAYS_LIMITED)}"
        )
    usual = usual_matrix(first.luma.shape[0])
    differs = (signal.matrix.kr, signal.matrix.kb) != (usual.kr, usual.kb)
    if differs and codec not in _STATE_MATRIX and not traits_of(muxer).matrix:
        found.append(
            f"{codec} in {label(muxer)} has no place for the matrix ({signal.matrix.name}): players take "
            f"{usual.name}, and show colours that are a little off"
        )
    return found


def _lost_alpha(first: Frame, stream: VideoStream) -> list[str]:
    """A line where pictures are transparent, and what is hidden so will show."""
    told = {key.lower(): value for key, value in stream.metadata.items()}.get(ALPHA_MODE) == "1"
    if told or is_transparent(first.video):
        return ["the alpha channel is left out: what is transparent shows as it is stored"]
    return []


def _loses_detail(stream: VideoStream, options: Options, muxer: str, codec: str) -> list[str]:
    """A line where a source of the kind that archives keep becomes a film that is only good to look at."""
    name = stream.codec_context.name
    chosen = options.crf is not None or options.codec is not None or options.encoder_options
    if name not in _MASTERS or codec in LOSSLESS or chosen or traits_of(muxer).is_image:
        return []
    return [
        f"the source ({name}) is of the kind that archives keep: {codec} at its usual "
        "quality is smaller and holds less detail; --crf 0, or --codec ffv1 in mkv, keeps the luma as it is"
    ]


def _scanners_notes(stream: VideoStream, first: Frame, options: Options) -> list[str]:
    """Lines for what scans (DPX, EXR) say of their film that is not kept: its rate, and a timecode."""
    found = []
    rate, marked = sane_rate(stream), stream.codec_context.framerate
    scanned = stream.codec_context.name in _SCANS
    if scanned and options.framerate is None and marked and abs(marked / rate - 1) > _RATES_DIFFER:
        found.append(
            f"the pictures are marked with {float(marked):.6g} frames a second and shown at "
            f"{float(rate):.6g}: --framerate {marked} keeps theirs"
        )
    with suppress(UnicodeDecodeError):  # PyAV reads all texts, those of EXIF in any letters, too
        timecode = getattr(first.video, "metadata", {}).get("timecode") if scanned else None
        found += [f"the pictures' timecode, {timecode} in the first, is left out"] if timecode else []
    return found


def _late_beginning(first: Frame, options: Options) -> list[str]:
    """A line for a film that begins as late as a broadcast's clock: nothing is shown for that long."""
    if options.start is not None or first.seconds <= _LATE:
        return []
    at = clock(float(first.seconds))
    return [f"the film begins at {at} on its clock, as its source does: --start 0 has it begin at once"]


def untold_order(first: Frame, stream: VideoStream) -> list[str]:
    """A line where fields come in an order that PyAV 17, the last for Python 3.10, does not tell."""
    if first.fields == 1 or hasattr(stream.codec_context, "field_order"):
        return []
    return ["which field comes first is known with Python 3.11 or newer alone: taken to be the upper one"]


def _lost_pages(source: InputContainer) -> list[str]:
    """A line where a TIFF has more pages than the first, which alone is decoded."""
    if source.format.name != "tiff_pipe":
        return []
    try:
        # not Image.open, which warns of large scans and refuses larger ones
        with open(source.name.removeprefix("file:"), "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pages = TiffImageFile(file).n_frames
    except Exception as error:  # whatever Pillow stumbles over, the first page was decoded
        log.debug("%s: its pages cannot be counted: %r", source.name, error)
        return []
    return [f"the TIFF has {pages} pages: only the first is coloured"] if pages > 1 else []
