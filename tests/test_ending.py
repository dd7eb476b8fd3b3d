"""A segment ends beside the next one, and nothing of it is lost whatever happens meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from media import make_film
from test_resume import Stop, fingerprint, run, short_segments

from vidcolor.encoding import Encoding, SegmentEncoder
from vidcolor.ending import Endings, SegmentWriter
from vidcolor.errors import Interrupted, OutputError
from vidcolor.frames import Frame
from vidcolor.job import colorize
from vidcolor.making import Maker
from vidcolor.options import Options
from vidcolor.packing import Place, Segment
from vidcolor.result import Progress
from vidcolor.segments import SegmentStore

LONG = 60.0
"""Seconds after which what has not happened does not happen."""
OPTIONS = Options(render_size=32, device="cpu", precision="fp32")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return make_film(tmp_path / "in.mkv", frames=20)


@pytest.fixture
def two_encoders() -> Iterator[None]:
    """The next encoder is opened meanwhile, though the generator runs on the CPU."""
    with mock.patch.object(Maker, "_endings", lambda maker: Endings(maker.finished.files, two_encoders=True)):
        yield


class Held:
    """Keeps the first segment from ending until :attr:`go` is set."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.ended = threading.Event()
        self._end = SegmentWriter.end

    def __call__(self, writer: SegmentWriter, number: int, after: Place) -> Segment:
        if number == 0:
            assert self.go.wait(LONG), "the next segment is not coloured meanwhile"
            self.ended.set()
        return self._end(writer, number, after)


def held(ending: Held) -> Any:
    return mock.patch.object(
        SegmentWriter, "end", lambda writer, number, after: ending(writer, number, after)
    )


@pytest.mark.usefixtures("two_encoders")
def test_the_next_segment_is_encoded_meanwhile(film: Path, tmp_path: Path) -> None:
    ending, target = Held(), tmp_path / "out.mkv"

    def progress(now: Progress) -> None:
        if now.frames > 6:  # of the second segment
            ending.go.set()

    run(film, tmp_path / "plain.mkv")
    with short_segments(), held(ending):
        colorize(film, target, OPTIONS, progress)
    assert ending.ended.is_set()
    assert fingerprint(target) == fingerprint(tmp_path / "plain.mkv")


def test_the_key_frames_are_in_the_index_of_the_film(film: Path, tmp_path: Path) -> None:
    """FFmpeg looks into the packets themselves; players that seek by the index do not."""
    run(film, tmp_path / "out.mp4")
    data = (tmp_path / "out.mp4").read_bytes()
    at = data.index(b"stss") + 8
    assert np.frombuffer(data[at : at + 20], ">u4").tolist() == [4, 1, 7, 13, 19]


@pytest.mark.usefixtures("two_encoders")
@pytest.mark.parametrize("how", ["error", "cancelled"])
def test_what_ends_is_kept_when_the_next_one_breaks_off(how: str, film: Path, tmp_path: Path) -> None:
    ending, target, cancel = Held(), tmp_path / "out.mkv", threading.Event()

    def progress(now: Progress) -> None:
        if now.frames > 6:
            threading.Timer(0.2, ending.go.set).start()  # not before the error or signal
            if how == "error":
                raise Stop
            cancel.set()

    with short_segments(), held(ending), pytest.raises(Stop if how == "error" else Interrupted):
        colorize(film, target, OPTIONS, progress, cancel=cancel)
    assert ending.ended.is_set()
    assert list(SegmentStore(tmp_path / ".out.mkv.vidcolor", "out.mkv").find()) == [0]


@pytest.mark.usefixtures("two_encoders")
def test_a_segment_that_cannot_be_kept_stops_the_next_one(film: Path, tmp_path: Path) -> None:
    refused, told = threading.Event(), []

    def full(*_: object) -> Path:
        refused.set()
        raise OutputError("no room for a segment")

    def progress(now: Progress) -> None:
        told.append(now.frames)
        if now.frames > 6:
            refused.wait(LONG)
            time.sleep(0.2)  # for its thread to say so

    with (
        short_segments(),
        mock.patch.object(SegmentStore, "write", full),
        pytest.raises(OutputError, match="no room"),
    ):
        colorize(film, tmp_path / "out.mkv", replace(OPTIONS, batch_size=1), progress)
    assert refused.is_set()
    assert max(told) < 12


def test_on_a_cpu_the_next_segment_is_coloured_meanwhile_and_its_encoder_waits(
    film: Path, tmp_path: Path
) -> None:
    ending, target, shown = Held(), tmp_path / "out.mkv", []
    colour, opened = Encoding.colour, Encoding.add_stream

    def seen(*given: Any) -> Any:
        shown.append(ending.ended.is_set())
        if len(shown) > 6:  # of the second segment
            ending.go.set()
        return colour(*given)

    def add_stream(*given: Any) -> Any:
        encoders.append((len(shown), ending.ended.is_set()))
        return opened(*given)

    encoders: list[tuple[int, bool]] = []
    run(film, tmp_path / "plain.mkv")
    with (
        short_segments(),
        held(ending),
        mock.patch.object(Encoding, "colour", seen),
        mock.patch.object(Encoding, "add_stream", add_stream),
    ):
        colorize(film, target, OPTIONS)
    assert not shown[6]
    assert [ended for count, ended in encoders if count >= 6] == [True, True, True, True]
    assert fingerprint(target) == fingerprint(tmp_path / "plain.mkv")


def test_a_segment_that_has_ended_keeps_no_encoder(film: Path, tmp_path: Path) -> None:
    """Nor packets, each of which keeps the encoder: the next one wants its memory."""
    end, kept = SegmentWriter.end, []

    def ended(writer: SegmentWriter, number: int, after: Place) -> Segment:
        segment = end(writer, number, after)
        kept.append((writer._encoder, writer._packets))
        return segment

    with short_segments(), mock.patch.object(SegmentWriter, "end", ended):
        colorize(film, tmp_path / "out.mkv", OPTIONS)
    assert kept == [(None, [])] * 4


def test_on_a_cpu_a_segment_that_cannot_be_kept_stops_the_next_one(film: Path, tmp_path: Path) -> None:
    encoded: list[int] = []
    encode = SegmentEncoder.encode

    def counted(encoder: SegmentEncoder, frame: Frame, *chroma: Any) -> Any:
        encoded.append(frame.pts)
        return encode(encoder, frame, *chroma)

    with (
        short_segments(),
        mock.patch.object(SegmentEncoder, "encode", counted),
        mock.patch.object(SegmentStore, "write", side_effect=OutputError("no room for a segment")),
        pytest.raises(OutputError, match="no room"),
    ):
        colorize(film, tmp_path / "out.mkv", OPTIONS)
    assert len(encoded) == 6  # those of the first


@pytest.mark.parametrize(("device", "two"), [("cpu", False), ("cuda:1", True), ("mps", True)])
def test_two_encoders_at_once_only_with_a_gpu(device: str, two: bool) -> None:
    maker: Any = SimpleNamespace(
        finished=SimpleNamespace(files={}),
        tools=SimpleNamespace(predictor=SimpleNamespace(device=torch.device(device))),
    )
    going = threading.Event()
    with Maker._endings(maker) as endings:
        endings.add(0, lambda: Path() if going.wait(LONG if two else 0.3) else Path("alone"))
        endings.make_room()
        going.set()
    assert maker.finished.files == {0: Path() if two else Path("alone")}


def test_the_last_one_is_waited_for(tmp_path: Path) -> None:
    def full() -> Path:
        raise OutputError("no room")

    found: dict[int, Path] = {}
    with pytest.raises(OutputError, match="no room"), Endings(found, two_encoders=True) as endings:
        endings.add(0, lambda: tmp_path)
        endings.add(1, full)
    assert found == {0: tmp_path}


def test_after_one_that_failed_no_other_is_ended(tmp_path: Path) -> None:
    def full() -> Path:
        raise OutputError("no room")

    found: dict[int, Path] = {}
    with pytest.raises(OutputError, match="no room"), Endings(found, two_encoders=True) as endings:
        endings.add(0, full)
        endings.add(1, lambda: tmp_path)
    assert found == {}
