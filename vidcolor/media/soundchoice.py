"""Which encoder a sound track gets where its packets cannot be copied."""

from __future__ import annotations

import re

from av.audio.stream import AudioStream
from av.codec import Codec
from av.codec.codec import UnknownCodecError
from av.container import OutputContainer

from vidcolor.errors import UsageError
from vidcolor.media.containers import label, makes_blu_ray, may_hold, takes
from vidcolor.media.layouts import channels_of, layout_of
from vidcolor.media.traits import traits_of

_ENCODERS = {"opus": "libopus", "vorbis": "libopus", "mp3": "libmp3lame"}
_LOSSLESS = re.compile(r"pcm_|adpcm_|s302m|flac|alac|mlp|truehd|wavpack|tta$|ape$|shorten|tak$|mp4als|gsm")
"""Sound that a lossless encoder keeps as it is decoded: so is that of telephones, which is small anyway."""
_24_BITS = re.compile(r"pcm_[su]24|pcm_dvd|pcm_bluray|s302m|mlp|truehd|tta$|tak$|ape$")
"""What decodes to 32 bits a sample of which 24 are used, as FLAC and ALAC can."""
_PCM = {"u8": "pcm_u8", "s16": "pcm_s16le", "s32": "pcm_s32le", "flt": "pcm_f32le", "dbl": "pcm_f64le"}
_USUAL_LAYOUTS = ("3.0", "5.0", "5.1", "5.0(side)", "5.1(side)")
"""Channel layouts that both FLAC and ALAC keep, beside one and two channels."""


def default_encoder(output: OutputContainer, source: AudioStream | None = None, suffix: str = "") -> str:
    """Return the encoder for tracks, like ``source``, that ``output`` cannot hold as they are."""
    name = output.format.name
    if makes_blu_ray(name, suffix):
        return "ac3"
    traits = traits_of(name)
    if traits.pcm_only:
        fine = source is not None and _LOSSLESS.match(source.codec_context.name)
        return "pcm_s24le" if fine and _samples(source) not in ("", "u8", "s16") else "pcm_s16le"
    if traits.lossless and (kept := _lossless(source, traits.lossless)):
        return kept
    fallback = traits.sound or output.default_audio_codec
    return _ENCODERS.get(fallback, fallback)


def _lossless(source: AudioStream | None, usual: str) -> str | None:
    """The encoder that loses nothing of ``source``, where its own codec loses nothing; else None.

    ``usual`` is the one of one's choice, which may be "pcm".
    """
    if source is None or not _LOSSLESS.match(source.codec_context.name):
        return None
    context = source.codec_context
    samples = _samples(source)
    short = samples in ("u8", "s16") or (samples == "s32" and _24_BITS.match(context.name))
    usually = channels_of(context) <= 2 or layout_of(context).name in _USUAL_LAYOUTS
    return usual if usual != "pcm" and short and usually else _PCM.get(samples)


def _samples(source: AudioStream | None) -> str:
    """How its decoder gives samples, planar or packed alike; "" where it is not known."""
    form = None if source is None else source.codec_context.format
    return "" if form is None else form.name.rstrip("p")


def same_encoder(source: AudioStream, fallback: str) -> str:
    """Return the encoder that keeps PCM as it is, or ``fallback`` for other codecs."""
    name = source.codec_context.name
    if not name.startswith("pcm_"):
        return fallback
    try:
        return str(Codec(name, "w").name)
    except UnknownCodecError:
        return fallback


def find_encoder(name: str, format_name: str) -> Codec:
    """Return the audio encoder ``name``. UsageError if there is none or the container refuses it."""
    try:
        codec = Codec(name, "w")
    except UnknownCodecError as exc:
        raise UsageError(
            f"there is no encoder {name!r}; --audio takes auto, copy, none or an encoder's name"
        ) from exc
    if codec.type != "audio":
        raise UsageError(f"{name!r} encodes {codec.type}, not sound; try --audio auto")
    options = {"strict": "experimental"}

    def add(film: OutputContainer) -> None:
        stream = film.add_stream(name, rate=48000, options=options)
        assert isinstance(stream, AudioStream)
        stream.bit_rate = 128_000  # WMA has none of its own

    if not (may_hold(format_name, codec.canonical_name) and takes(format_name, add)):
        raise UsageError(f"{label(format_name)} cannot hold sound encoded by {name!r}; try --audio auto")
    return codec
