"""Segments that end where shots begin, and so can be made apart from each other."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import av
import numpy as np
import pytest
from media import fill_plane, make_film
from test_resume import Stop, fingerprint, left_in, run, short_segments

from vidcolor.job import colorize
from vidcolor.options import Options
from vidcolor.segments import Segment, SegmentStore

LENGTHS = (9, 8, 30, 7, 7, 4)


def cut_film(path: Path, lengths: tuple[int, ...] = LENGTHS) -> Path:
    """Shots of these lengths, each of blocks of its own that move a little."""
    random = np.random.default_rng(3)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"qp": "0", "g": "250"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for length in lengths:
            blocks = np.kron(random.integers(30, 220, (8, 14)), np.ones((8, 8))).astype(np.uint8)
            for index in range(length):
                frame = av.VideoFrame(96, 64, "yuv420p")
                fill_plane(frame.planes[0], blocks[:, index % 16 : index % 16 + 96])
                for plane in frame.planes[1:]:
                    fill_plane(plane, np.full((32, 48), 128, np.uint8))
                out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def segments_of(source: Path, target: Path, frames: int = 12) -> list[Segment]:
    """What a run keeps before the film is put together."""
    options = Options(render_size=32, device="cpu", precision="fp32")
    with (
        short_segments(frames),
        mock.patch("vidcolor.resumable.ResumableJob._put_together", side_effect=Stop),
        pytest.raises(Stop),
    ):
        colorize(source, target, options)
    store = SegmentStore(target.parent / f".{target.name}.vidcolor", target.name)
    return [store.read(path) for _, path in sorted(store.find().items())]


def test_a_segment_ends_where_a_shot_begins(tmp_path: Path) -> None:
    kept = segments_of(cut_film(tmp_path / "in.mp4"), tmp_path / "out.mp4")
    # shots begin at 9, 17, 47, 54, 61: a segment has 6 to 12 frames, and an even number of them
    assert [segment.after.frames for segment in kept] == [12, 24, 36, 48, 54, 65]
    assert [segment.after.independent for segment in kept] == [False, False, False, False, True, False]
    assert [segment.after.state is None for segment in kept] == [False] * 5 + [True]


def test_a_film_of_one_shot_has_segments_of_the_greatest_length(tmp_path: Path) -> None:
    kept = segments_of(make_film(tmp_path / "in.mp4", frames=30), tmp_path / "out.mp4")
    assert [segment.after.frames for segment in kept] == [12, 24, 30]


@pytest.mark.parametrize("after", [5, 13, 20, 27])
def test_promise_4_holds_for_segments_that_end_with_shots(after: int, tmp_path: Path) -> None:
    source, target = cut_film(tmp_path / "in.mp4", (8, 10, 13, 6, 6)), tmp_path / "out.mp4"
    run(source, tmp_path / "whole.mp4")
    with pytest.raises(Stop):
        run(source, target, stop_after=after)
    assert run(source, target).frames == 43
    assert fingerprint(target) == fingerprint(tmp_path / "whole.mp4")
    assert left_in(tmp_path) == []
