"""By how much the times of a film are moved on the way from its source to its target."""

from __future__ import annotations

import logging
from fractions import Fraction

from av.container import InputContainer

from vidcolor.frames import Frame
from vidcolor.media.containers import label
from vidcolor.media.traits import traits_of
from vidcolor.options import Options
from vidcolor.target import Target, is_sequence

log = logging.getLogger(__name__)

_FINE_TICK = Fraction(1, 1000)
"""Seconds: what is finer needs no help."""


def first_number(source: InputContainer, target: Target) -> int | None:
    """Number of the first picture of a sequence that becomes a sequence; else None."""
    number = source.options.get("start_number")
    return int(number) if number is not None and is_sequence(target.name, target.muxer) else None


def _shift(source: InputContainer, first: Frame, options: Options, muxer: str, tick: Fraction) -> Fraction:
    """Seconds to add to all times: the wanted start becomes zero, and nothing begins before it.

    What begins late because its clock does begins at once in avi, which would show its first frame till then.
    """
    if options.start is not None:
        return -min(options.start, first.seconds)
    if first.seconds < 0:
        log.warning("the picture begins at %.3f s: all tracks are moved by that much", float(first.seconds))
        return -first.seconds
    sounds = source.streams.audio if options.audio != "none" else ()
    begins = [s.start_time * s.time_base for s in sounds if s.start_time is not None and s.time_base]
    begin = min([first.seconds, *begins])
    if not traits_of(muxer).at_once or begin <= 0:
        return Fraction(0)
    if begin > tick / 2:
        log.warning("%s begins at once: all tracks are %.3f s earlier", label(muxer), float(begin))
    return -begin


def offset_of(source: InputContainer, first: Frame, options: Options, muxer: str, tick: Fraction) -> Fraction:
    """Seconds to add to all times; where an encoder counts in frames the first frame falls on such a time.

    Else it would be rounded alone, and leave its sound by up to half a frame.

    Args:
        tick: time base of the encoder, seconds.
    """
    traits = traits_of(muxer)
    offset = _shift(source, first, options, muxer, tick)
    at = first.seconds + offset
    if traits.numbered:
        if traits.at_once and at > tick / 2:
            said = "%s shows the first frame from the beginning on, not from %.3f s on"
            log.warning(said, label(muxer), float(at))
        return offset
    late = -(-at // tick) * tick - at
    if tick <= _FINE_TICK or late <= _FINE_TICK:
        return offset
    log.warning(
        "time is counted in frames in this %s: all tracks are %.3f s later", label(muxer), float(late)
    )
    return offset + late
