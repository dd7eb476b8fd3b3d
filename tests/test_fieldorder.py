"""Which field is taken to come first; films of which it is true are in ``test_decode``."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from vidcolor.media.fieldorder import field_order_of

UNKNOWN, PROGRESSIVE, TT, BB, TB, BT = range(6)
FIRST = {TT: False, BB: True}
"""What the decoder says of the frame: whether the lower field is earlier."""


def stream_of(told: int | None, *, codec: str = "h264", container: str | None = "matroska") -> Any:
    """A stream whose container says that; None: with PyAV 17, which does not tell."""
    context: dict[str, Any] = {"name": codec} | ({} if told is None else {"field_order": told})
    found = None if container is None else SimpleNamespace(format=SimpleNamespace(name=container))
    return SimpleNamespace(codec_context=SimpleNamespace(**context), container=found)


def frame_of(*, interlaced: bool = True) -> Any:
    return SimpleNamespace(interlaced_frame=interlaced)


@pytest.mark.parametrize(
    ("told", "given", "shown", "expected"),
    [
        (TT, {}, BB, TT),  # the container is believed
        (BT, {}, TT, BT),
        (TT, {"container": None}, BB, TT),
        (UNKNOWN, {}, BB, BB),  # it says nothing
        (UNKNOWN, {}, TT, TT),
        (PROGRESSIVE, {}, BB, BB),  # it is wrong
        (TB, {"container": "mxf"}, BB, BB),  # it means something else
        (BT, {"container": "mxf"}, TT, TT),
        (UNKNOWN, {"codec": "dvvideo"}, TT, BB),  # nothing is known of DV before a frame is decoded
        (TT, {"codec": "dvvideo"}, BB, TT),
        (None, {}, BB, UNKNOWN),  # PyAV 17
        (None, {"codec": "dvvideo"}, TT, BB),
        (None, {"container": "mxf"}, BB, UNKNOWN),
    ],
)
def test_the_frame_is_asked_where_the_container_is_not_believed(
    told: int | None, given: dict[str, Any], shown: int, expected: int
) -> None:
    with mock.patch("vidcolor.media.fieldorder._shows_bottom_first", lambda video: FIRST[shown]):
        assert field_order_of(stream_of(told, **given), frame_of()) == expected


def test_of_whole_frames_the_container_is_believed() -> None:
    for told in (UNKNOWN, PROGRESSIVE, BB):
        assert field_order_of(stream_of(told), frame_of(interlaced=False)) == told
        assert field_order_of(stream_of(told)) == told
        assert field_order_of(stream_of(told), frame_of(), whole=True) == PROGRESSIVE
