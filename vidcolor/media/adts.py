"""AAC of broadcasts, whose packets each begin with a header of their own (ADTS, ISO/IEC 13818-7, 6.2)."""

from __future__ import annotations

import logging

from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from vidcolor.media.containers import codec_name, describe, label
from vidcolor.media.layouts import channels_of
from vidcolor.media.packets import Convert
from vidcolor.media.traits import traits_of

log = logging.getLogger(__name__)

_RATES = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000, 7350)
_LAYOUTS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 8: 7}
"""Number of a layout, by its channels (ISO/IEC 14496-3, 1.6.3.5)."""
_OBJECTS = {"Main": 1, "LC": 2, "SSR": 3, "LTP": 4, "HE-AAC": 2, "HE-AACv2": 2}
"""Number of what lies at the bottom of a profile: those of high efficiency are found out by decoders."""


def converter(source: Stream, target: Stream, output: OutputContainer) -> Convert | None:
    """What the packets of such a track pass through where it is copied; None for all other tracks.

    It says when channels or rate change. In pipes to mkv and mov it takes the headers off: these containers
    state them once, at the beginning, which can be filled in afterwards in a file alone.

    Args:
        source: of the packets.
        target: its stream in ``output``; is told the header where the packets lose theirs.
    """
    watch = channel_watch(source, output.format.name)
    piped = {**output.options, **output.container_options}.get("flush_packets") == "1"
    traits = traits_of(output.format.name)
    if watch is None or not piped or not (traits.is_mov or traits.is_matroska):
        return watch
    header = header_of(source)
    if header is None or not isinstance(target, AudioStream):
        return watch
    target.codec_context.extradata = header
    return lambda packet: map(_without_header, watch(packet))


def channel_watch(stream: Stream, format_name: str) -> Convert | None:
    """What passes packets on as they are and says when their channels change, or their rate.

    Other containers than TS say them once, and players are silent from the change on. None for tracks whose
    packets do not say them.
    """
    context = stream.codec_context
    if format_name == "mpegts" or codec_name(stream) != "aac" or context is None or context.extradata:
        return None
    seen: list[tuple[int, int]] = []

    def look(packet: Packet[Stream]) -> list[Packet[Stream]]:
        head = bytes(memoryview(packet)[:4])
        if len(seen) < 2 and len(head) == 4 and _begins_header(head):
            now = head[2] >> 2 & 15, (head[2] & 1) << 2 | head[3] >> 6
            if now not in seen:
                seen.append(now)
            if len(seen) == 2:
                log.warning(
                    "%s changes its channels or its rate at %.1f s, which %s cannot say: it may be silent "
                    "from there on; --audio aac re-encodes it",
                    describe(stream),
                    float((packet.pts or 0) * packet.time_base),
                    label(format_name),
                )
        return [packet]

    return look


def header_of(stream: Stream) -> bytes | None:
    """AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1) of a track of AAC; None where it is of a rare kind."""
    assert isinstance(stream, AudioStream)
    context = stream.codec_context
    profile, rate, channels = context.profile or "", context.sample_rate, channels_of(context)
    rate //= 2 if profile.startswith("HE-") else 1
    channels = 1 if profile == "HE-AACv2" else channels
    if profile not in _OBJECTS or rate not in _RATES or channels not in _LAYOUTS:
        return None
    bits = _OBJECTS[profile] << 11 | _RATES.index(rate) << 7 | _LAYOUTS[channels] << 3
    return bits.to_bytes(2, "big")


def _without_header(packet: Packet[Stream]) -> Packet[Stream]:
    data = bytes(packet)
    if len(data) < 9 or not _begins_header(data):
        return packet
    bare: Packet[Stream] = Packet(data[7 if data[1] & 1 else 9 :])
    bare.pts, bare.dts, bare.time_base = packet.pts, packet.dts, packet.time_base
    bare.duration, bare.is_keyframe = packet.duration, packet.is_keyframe
    return bare


def _begins_header(data: bytes) -> bool:
    """Whether a packet's first bytes are the syncword of ADTS."""
    return data[0] == 0xFF and data[1] >> 4 == 0xF
