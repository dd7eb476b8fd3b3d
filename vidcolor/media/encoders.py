"""Which muxer, encoder and pixel format a target gets, and with what settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
from av.container import OutputContainer

from vidcolor.errors import UsageError
from vidcolor.media.opening import NUMBER
from vidcolor.media.pixels import depth_of, is_rgb, planar_name
from vidcolor.media.readback import check_cineform, check_raw
from vidcolor.media.traits import MUXERS, traits_of

_MANY_FILES = (
    "hls", "dash", "hds", "smoothstreaming", "segment", "stream_segment", "ssegment", "tee", "fifo",
    "webm_chunk", "webm_dash_manifest", "rtp", "rtsp", "sap", "whip", "rtp_mpegts",
)  # fmt: skip
_IMAGE_ENCODERS = {
    "png": "png", "jpg": "mjpeg", "jpeg": "mjpeg", "tif": "tiff", "tiff": "tiff", "bmp": "bmp",
    "webp": "libwebp",
}  # fmt: skip
_EVEN_CHROMA = frozenset(["libx264", "libx265", "h264_nvenc", "hevc_nvenc"])
_EVEN_FIELDS = frozenset(["libx264", "h264_nvenc"])
_LISTED_AS = {"flv1": "flv", "msmpeg4v3": "msmpeg4"}  # canonical names, and those of muxers' lists
_ALIASES = {"h264": "libx264", "x264": "libx264", "h265": "libx265", "hevc": "libx265", "x265": "libx265",
            "vp9": "libvpx-vp9", "av1": "libsvtav1", "prores": "prores_ks"}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class EncoderPlan:
    """How the picture is going to be encoded.

    Attributes:
        codec: FFmpeg's name of the encoder.
        native: planar Y'CbCr format in which luma and chroma are put together.
        pix_fmt: what the encoder is given; other than ``native`` only where that was asked for, where
            the encoder holds RGB alone, or in pictures, which readers take for RGB or JFIF.
        subsampling: of ``native``.
        upright: whether the picture is turned upright, because its file cannot say that it is not.
        notes: lines that the user should see.
    """

    codec: str
    native: str
    pix_fmt: str
    subsampling: str
    upright: bool = False
    notes: tuple[str, ...] = ()

    @property
    def is_jfif(self) -> bool:
        """Whether readers take the picture for full-range BT.601 whatever its tags say."""
        return self.codec == "mjpeg"


@dataclass(frozen=True, kw_only=True)
class PictureFormat:
    """What an encoder is chosen for.

    Attributes:
        depth: bits a sample, of the source.
        subsampling: ``420``, ``422`` or ``444``.
        size: width and height, pixels.
        interlaced: whether it is encoded as fields.
        turned: whether a display matrix goes with the picture.
        exif: whether EXIF goes with the picture, in which a turn can be written, too.
    """

    depth: int
    subsampling: str
    size: tuple[int, int]
    interlaced: bool = False
    turned: bool = False
    exif: bool = False


def muxer_for(target: str, asked: str | None) -> str:
    """FFmpeg's muxer for a target's name.

    Raises:
        UsageError: unknown, with the choices.
    """
    suffix = Path(target).suffix.lower().lstrip(".")
    if (asked or suffix).lower() == "webp" and NUMBER.search(Path(target).name):
        return "image2"  # a picture for each frame; WebP's own muxer makes one file, an animation
    if asked is not None:
        name = MUXERS.get(asked.lower(), asked.lower())  # FFmpeg takes capitals, too
        if name in _MANY_FILES:
            raise UsageError(f"--format {asked}: writes more than the one file that was named")
        if name == "ismv":
            raise UsageError("--format ismv: has every track begin at zero, out of step; use mp4")
        try:
            if av.ContainerFormat(name, "w").is_output:
                return name
        except ValueError as error:
            raise UsageError(f"--format {asked}: FFmpeg has no such muxer") from error
    if target == "-":
        return "matroska"
    if suffix not in MUXERS:
        fault = f".{suffix} names no container" if suffix else "without a suffix it names no container"
        raise UsageError(f"{target}: {fault}; use mp4, mov, mkv, webm…, png or jpg for pictures, or --format")
    return MUXERS[suffix]


def suffix_for(asked: str) -> str | None:
    """The suffix that goes with a container that was asked for by name; None where none is known."""
    known = [asked.lower()] if asked.lower() in MUXERS else traits_of(asked.lower()).suffixes
    return f".{known[0]}" if known else None


def plan_encoder(
    output: OutputContainer,
    muxer: str,
    target: str,
    picture: PictureFormat,
    *,
    codec: str | None,
    pix_fmt: str | None,
) -> EncoderPlan:
    """Choose encoder and pixel format.

    Args:
        output: of that muxer, to ask what it holds.
        target: name of the film, whose suffix tells one kind of picture from another.
        codec: as asked for; None: the usual one of the container for that depth.
        pix_fmt: as asked for; None: the source's depth and subsampling, as far as the encoder has them.

    Raises:
        UsageError: unknown encoder, one that the container or the depth refuses, an unknown format.
    """
    traits, depth, size, interlaced = traits_of(muxer), picture.depth, picture.size, picture.interlaced
    subsampling = picture.subsampling
    wanted = depth if pix_fmt is None else _depth_of_name(pix_fmt)
    name = _known(codec or _default_codec(output, muxer, target, wanted), asked=codec is not None)
    encoder = av.Codec(name, "w")
    _check_container(output, muxer, name, encoder.canonical_name)
    _check_picture(muxer, target, name)
    if muxer == "mov" and name == "rawvideo" and pix_fmt != "uyvy422":
        raise UsageError("--codec rawvideo: mov holds raw pictures as --pix-fmt uyvy422 alone")
    if interlaced and size[1] % 2 and name in _EVEN_FIELDS:
        raise UsageError(f"{name} takes no fields of {size[1]} lines: --codec ffv1 does, or --deinterlace")
    notes = []
    states_turn = name == "tiff" or (name == "png" and picture.exif)
    upright = picture.turned and not states_turn and traits.upright
    if upright or (traits.is_image and name != "mjpeg"):
        subsampling = "444"  # turns every way, and becomes RGB without harm to luma
    fitting = _fitting_subsampling(name, subsampling, size, interlaced)
    if fitting != subsampling:
        shape = f"{size[0]}×{size[1]}{' in fields' if interlaced else ''}"
        notes.append(f"{shape}: {name} cannot subsample chroma of that size: writing {_ratio(fitting)}")
        subsampling = fitting
    offered = [f.name for f in encoder.video_formats or []]
    if name == "libvpx-vp9":
        offered = [f for f in offered if "p1" not in f]
    if pix_fmt is None and not traits.is_image:
        finer = _offered_subsampling(subsampling, depth, offered)
        if finer != subsampling:
            notes.append(f"{name} has no {_ratio(subsampling)}: writing {_ratio(finer)}")
            subsampling = finer
    native = planar_name(depth, subsampling)
    if pix_fmt is not None:
        _check_format(pix_fmt, name, offered, native)
        chosen = pix_fmt
    elif name == "mjpeg":
        chosen = f"yuvj{subsampling}p"
    elif not traits.is_image and (not offered or native in offered):
        chosen = native
    else:
        chosen = _rgb_format(name, native, depth, offered)
    if name == "rawvideo":
        check_raw(muxer, chosen)
    if name == "cfhd":
        check_cineform(size, chosen)
    kept = av.VideoFormat(chosen).components[0].bits
    if pix_fmt is None and kept < depth:
        notes.append(f"{name} holds {kept} bits of the source's {depth}")
    return EncoderPlan(
        codec=name,
        native=native,
        pix_fmt=chosen,
        subsampling=subsampling,
        upright=upright,
        notes=tuple(notes),
    )


def _fitting_subsampling(codec: str, subsampling: str, size: tuple[int, int], interlaced: bool) -> str:
    """The subsampling nearest to the wanted one that these encoders take at this size."""
    if codec not in _EVEN_CHROMA or subsampling == "444":
        return subsampling
    if size[0] % 2 or (size[1] % 2 and (subsampling == "420" or interlaced)):
        return "444"
    return "422" if interlaced and subsampling == "420" and size[1] % 4 else subsampling


def _offered_subsampling(subsampling: str, depth: int, offered: list[str]) -> str:
    """The subsampling, or the next finer one where it is not offered: in RGB luma is rounded."""
    finer = [s for s in ("420", "422", "444") if s >= subsampling and planar_name(depth, s) in offered]
    return finer[0] if finer else subsampling


def _ratio(subsampling: str) -> str:
    return ":".join(subsampling)


def _known(codec: str, asked: bool) -> str:
    name = _ALIASES.get(codec, codec)
    try:
        encoder = av.Codec(name, "w")
    except (av.FFmpegError, ValueError) as error:
        if not asked:
            raise UsageError(
                f"FFmpeg has no encoder for {codec}, the container's usual codec; name another with --codec, "
                "or another container: mkv holds nearly everything"
            ) from error
        raise UsageError(f"--codec {codec}: FFmpeg has no such encoder") from error
    if encoder.type != "video":
        raise UsageError(f"--codec {codec}: encodes {encoder.type}, not video")
    return name


def _default_codec(output: OutputContainer, muxer: str, target: str, depth: int) -> str:
    traits = traits_of(muxer)
    if traits.is_image:
        usual = "libwebp" if muxer == "webp" else "png"
        return _IMAGE_ENCODERS.get(Path(target).suffix.lower().lstrip("."), usual)
    by_depth = traits.encoders or {0: output.default_video_codec}
    if known := by_depth.get(depth, by_depth.get(0)):
        return known
    if muxer == "webm":
        raise UsageError(
            f"webm holds at most 10 bits and the source has {depth}: use mkv, or --pix-fmt yuv420p"
        )
    raise UsageError(
        f"the source has {depth} bits, which no encoder for {muxer} keeps: "
        "use mkv (FFV1), or fewer bits with --pix-fmt yuv420p10le"
    )


def _check_container(output: OutputContainer, muxer: str, name: str, canonical: str) -> None:
    # muxers without a list of codecs (raw ones) say nothing; those with one are believed
    traits = traits_of(muxer)
    held = (output.supported_codecs if traits.codecs is None else traits.codecs) - traits.refused
    if held and not traits.is_image and _LISTED_AS.get(canonical, canonical) not in held:
        advice = "mkv can hold nearly everything (in a folder of films: --format mkv)"
        if muxer == "matroska":
            advice = "avi and mov hold most such codecs, and ffv1 is lossless in mkv"
        raise UsageError(f"--codec {name}: {muxer} cannot hold {canonical}; {advice}")


def _check_picture(muxer: str, target: str, name: str) -> None:
    """Pictures are what their suffix says."""
    suffix = Path(target).suffix.lower().lstrip(".")
    usual = _IMAGE_ENCODERS.get(suffix)
    fits = usual is None or (name.startswith(usual) and (name, muxer) != ("libwebp_anim", "image2"))
    if traits_of(muxer).is_image and not fits:
        raise UsageError(f"--codec {name}: pictures called .{suffix} hold {usual}")


def _depth_of_name(pix_fmt: str) -> int:
    try:
        named = av.VideoFormat(pix_fmt)
    except ValueError as error:
        raise UsageError(f"--pix-fmt {pix_fmt}: FFmpeg has no such pixel format") from error
    if len(named.components) < 3 and not is_rgb(named):
        raise UsageError(f"--pix-fmt {pix_fmt}: has no place for colours")
    return depth_of(named)


def _check_format(pix_fmt: str, codec: str, offered: list[str], native: str) -> None:
    if offered and pix_fmt not in offered:
        raise UsageError(f"--pix-fmt {pix_fmt}: {codec} takes {', '.join(offered)}")
    try:
        av.VideoFrame(16, 16, native).reformat(format=pix_fmt)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UsageError(f"--pix-fmt {pix_fmt}: FFmpeg does not make it of {native}") from error


def _rgb_format(codec: str, native: str, depth: int, offered: list[str]) -> str:
    """RGB for encoders that hold nothing else (PNG…); others refuse rather than lose depth unasked."""
    choices = [f for f in ("rgb48be", "rgb48le") if depth > 8] + ["rgb24", "bgr24", "bgra", "rgb8"]
    for choice in choices:
        if choice in offered:
            return choice
    formats = ", ".join(f for f in offered if not f.startswith("yuva"))
    raise UsageError(
        f"{codec} cannot hold {native}; choose with --pix-fmt from {formats}, or another --codec"
    )
