"""The reading before the colouring, which ``--match-shots`` asks for."""

from __future__ import annotations

import re
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media import grey_frame, make_film
from test_decode import interlaced, tells_order
from test_matching import cut_together, plain

from vidcolor.matching import ShotTable
from vidcolor.options import Options
from vidcolor.reading import Reading, open_as_asked
from vidcolor.scan import _greys, scan_source
from vidcolor.stages.decode import DecodeSettings


def scanned(film: Path, cancel: threading.Event | None = None) -> ShotTable:
    """The table of a film, at a render size of 96."""
    name = str(film)
    settings = DecodeSettings(name=name)
    return scan_source(
        lambda: open_as_asked(name, Options()), settings, 96, plain(), cancel or threading.Event()
    )


def test_what_was_found_is_said_and_how_long_it_took(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    film = cut_together(tmp_path / "aba.mkv", (1, 2, 1))
    with caplog.at_level("INFO", logger="vidcolor"):
        assert scanned(film).shots == 3
    said = re.fullmatch(r".*aba.mkv: 1 of 3 shots come back; the scan took (.*) s", caplog.messages[-1])
    assert said
    assert 0 <= float(said[1]) < 60


def test_it_ends_without_a_word_when_the_job_is_to_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cancel = threading.Event()
    cancel.set()
    with caplog.at_level("INFO", logger="vidcolor"):
        assert scanned(make_film(tmp_path / "a.mkv"), cancel).shots == 0
    assert not caplog.messages


def test_what_is_odd_in_the_source_is_left_for_the_colouring_to_say(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with av.open(str(tmp_path / "a.ts"), "w") as out:  # a picture that changes its size
        stream = out.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        other = av.CodecContext.create("mpeg2video", "w")
        other.width, other.height, other.pix_fmt, other.time_base = 128, 96, "yuv420p", Fraction(1, 25)
        for index in range(20):
            coder, size = (stream.codec_context, (64, 48)) if index < 10 else (other, (128, 96))
            frame = grey_frame(*size, "yuv420p", index)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            for packet in coder.encode(frame):
                packet.stream = stream
                out.mux(packet)
    settings = DecodeSettings(name="a.ts")
    with open_as_asked(str(tmp_path / "a.ts"), Options()) as film:
        assert list(_greys(Reading(film, settings), 96, threading.Event()))
    assert "64×48" in caplog.text, "else this test shows nothing"
    caplog.clear()
    scanned(tmp_path / "a.ts")
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


@tells_order
@pytest.mark.parametrize("top_first", [True, False])
def test_fields_are_scanned_in_the_order_of_time(top_first: bool, tmp_path: Path) -> None:
    """The upper one is bright, the lower one dark."""
    film = str(interlaced(tmp_path / "a.mkv", top_first=top_first))
    with open_as_asked(film, Options()) as container:
        found = list(_greys(Reading(container, DecodeSettings(name=film)), 16, threading.Event()))
    assert [key for key, _ in found] == [(40 * frame, field) for frame in range(4) for field in (0, 1)]
    greys = np.array([grey.mean() for _, grey in found]).reshape(4, 2)
    assert ((greys[:, 0] > greys[:, 1]) == top_first).all()
