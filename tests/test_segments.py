"""Segments in a folder of other things, and those that cannot be read; jobs are in ``test_resume``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidcolor.errors import OutputError
from vidcolor.packing import Coded, Place, Segment
from vidcolor.segments import SegmentStore, count_frames, up_to_first_missing


def segment(number: int, frames: int = 3) -> Segment:
    coded = Coded(data=(b"x",), pts=(0,), durations=(1,), keys=(True,), extradata=b"header")
    after = Place(
        frames=3 * (number + 1), last=2, lumas=(7,), seconds=0.1, lost=0, damaged=0, ticks=2, state=None
    )
    return Segment(number=number, frames=frames, delay=0, coded=coded, after=after)


def test_other_files_are_no_segments_and_stay(tmp_path: Path) -> None:
    store = SegmentStore(tmp_path, "out.mp4")
    paths = {number: store.write(segment(number, frames)) for number, frames in ((0, 3), (1, 4), (3, 5))}
    others = [tmp_path / name for name in ("manifest.json", "notes.segment", f"{paths[0].stem}.txt")]
    for other in others:
        other.write_text("x")
    unfinished = tmp_path / "000004-x.part"
    unfinished.write_text("x")
    assert store.numbered() == paths
    assert sorted(store.listed()) == sorted(paths.values())
    assert store.find() == paths
    assert all(other.exists() for other in others) and not unfinished.exists()
    assert store.read(paths[1]) == segment(1, 4)
    assert store.end_of(paths[1]) == (4, segment(1).after)
    seen = store.glance()
    assert [one.frames for one in up_to_first_missing(seen)] == [3, 4]
    assert count_frames(seen) == 12


@pytest.mark.parametrize("ask", [SegmentStore.read, SegmentStore.describe, SegmentStore.end_of])
def test_what_is_gone_or_damaged_is_an_output_error(ask: Callable[[Path], Any], tmp_path: Path) -> None:
    path = SegmentStore(tmp_path, "out.mp4").write(segment(0))
    for content in (path.read_bytes()[:-1], b"", b"\xff" * 100, None):
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(OutputError, match="cannot be read"):
            ask(path)


def test_a_segment_that_is_lost_while_it_is_read_does_not_end_the_process(tmp_path: Path) -> None:
    """As one that is mapped into memory would, with SIGBUS, where a disk fails or a drive is unplugged."""
    code = """
import os
import sys
from dataclasses import replace
from pathlib import Path

from test_segments import segment
from vidcolor import packing
from vidcolor.errors import OutputError
from vidcolor.segments import SegmentStore

whole = segment(0)
path = SegmentStore(Path(sys.argv[1]), "out.mp4").write(
    replace(whole, coded=replace(whole.coded, data=(bytes(1 << 20),)))
)
opened = packing._opened


def lost(path):
    file = opened(path)
    os.truncate(path, 4096)
    return file


packing._opened = lost
try:
    SegmentStore.read(path)
except OutputError as error:
    print(error)
"""
    given = [sys.executable, "-c", code, str(tmp_path)]
    ended = subprocess.run(given, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert "cannot be read" in ended.stdout


def test_a_folder_that_is_gone_has_no_segments(tmp_path: Path) -> None:
    store = SegmentStore(tmp_path / "gone", "out.mp4")
    assert store.listed() == [] and store.numbered() == {}
    with pytest.raises(OutputError, match=r"out\.mp4: what is finished in \S+gone cannot be read"):
        store.find()
    with pytest.raises(OSError, match="No such file"):
        store.glance()
