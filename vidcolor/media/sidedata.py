"""Side data: what a decoded frame carries beside its planes, read so that PyAV frees nothing twice."""

from __future__ import annotations

import gc
import struct
from collections.abc import Iterator
from functools import cache
from typing import Any

import av
import numpy as np
from av.dictionary import Dictionary
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType

from vidcolor.memory import never_free

_KINDS = 64
"""Kinds of side data (AVFrameSideDataType) that are given a name: more than FFmpeg has."""
_EXIF = 31  # AV_FRAME_DATA_EXIF
RGB = "RGB"
"""What a colour profile is for that fits the pictures made here."""
_OF_EVERY_TIFF = frozenset(
    [254, 255, *range(256, 260), 262, 266, 273, 274, *range(277, 285), 296, 297, 305, 317, 320,
     *range(322, 326), 338, 339, 347, 530, 532]
)  # fmt: skip
"""Tags of TIFF 6.0 that say how its pixels lie, and which program wrote them."""


def display_matrix(video: av.VideoFrame) -> tuple[int, ...] | None:
    """The display matrix that came with a frame, nine fixed-point numbers, or None."""
    for data in side_data_of(video):
        if data.type == SideDataType.DISPLAYMATRIX:
            return tuple(int(v) for v in np.frombuffer(data, np.int32))
    return None


def profile_of(video: av.VideoFrame) -> str | None:
    """For which colours the profile (ICC) is that came with a frame: RGB, GRAY, CMYK…; None without one."""
    for data in side_data_of(video):
        if data.type == SideDataType.ICC_PROFILE:
            return bytes(data)[16:20].decode("ascii", "replace").strip() or "unknown colours"
    return None


def has_captions(video: av.VideoFrame) -> bool:
    """Whether closed captions came with a frame (CTA-708 in ATSC A/53 user data)."""
    return _has(video, SideDataType.A53_CC)


def tells_active_format(video: av.VideoFrame) -> bool:
    """Whether a frame says which part of it is the picture (AFD, SMPTE ST 2016-1)."""
    return _has(video, SideDataType.AFD)


def is_stereoscopic(video: av.VideoFrame) -> bool:
    """Whether a frame is marked as two views in one."""
    return _has(video, SideDataType.STEREO3D)


def is_spherical(video: av.VideoFrame) -> bool:
    """Whether a frame is marked as a view of a whole sphere."""
    return _has(video, SideDataType.SPHERICAL)


def _has(video: av.VideoFrame, kind: SideDataType) -> bool:
    return any(data.type == kind for data in side_data_of(video))


def has_exif(video: av.VideoFrame) -> bool:
    """Whether EXIF came with a frame, in which its orientation is written; PyAV has no name for it."""
    return any(True for _ in _exif_of(video))


def tells_by_exif(video: av.VideoFrame) -> bool:
    """Whether EXIF came with a frame that says more than how its pixels lie."""
    return any(map(_tells_more, _exif_of(video)))


def _exif_of(video: av.VideoFrame) -> Iterator[bytes]:
    return (bytes(data) for data in side_data_of(video) if int(data.type.value) == _EXIF)


def _tells_more(content: bytes) -> bool:
    from PIL import Image

    exif = Image.Exif()
    try:
        exif.load(content)
        tags = dict(exif)
    except (OSError, SyntaxError, ValueError, struct.error):
        return True
    return not tags.keys() <= _OF_EVERY_TIFF


def side_data_of(video: av.VideoFrame) -> list[Any]:
    """All side data of a frame, kinds unknown to PyAV included.

    ``video.side_data`` would tie the frame into a cycle of references, which only the garbage collector ends.
    """
    _name_all_kinds()  # first: PyAV would free what it has read up to an unknown kind
    found = list(SideDataContainer(video))  # type: ignore[call-arg]
    for data in found:
        _leave_its_dictionary(data)
    return found


def _leave_its_dictionary(data: Any) -> None:
    """PyAV frees the dictionary of side data that has one (a PNG's colour profile), and FFmpeg does again."""
    for held in gc.get_referents(data):
        if isinstance(held, Dictionary) and len(held):
            never_free(held)


@cache
def _name_all_kinds() -> None:
    """PyAV gives out no side data at all of a frame with a kind that it has no name for, as EXIF."""
    kinds: dict[int, Any] = SideDataType._value2member_map_
    for value in range(_KINDS):
        if value not in kinds:
            member: Any = object.__new__(SideDataType)
            member._name_, member._value_ = f"KIND_{value}", value
            kinds[value] = member
