"""How well and at what times an encoder works: its quality scale, its lossless mode, its time base."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

from vidcolor.errors import UsageError
from vidcolor.media.parameters import check_parameters
from vidcolor.media.traits import traits_of
from vidcolor.torchthreads import cpu_capability

_HIGHEST_CRF = {
    "libx264": 51, "libx264rgb": 51, "libx265": 51, "libvpx-vp9": 63, "libvpx": 63, "libsvtav1": 63,
    "libaom-av1": 63,
}  # fmt: skip
_DEFAULT_CRF = 18.0
LOSSLESS = frozenset(["ffv1", "huffyuv", "ffvhuff", "utvideo", "magicyuv", "rawvideo", "png", "v210"])
# Left alone, these aim at 200 kbit/s whatever the picture; a low constant quantiser stands in for crf 18.
_QUANTISERS = {
    "mpeg1video": 2, "mpeg2video": 2, "mpeg4": 2, "msmpeg4": 2, "msmpeg4v2": 2, "wmv1": 2, "wmv2": 2,
    "h263": 2, "h263p": 2, "flv": 2, "mjpeg": 2, "libxvid": 2, "libtheora": 9,
}  # fmt: skip
_LAMBDA = 118  # of one step of a quantiser (FF_QP2LAMBDA)
_STANDARD_RATES = frozenset(["mpeg1video", "mpeg2video", "dvvideo", "dnxhd"])
_MILLISECOND = Fraction(1, 1000)
_H264 = ("libx264", "h264_")


def encoder_settings(
    codec: str, *, muxer: str, crf: float | None, preset: str | None, extra: Mapping[str, str]
) -> dict[str, str]:
    """Options of the encoder: constant quality 18 unless asked otherwise, quiet, lossless at crf 0.

    Raises:
        UsageError: the encoder has no such quality scale, or it does not go so far; or its library does not
            take a parameter.
    """
    check_parameters(codec, extra)
    settings: dict[str, str] = {}
    if codec in _HIGHEST_CRF:
        if crf is not None and crf > _HIGHEST_CRF[codec]:
            raise UsageError(f"--crf {crf:g}: {codec} takes 0 to {_HIGHEST_CRF[codec]}")
        settings |= _quality(codec, _DEFAULT_CRF if crf is None else crf)
    elif crf is not None and not (crf == 0 and codec in LOSSLESS):
        raise UsageError(f"--crf: {codec} has no such scale; set its own with --encoder-option")
    if codec.startswith("libx264") and cpu_capability() == "AVX512":
        settings["x264-params"] = "asm=avx2"  # its AVX-512 code reads memory that nobody wrote: runs differ
    if codec.startswith("libvpx"):
        settings |= {"row-mt": "1", "cpu-used": "2"}
    if codec == "libx265":
        # info: a header that names processors, by which parts made on two machines would not fit together
        settings["a53cc"] = "1"  # closed captions, as x264 writes them unasked
        settings["x265-params"] = ":".join(
            filter(None, ("log-level=error:info=0", settings.get("x265-params")))
        )
    if codec in _QUANTISERS:
        settings |= {"flags": "+qscale", "global_quality": str(_QUANTISERS[codec] * _LAMBDA)}
    if codec.startswith(_H264):
        settings |= _h264_limits(muxer, extra)
    if codec in ("png", "apng"):
        settings["compression_level"] = "3"  # a third of the time of its usual 6 for a seventh more bytes
    if codec == "libwebp":
        settings["quality"] = "90"
    if codec == "ffv1":
        settings |= {"level": "3", "slicecrc": "1"}
    if preset is not None:
        settings["preset"] = preset
    for key, value in extra.items():
        if key in settings and key.endswith("-params"):
            value = f"{settings[key]}:{value}"
        elif key in settings and key == "flags":  # without its own the quantiser would not hold
            value = settings[key] + (value if value[:1] in ("+", "-") else f"+{value}")
        settings[key] = value
    return settings


def _h264_limits(muxer: str, extra: Mapping[str, str]) -> dict[str, str]:
    """What H.264 must be like in some containers.

    Raises:
        UsageError: ``extra`` asks for what would fail at the very end, or give frames wrong times.
    """
    settings: dict[str, str] = {}
    traits = traits_of(muxer)
    given = _with_nested(extra)
    if not traits.reordered:
        settings["bf"] = "0"
        for name, value in given.items():
            if name in ("bf", "bframes") and value != "0":
                fault = f"frames have wrong times with it in {muxer}"
                raise UsageError(f"--encoder-option {name}={value}: {fault}")
    if traits.longest_gop:  # beyond it it fails, at the very end
        settings["g"] = "100"
        for name, value in given.items():
            most = 2 * traits.longest_gop if value == "infinite" else _whole(value)
            if name in ("g", "keyint") and not 0 <= most <= traits.longest_gop:
                fault = f"{muxer} needs a key frame at least every {traits.longest_gop} frames"
                raise UsageError(f"--encoder-option {name}={value}: {fault}")
    return settings


def _with_nested(extra: Mapping[str, str]) -> dict[str, str]:
    """The options, and x264's own that are nested in two of them."""
    nested = ":".join(extra.get(name, "") for name in ("x264-params", "x264opts"))
    pairs = (part.partition("=") for part in re.split("[:,]", nested) if part)
    return {**extra, **{name: value for name, _, value in pairs}}


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # the encoder says what is wrong with it
        return 0


def _quality(codec: str, crf: float) -> dict[str, str]:
    if crf > 0:
        return {"crf": f"{crf:g}"}
    if codec.startswith("libx264"):
        return {"qp": "0"}  # crf 0 is lossy above 8 bits
    if codec == "libx265":
        return {"x265-params": "lossless=1"}
    if codec == "libsvtav1":
        return {"crf": "0", "svtav1-params": "lossless=1"}
    return {"lossless": "1", "crf": "0"}


def encoder_time_base(muxer: str, codec: str, base: Fraction, rate: Fraction, *, steady: bool) -> Fraction:
    """The time base to encode in: the source's, except where codec or container count frames.

    Args:
        base: of the source.
        rate: frames a second of the source.
        steady: whether all its frames last equally long, as far as the source says.
    """
    traits = traits_of(muxer)
    if codec in _STANDARD_RATES or traits.one_rate:
        return 1 / rate
    if traits.numbered or codec in _QUANTISERS.keys() - {"mjpeg"}:
        return 1 / rate if steady and not traits.milliseconds else _MILLISECOND
    return max(base, traits.tick)
