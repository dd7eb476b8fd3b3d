"""What a finished film says of the job that made it, which is known by that when it is asked for again."""

from __future__ import annotations

PLACES = ("VIDCOLOR", "encoder", "comment", "encoding_tool")
"""Where a label is found again; what mp4 is given as ``encoding_tool`` it gives out as ``encoder``."""


def label_of(fingerprint: str, frames: int) -> str:
    """Name of the program as it stands in the finished film's metadata."""
    return f"vidcolor {fingerprint} {frames}"


def losses_of(lost: int, silent: int) -> str:
    """What follows the name where so many frames, and tracks of sound, could not be decoded."""
    return (f" lost {lost}" if lost else "") + (f" silent {silent}" if silent else "")
