"""Channel layouts: read so that PyAV does not free what is not its own."""

from __future__ import annotations

from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout

from vidcolor.memory import never_free

USUAL = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""Names of the layouts that so many channels usually have."""
_ORDER = [
    "FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR", "TC", "TFL", "TFC", "TFR", "TBL",
    "TBC", "TBR", "DL", "DR", "WL", "WR", "SDL", "SDR", "LFE2", "TSL", "TSR", "BFC", "BFL", "BFR", "SSL",
    "SSR", "TTL", "TTR",
]  # fmt: skip
"""In which FFmpeg's own layouts have their channels (AVChannel); others list theirs one by one."""


def layout_of(sound: AudioCodecContext | AudioFrame) -> AudioLayout:
    """The layout of a decoder, an encoder or a frame.

    PyAV 18.1 frees the list of an unusual order of channels (7.1 in mov) with the layout that it gives out,
    and FFmpeg does with the codec or frame.
    """
    layout = sound.layout
    if lists_channels(layout.name):
        never_free(layout)
    return layout


def channels_of(sound: AudioCodecContext | AudioFrame) -> int:
    """How many channels there are."""
    return layout_of(sound).nb_channels


def lists_channels(name: str) -> bool:
    """Whether a layout's name is a list in an order of its own: ``8 channels (FL+FR+FC+LFE+SL+SR+BL+BR)``."""
    names = name.partition("(")[2].rstrip(")").split("+")
    places = [_ORDER.index(one) if one in _ORDER else -1 for one in names]
    return "+" in name and (-1 in places or places != sorted(set(places)))
