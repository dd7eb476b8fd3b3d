"""The mark of a finished film, by which it is known when it is asked for again; it says what job made it."""

from __future__ import annotations

KEYS = ("VIDCOLOR", "encoder", "comment", "encoding_tool")
"""Of metadata where it is found; what mp4 is given as ``encoding_tool`` it gives out as ``encoder``."""


def mark_text(fingerprint: str, frames: int) -> str:
    """What the mark of a film says, but for its losses."""
    return f"vidcolor {fingerprint} {frames}"


def losses_of(lost: int, silent: int) -> str:
    """What follows it where so many frames, and tracks of sound, could not be decoded."""
    return (f" lost {lost}" if lost else "") + (f" silent {silent}" if silent else "")
