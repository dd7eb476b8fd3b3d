"""Holes in a track of sound, in containers that place sound by its samples alone."""

from __future__ import annotations

import logging
from fractions import Fraction

from av.packet import Packet
from av.stream import Stream

from vidcolor.media.containers import label
from vidcolor.media.traits import traits_of

log = logging.getLogger(__name__)

_AUDIBLE = Fraction(1, 25)
"""Seconds by which sound may be early before people notice."""
_ROUNDED = Fraction(1, 200)
"""Seconds between two packets that come of rounded times and durations alone."""


class Holes:
    """Adds up what is missing between a track's packets: what follows comes early by as much.

    Args:
        muxer: in others than AVI, and mov with PCM, packets keep their times.
        stream: of the target.
        name: the source's track in messages.
    """

    def __init__(self, muxer: str, stream: Stream, name: str) -> None:
        codec = stream.codec_context.name if stream.codec_context is not None else ""
        self._is_pcm = codec.startswith("pcm_")
        traits = traits_of(muxer)
        counts = traits.at_once or (traits.is_mov and self._is_pcm)
        self._active = counts and stream.type == "audio"
        self._name, self._label = name, label(muxer)
        self._end: Fraction | None = None
        self._lasted = self._usual = Fraction(0)  # seconds that packets last
        self._early = self._most = Fraction(0)

    def note(self, packet: Packet[Stream]) -> None:
        """Take account of the next packet that is written."""
        if not self._active or packet.dts is None or not packet.duration:
            return
        at, lasts = packet.dts * packet.time_base, packet.duration * packet.time_base
        hole = Fraction(0) if self._end is None else at - self._end
        if abs(hole) > _ROUNDED:
            self._early += hole
            self._most = max(self._most, self._early)
        if self._is_pcm or abs(lasts - self._lasted) <= _ROUNDED:
            self._usual = lasts
        # mp4 has the packet before a hole last until its end
        self._end = at + (min(lasts, self._usual) if self._usual else lasts)
        self._lasted = lasts

    def tell(self) -> None:
        """Say what was closed, if it can be heard."""
        if self._most > _AUDIBLE:
            log.warning(
                "%s has holes, for which %s has no place: what follows them is up to %.3f s early; --audio "
                "with an encoder's name fills them with silence",
                self._name,
                self._label,
                float(self._most),
            )
