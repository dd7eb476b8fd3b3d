"""Segments that end where shots begin, and so can be made apart from each other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import av
import numpy as np
import pytest
import torch
from av.container import InputContainer
from media import fill_plane, make_film
from test_resume import Stop, fingerprint, left_in, run, short_segments

from vidcolor.batches import Batch, Batcher
from vidcolor.crew import Crew, WorkerPool
from vidcolor.errors import Interrupted, OutputError, UsageError
from vidcolor.framesource import WITNESSES, FrameSource
from vidcolor.job import colorize
from vidcolor.making import Maker
from vidcolor.media.opening import open_source
from vidcolor.options import Options
from vidcolor.packing import Place, Segment, luma_check
from vidcolor.processes import _begin, _make_shot, _read_no_more, _signals_held
from vidcolor.reading import Reading
from vidcolor.result import Progress, Result
from vidcolor.resumable import frames_a_segment
from vidcolor.segments import SegmentStore
from vidcolor.stages.decode import DecodeSettings
from vidcolor.stages.luminance import luminance
from vidcolor.temporal import Linker

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


def segments_of(source: Path, target: Path, frames: int = 12, **given: Any) -> list[Segment]:
    """What a run keeps before the film is put together."""
    options = Options(**({"render_size": 32, "device": "cpu", "precision": "fp32"} | given))
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


def test_in_a_film_that_goes_out_meanwhile_segments_would_begin_at_the_same_frames(tmp_path: Path) -> None:
    name, batcher = str(cut_film(tmp_path / "in.mp4")), Batcher(Linker("average"), 1, None, lambda _: 12)
    batches: list[Batch] = []
    with av.open(name) as container:
        for frame in Reading(container, DecodeSettings(name=name)).frames(lambda _: None):
            batches += batcher.push(frame, [luminance(frame, luma, 32) for luma in frame.pictures()])
    batches += batcher.finish()
    opens = [frame.opens for batch in batches for frame in batch.frames]
    assert [number for number, begins in enumerate(opens) if begins] == [12, 24, 36, 48, 54]


def test_segments_of_large_pictures_have_an_even_number_of_frames_too() -> None:
    first: Any = SimpleNamespace(luma=np.zeros((10, 10), np.uint8))
    with mock.patch("vidcolor.resumable._SEGMENT_BYTES", 33 * 300):
        assert frames_a_segment(first) == 32, "neighbours at a join would look like one picture in H.264"


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


def apart(source: Path, target: Path, *, stop_after: int | None = None, **given: Any) -> Result:
    """Colour with the shipped weights in two processes, in short segments."""
    return shipped(source, target, stop_after=stop_after, **({"jobs": 2} | given))


def shipped(source: Path, target: Path, *, stop_after: int | None = None, **given: Any) -> Result:
    """Colour with the shipped weights in short segments."""
    cancel = threading.Event()

    def progress(now: Progress) -> None:
        if stop_after is not None and now.frames > stop_after:
            cancel.set()

    options = Options(**({"render_size": 32, "device": "cpu", "precision": "fp32"} | given))
    with (
        mock.patch("vidcolor.resumable._MOST_FRAMES", 12),
        mock.patch("vidcolor.resumable._FEWEST_FRAMES", 12),
    ):
        return colorize(source, target, options, progress, cancel=cancel)


MODES: dict[str, dict[str, Any]] = {
    "flow": {},
    "average": {"temporal": "average"},
    "off": {"temporal": "off"},
    "match shots": {"match_shots": True},
    "two devices": {"jobs": None, "device": "cpu,cpu"},
}


@pytest.mark.parametrize("given", MODES.values(), ids=MODES)
def test_several_processes_make_the_film_that_one_makes(given: dict[str, Any], tmp_path: Path) -> None:
    source = cut_film(tmp_path / "in.mkv", (8, 10, 26, 6, 13))
    one = given | {"jobs": 1, "device": "cpu"}
    assert shipped(source, tmp_path / "one.mkv", **one).frames == 63
    with mock.patch.object(Maker, "make", side_effect=AssertionError("the workers make it")):
        assert apart(source, tmp_path / "two.mkv", **given).frames == 63
    assert fingerprint(tmp_path / "two.mkv") == fingerprint(tmp_path / "one.mkv")
    assert left_in(tmp_path) == []


def test_what_one_process_began_several_finish_and_the_other_way_round(tmp_path: Path) -> None:
    source = cut_film(tmp_path / "in.mp4", (8, 10, 13, 30, 26, 6, 13, 12, 14))
    shipped(source, tmp_path / "whole.mp4")
    for first, second in ((1, 2), (2, 1)):
        target = tmp_path / f"{first}.mp4"
        with pytest.raises(Interrupted):
            shipped(source, target, stop_after=20, jobs=first)
        assert not target.exists()
        assert shipped(source, target, jobs=second).frames == 132
        assert fingerprint(target) == fingerprint(tmp_path / "whole.mp4")


def test_what_several_workers_warn_of_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Some(WorkerPool):
        def submit(self, number: int, place: Any) -> None:
            pass

        def check(self, seconds: float) -> bool:
            return True

        def outstanding(self) -> int:
            return 0

        def frames(self) -> int:
            return 0

    workers = Some()
    with caplog.at_level("WARNING", logger="vidcolor"):
        for at in ("00:00:00", "00:00:06"):
            workers.pass_on([("colours at %s", f"colours at {at}"), ("fields", "fields")])
    assert [record.getMessage() for record in caplog.records] == ["colours at 00:00:00", "fields"]


def die(*_: object) -> None:
    """In place of a worker's task."""
    os._exit(9)


def test_a_worker_that_dies_is_an_error_that_loses_nothing(tmp_path: Path) -> None:
    source, target = cut_film(tmp_path / "in.mp4", (8, 10, 13, 30)), tmp_path / "out.mp4"
    with (
        mock.patch("vidcolor.processes._make_shot", die),
        pytest.raises(OutputError, match="worker process has died") as died,
    ):
        apart(source, target)
    # a queue's thread would hold semaphores, of which Python complains where the command ends before it does
    assert "QueueFeederThread" not in [thread.name for thread in threading.enumerate()], died
    assert apart(source, target).frames == 61


def die_alone(number: int, _: object) -> None:
    """In place of a worker's task: the first one's worker dies, others are at long work."""
    if number:
        time.sleep(3600.0)
    time.sleep(1.0)
    os._exit(9)


@pytest.mark.timeout(100)
@pytest.mark.parametrize("lengths", [(30,), (8, 10, 13, 30)], ids=["the other idle", "the other busy"])
def test_a_worker_that_dies_takes_the_others_along(lengths: tuple[int, ...], tmp_path: Path) -> None:
    source = cut_film(tmp_path / "in.mp4", lengths)
    with (
        mock.patch("vidcolor.processes._make_shot", die_alone),
        pytest.raises(OutputError, match="worker process has died"),
    ):
        apart(source, tmp_path / "out.mp4")
    assert multiprocessing.active_children() == []


@pytest.mark.skipif(sys.version_info < (3, 11), reason="older ones have no such switch")
def test_workers_run_nothing_that_lies_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = cut_film(tmp_path / "in.mp4", (4, 4))
    (tmp_path / "multiprocessing.py").write_text("open('ran', 'w').close()")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    apart(source, tmp_path / "out.mp4")
    assert sorted(os.listdir(tmp_path)) == ["in.mp4", "multiprocessing.py", "out.mp4"]
    assert "PYTHONSAFEPATH" not in os.environ


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="this system has no signal masks")
def test_workers_are_deaf_to_ctrl_c_from_their_first_moment_on() -> None:
    with _signals_held():
        asked = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
        said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert said.stdout == "True\n"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def die_of_it(_: bytes) -> None:
    os._exit(9)


@pytest.mark.timeout(60)
def test_large_tasks_that_nobody_reads_any_more_keep_nobody_waiting() -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, context) as pool, pytest.raises(BrokenProcessPool):
        tasks = [pool.submit(die_of_it, bytes(3_000_000)) for _ in range(6)]
        try:
            tasks[0].result()
        finally:
            _read_no_more(pool)


@pytest.mark.parametrize("device", ["cpu,cuda:77", "cuda:77,cpu"])
def test_a_device_that_is_not_there_is_said_before_the_work(device: str, tmp_path: Path) -> None:
    source, target = cut_film(tmp_path / "in.mp4", (8, 10)), tmp_path / "out.mp4"
    with pytest.raises(UsageError, match="--device cuda:77: there is no such"):
        apart(source, target, device=device)
    assert left_in(tmp_path) == []


def test_devices_of_two_kinds_are_refused(tmp_path: Path) -> None:
    source = cut_film(tmp_path / "in.mp4", (8, 10))
    kinds = mock.patch("vidcolor.filmjob.resolve_device", torch.device)
    with kinds, pytest.raises(UsageError, match="one kind"):
        apart(source, tmp_path / "out.mp4", device="cpu,cuda:0")


def test_gpus_of_two_models_are_refused(tmp_path: Path) -> None:
    source = cut_film(tmp_path / "in.mp4", (8, 10))
    kinds = mock.patch("vidcolor.filmjob.resolve_device", torch.device)
    names = mock.patch("torch.cuda.get_device_name", lambda index: f"RTX {index}")
    with kinds, names, pytest.raises(UsageError, match=r"RTX 0 and RTX 1 differ.*--accept-drift"):
        apart(source, tmp_path / "out.mp4", device="cuda:0,cuda:1")
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(("source", "target"), [("-", "out.mp4"), ("in.mp4", "-"), ("in.mp4", "out.png")])
def test_several_processes_need_files(source: str, target: str, tmp_path: Path) -> None:
    cut_film(tmp_path / "in.mp4", (8,))
    names = [name if name == "-" else str(tmp_path / name) for name in (source, target)]
    with pytest.raises(UsageError, match="--jobs"):
        colorize(names[0], names[1], Options(jobs=2))


def test_processes_are_as_many_as_devices_or_as_asked_for() -> None:
    assert Options().devices == ("auto",)
    assert Options(jobs=3).devices == ("auto", "auto", "auto")
    assert Options(device="cuda:0,cuda:1").devices == ("cuda:0", "cuda:1")
    assert Options(device="cuda:0,cuda:1", jobs=3).devices == ("cuda:0", "cuda:1", "cuda:0")
    for given in ({"jobs": 0}, {"jobs": 1000}, {"device": "cpu,"}, {"device": "cpu,abacus"}):
        with pytest.raises(UsageError):
            Options(**given)


def test_the_planner_ends_when_a_worker_has_failed() -> None:
    class Failing(WorkerPool):
        def submit(self, number: int, place: Place | None) -> None:
            """Take it."""

        def check(self, seconds: float) -> bool:
            raise OutputError("no room")

        def outstanding(self) -> int:
            return 0

        def frames(self) -> int:
            return 0

    stopped = threading.Event()

    def plan(self: Crew, number: int, place: Place | None, stop: threading.Event) -> None:
        stop.wait(60)
        stopped.set()

    meter = SimpleNamespace(total=lambda: 0, duration=lambda: None, before=0)
    tools = SimpleNamespace(meter=meter, cancel=threading.Event())
    maker = SimpleNamespace(tools=tools, finished=SimpleNamespace(first_missing=lambda: (0, None)))
    with mock.patch.object(Crew, "_plan", plan), pytest.raises(OutputError, match="no room"):
        Crew(maker=maker, workers=Failing()).work()  # type: ignore[arg-type]
    assert stopped.wait(5)


def test_a_worker_that_is_stopped_before_it_has_begun_says_nothing() -> None:
    setup = SimpleNamespace()
    shared = SimpleNamespace(
        devices=SimpleNamespace(get=lambda: (0, "cpu")), stop=SimpleNamespace(value=1), frames=[0]
    )
    with (
        mock.patch("vidcolor.processes.maker_of", side_effect=Interrupted(signal.SIGINT)),
        mock.patch("vidcolor.processes.signal.signal"),
        mock.patch("vidcolor.processes.WarningCollector"),
        mock.patch("vidcolor.processes._maker", None),
    ):
        _begin(setup, shared)  # type: ignore[arg-type]
        with pytest.raises(Interrupted):
            _make_shot(0, None)


def test_shots_are_found_only_so_far_ahead_of_the_workers(tmp_path: Path) -> None:
    class Slow(WorkerPool):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.most, self.taken = 0, 0, 0

        def submit(self, number: int, place: Place | None) -> None:
            self.left, self.taken = self.left + 1, self.taken + 1
            self.most = max(self.most, self.left)

        def check(self, seconds: float) -> bool:
            time.sleep(0.05)
            self.left = max(0, self.left - 1)
            return self.left == 0

        def outstanding(self) -> int:
            return self.left

        def frames(self) -> int:
            return 0

    places = [(number, None) for number in range(1, 12)]
    options = SimpleNamespace(temporal="flow", smoothing=1.0, render_size=32)
    meter = SimpleNamespace(total=lambda: 0, duration=lambda: None, before=0)
    maker = SimpleNamespace(
        order=SimpleNamespace(options=options),
        tools=SimpleNamespace(meter=meter, cancel=threading.Event()),
        finished=SimpleNamespace(first_missing=lambda: (0, None)),
        source=None,
        manifest=SimpleNamespace(segment_frames=8),
        encoding=SimpleNamespace(ticks=None),
    )
    workers = Slow()
    planner = SimpleNamespace(beginnings=lambda number, place: iter(places))
    with (
        mock.patch("vidcolor.crew._MOST_AHEAD", 3),
        mock.patch("vidcolor.crew._POLL_SECONDS", 0.01),
        mock.patch("vidcolor.crew.Planner", return_value=planner),
    ):
        Crew(maker=maker, workers=workers).work()  # type: ignore[arg-type]
    assert (workers.taken, workers.most) == (12, 3)


def test_where_shots_begin_is_found_without_motion(tmp_path: Path) -> None:
    source, target = cut_film(tmp_path / "in.mkv", (8, 10, 13)), tmp_path / "out.mkv"
    shipped(source, tmp_path / "alone.mkv")
    never = mock.patch(
        "vidcolor.temporal.motion_between", side_effect=AssertionError("motion in the planner")
    )
    with never:
        assert shipped(source, target, jobs=2).frames == 31
    assert fingerprint(target) == fingerprint(tmp_path / "alone.mkv")


def slides(path: Path, lengths: tuple[int, ...]) -> Path:
    """Pictures of which each stands still for so many frames."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number, length in enumerate(lengths):
            for _ in range(length):
                frame = av.VideoFrame(96, 64, "yuv420p")
                fill_plane(frame.planes[0], np.full((64, 96), 40 + 20 * number, np.uint8))
                for plane in frame.planes[1:]:
                    fill_plane(plane, np.full((32, 48), 128, np.uint8))
                out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def places_in(name: str, lengths: tuple[int, ...]) -> list[Place]:
    """Where shots of these lengths end."""
    source = FrameSource(lambda: open_source(name), DecodeSettings(name=name), 10, threading.Event())
    source.first()
    frames = list(source.span(sum(lengths)))
    source.close()
    return [
        Place(
            frames=count,
            last=frames[count - 1].pts,
            lumas=tuple(luma_check(frame) for frame in frames[count - WITNESSES : count]),
            seconds=float(frames[count - 1].seconds),
            lost=0,
            damaged=0,
            ticks=0,
            state=None,
        )
        for count in accumulate(lengths)
    ]


@pytest.mark.parametrize("film", ["in.avi", "in.mkv"])
def test_a_worker_does_not_begin_anew_where_there_is_no_seeking(film: str, tmp_path: Path) -> None:
    """In AVI, and in pictures that stand still: the whole would be decoded again for each shot."""
    lengths = (20,) * 8
    name = str(cut_film(tmp_path / film, lengths) if film == "in.avi" else slides(tmp_path / film, lengths))
    places, opened = places_in(name, lengths), []

    def open_it() -> InputContainer:
        opened.append(name)
        return open_source(name)

    source = FrameSource(open_it, DecodeSettings(name=name), 3, threading.Event())
    source.first()
    for number in (2, 4, 6, 3):
        source.go_to(number, places[number - 1])
        shot = list(source.span(20))[:20]
        source.finish_span(number, 20)
        assert len(opened) == 1 + (number == 3), "what lies behind is read again"
        assert tuple(map(luma_check, shot))[-WITNESSES:] == places[number].lumas
        assert shot[-1].pts == places[number].last
    source.close()
