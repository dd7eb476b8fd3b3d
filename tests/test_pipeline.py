"""The pipeline: order, exceptions, cancellation, and memory that does not grow."""

from __future__ import annotations

import dataclasses
import gc
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

import av
import numpy as np
import pytest
from media import grey_frame, make_film, planes_of
from quick import Corners, colour

from vidcolor.checkpoint import Generator
from vidcolor.frames import Frame, Signal
from vidcolor.matrices import BT709, Matrix
from vidcolor.pipeline import Colouring, run
from vidcolor.stages.predict import Predictor

torch = pytest.importorskip("torch")


def frame_of(index: int, size: tuple[int, int] = (64, 48)) -> Frame:
    video = grey_frame(*size, "yuv420p", index)
    luma = planes_of(video)[0]
    signal = Signal(depth=8, full_range=False, matrix=BT709)
    return Frame(video=video, luma=luma, signal=signal, pts=index, duration=1, time_base=Fraction(1, 25))


def packet_of(index: int, size: int = 10) -> Any:
    packet = av.Packet(size)
    packet.pts = index
    return packet


def corners() -> Predictor:
    """A predictor that costs nothing."""
    generator = Generator(network=Corners(), multiple=32, path=Path("x"), metadata={})
    return Predictor(generator, torch.device("cpu"), "float32")


class Film:
    """Remembers what it is given."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.frames: list[int] = []

    def begin(self, first: Frame) -> None:
        self.said.append(f"begin {first.pts}")

    def write_packet(self, packet: Any) -> None:
        self.said.append(f"packet {packet.pts}")

    def colour(self, frame: Frame, pictures: list[Any], abs_: list[Any]) -> Any:
        return pictures, abs_

    def write_frame(self, frame: Frame, pictures: list[Any], abs_: list[Any]) -> None:
        assert len(pictures) == len(abs_) == frame.fields
        assert abs_[0].shape == (*pictures[0].grey.shape, 2)
        self.said.append(f"frame {frame.pts}")
        self.frames.append(frame.pts)

    def finish(self) -> None:
        self.said.append("finish")


def colouring(**given: Any) -> Colouring:
    generator = Generator(network=Corners(), multiple=32, path=Path("corners"), metadata={})
    settings: dict[str, Any] = {
        "predictor": Predictor(generator, torch.device("cpu"), "float32"),
        "temporal": "off",
        "smoothing": 0.0,
        "render_size": 32,
        "batch_size": 4,
        "progress": lambda frame, count: None,
    }
    return Colouring(**(settings | given))


def test_frames_and_packets_arrive_in_order_and_the_film_is_finished() -> None:
    film = Film()
    items = [packet_of(100), packet_of(101), *(frame_of(i) for i in range(10)), packet_of(102)]
    assert run(items, colouring(), film) == 10
    assert film.said[:3] == ["begin 0", "packet 100", "packet 101"]
    assert film.frames == list(range(10))
    assert film.said[-1] == "finish"
    assert film.said.count("packet 102") == 1


def test_the_table_of_chroma_is_made_while_the_first_colours_are_predicted() -> None:
    asked, made = threading.Event(), []

    def tabulated(matrix: Matrix) -> None:
        made.append(matrix)
        asked.set()

    class Waiting(Corners):
        def forward(self, lightness: torch.Tensor) -> torch.Tensor:
            assert asked.wait(60.0)
            return super().forward(lightness)

    generator = Generator(network=Waiting(), multiple=32, path=Path("x"), metadata={})
    predictor = Predictor(generator, torch.device("cpu"), "float32")
    with mock.patch("vidcolor.pipeline.tabulated", tabulated):
        assert run((frame_of(i) for i in range(9)), colouring(predictor=predictor), Film()) == 9
    assert made == [BT709]


def test_a_film_without_frames_is_never_begun() -> None:
    film = Film()
    assert run([packet_of(1)], colouring(), film) == 0
    assert film.said == []


def test_the_size_of_a_frame_may_change() -> None:
    film = Film()
    items = [frame_of(0), frame_of(1), frame_of(2, (48, 80)), frame_of(3)]
    assert run(items, colouring(), film) == 4
    assert film.frames == [0, 1, 2, 3]


def failing_source() -> Iterator[Frame]:
    yield from (frame_of(i) for i in range(6))
    raise KeyError("source")


def test_an_exception_of_the_source_arrives_after_what_it_gave() -> None:
    film = Film()
    with pytest.raises(KeyError, match="source"):
        run(failing_source(), colouring(), film)
    assert film.frames == [0, 1, 2, 3, 4, 5]
    assert film.said[-1] == "finish", "what the reader of a pipe has got plays"


def test_an_exception_of_the_source_before_the_first_frame_arrives() -> None:
    def source() -> Iterator[Frame]:
        raise KeyError("source")
        yield

    with pytest.raises(KeyError, match="source"):
        run(source(), colouring(), Film())


@pytest.mark.parametrize("where", ["begin", "colour", "write_frame", "write_packet", "finish"])
def test_an_exception_of_the_film_arrives(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError(where)

    monkeypatch.setattr(Film, where, fail)
    items = [frame_of(0), packet_of(1), *(frame_of(i) for i in range(1, 60))]
    with pytest.raises(KeyError, match=where):
        run(items, colouring(), Film())


def test_an_exception_of_the_generator_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("generator")

    monkeypatch.setattr(Predictor, "_forward", fail)
    with pytest.raises(KeyError, match="generator"):
        run((frame_of(i) for i in range(60)), colouring(), Film())


def test_cancelling_stops_the_reading_and_finishes_what_was_begun() -> None:
    film, cancel = Film(), threading.Event()

    def endless() -> Iterator[Frame]:
        index = 0
        while True:
            yield frame_of(index)
            index += 1

    count = run(endless(), colouring(cancel=cancel, progress=lambda f, n: n >= 12 and cancel.set()), film)
    assert count >= 12
    assert film.frames == list(range(count))
    assert film.said[-1] == "finish"


def test_cancelling_does_not_wait_for_a_source_that_blocks() -> None:
    film, cancel, release = Film(), threading.Event(), threading.Event()

    def source() -> Iterator[Frame]:
        yield from (frame_of(i) for i in range(8))
        threading.Timer(0.1, cancel.set).start()
        release.wait(60)

    assert run(source(), colouring(cancel=cancel), film) in (4, 8)
    assert film.said[-1] == "finish"
    release.set()


def test_a_film_that_is_slow_to_write_slows_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    go_on, size = threading.Event(), (640, 480)

    def source() -> Iterator[Frame]:
        for index in range(400):
            given.append(index)
            yield frame_of(0, size) if index == 0 else Frame(**{**vars(first), "pts": index})

    first = frame_of(0, size)
    monkeypatch.setattr(Film, "write_frame", lambda *_: go_on.wait(60))
    worker = threading.Thread(target=run, args=(source(), colouring(), Film()))
    worker.start()
    before = -1
    while len(given) != before:  # until it has come to rest
        before = len(given)
        time.sleep(0.3)
    waiting = len(given)
    go_on.set()
    worker.join()
    assert 0 < waiting < 150, "queues of some 8 MB hold no more of these frames of 0.5 MB"
    assert len(given) == 400


MEASURE = """
import resource, sys
sys.path[:0] = [{tests!r}]
from quick import colour
import torch
torch.set_num_threads(1)
colour(sys.argv[1], sys.argv[2], preset="ultrafast", batch_size=2, temporal="flow")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has another unit elsewhere")
def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    code = MEASURE.format(tests=str(Path(__file__).parent))
    jobs = []
    for frames in (300, 800):  # several segments each
        film = make_film(
            tmp_path / f"{frames}.mkv",
            frames=frames,
            size=(320, 240),
            audio="aac",
            options={"preset": "ultrafast"},
        )
        command = [sys.executable, "-c", code, str(film), str(tmp_path / f"{frames}-out.mkv")]
        jobs.append(subprocess.Popen(command, stdout=subprocess.PIPE))
    short, long = (int(job.communicate()[0]) for job in jobs)
    # 500 more frames are 58 MB decoded; allocators wander by some megabytes
    assert long < short * 1.05 + 10_000, f"{short} KiB for 300 frames, {long} KiB for 800"


def test_frames_go_without_the_garbage_collector(tmp_path: Path) -> None:
    """A frame in a cycle of references lives until a collection that comes after hundreds of others."""
    film = make_film(tmp_path / "film.mkv", frames=60)
    gc.collect()
    gc.disable()
    try:
        colour(film, tmp_path / "out.mkv")
        left = sum(type(o) is av.VideoFrame for o in gc.get_objects())
    finally:
        gc.enable()
    assert left < 5


def test_queues_count_what_the_generator_sees_too() -> None:
    """A small film at a large render size: its luma is next to nothing, its pictures are not."""
    seen: list[int] = []

    def slow() -> Iterator[Frame]:
        for index in range(400):
            seen.append(index)
            yield frame_of(index, (32, 32))

    class Stuck(Film):
        def begin(self, first: Frame) -> None:
            time.sleep(1.0)  # the reader runs ahead as far as it may
            seen_then.append(len(seen))
            raise RuntimeError("enough")

    seen_then: list[int] = []
    colouring = Colouring(
        predictor=corners(),
        temporal="off",
        smoothing=0.0,
        render_size=256,
        batch_size=4,
        progress=lambda *_: None,
    )
    with pytest.raises(RuntimeError, match="enough"):
        run(slow(), colouring, Stuck())
    assert seen_then[0] * 4 * 256 * 256 * 4 < 24 << 20  # 8 MiB queued, a batch in hand on either side


def test_a_cancelled_film_that_nobody_will_see_is_not_finished() -> None:
    cancel = threading.Event()
    film = Film()
    finished: list[bool] = []
    begun = threading.Event()
    film.finish = lambda: finished.append(True)  # type: ignore[method-assign]
    film.begin = lambda first: begun.set()  # type: ignore[method-assign]

    def endless() -> Iterator[Frame]:
        for index in range(10_000):
            if index == 8:
                assert begun.wait(20)
                cancel.set()
            yield frame_of(index)

    for flush in (False, True):
        cancel.clear()
        begun.clear()
        colouring = Colouring(
            predictor=corners(),
            temporal="off",
            smoothing=0.0,
            render_size=32,
            batch_size=2,
            progress=lambda *_: None,
            cancel=cancel,
            flush_on_cancel=flush,
        )
        run(endless(), colouring, film)
        assert bool(finished) == flush


class Flickering(torch.nn.Module):
    """Another plain colour for each picture, which depends on the picture alone."""

    def forward(self, lightness: torch.Tensor) -> torch.Tensor:
        """L* ``(N, 1, H, W)`` to ab ``(N, 2, H/2, W/2)``."""
        count, _, height, width = lightness.shape
        mean = lightness.mean((1, 2, 3)) * 1000.0 % 40.0
        return mean[:, None, None, None].expand(count, 2, height // 2, width // 2)


def test_frames_that_are_recoloured_at_once_stay_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    film, busy, most, lock = Film(), 0, 0, threading.Lock()

    def colour(frame: Frame, pictures: list[Any], abs_: list[Any]) -> Any:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(0.02 * (frame.pts % 3))
        with lock:
            busy -= 1
        return pictures, abs_

    film.colour = colour  # type: ignore[method-assign]
    assert run((frame_of(i) for i in range(30)), colouring(batch_size=16), film) == 30
    assert film.frames == sorted(film.frames) and len(film.frames) == 30
    assert 1 < most <= 4


def test_smoothed_colours_do_not_depend_on_the_batch() -> None:
    generator = Generator(network=Flickering(), multiple=32, path=Path("x"), metadata={})
    predictor = Predictor(generator, torch.device("cpu"), "float32")
    runs = []
    for batch in (1, 3, 16):
        film, found = Film(), []
        film.write_frame = lambda frame, pictures, abs_, found=found: found.extend(abs_)  # type: ignore[method-assign]
        given = colouring(predictor=predictor, temporal="flow", smoothing=0.9, batch_size=batch)
        assert run((frame_of(i) for i in range(24)), given, film) == 24
        runs.append(found)
    assert all(len(found) == 24 for found in runs)
    assert np.ptp([ab.mean() for ab in runs[0]]) > 0.1
    for other in runs[1:]:
        assert all(np.allclose(a, b, atol=1e-4) for a, b in zip(runs[0], other, strict=True))


def test_what_was_read_before_a_failure_is_smoothed_and_written() -> None:
    def broken() -> Iterator[Frame]:
        yield from (frame_of(i) for i in range(7))
        raise RuntimeError("the disk is gone")

    film = Film()
    with pytest.raises(RuntimeError, match="disk"):
        run(broken(), colouring(temporal="flow", smoothing=0.9), film)
    assert film.frames == list(range(7))


class Reminding(torch.nn.Module):
    """Gives each picture its own mean L* as colour."""

    def forward(self, lightness: torch.Tensor) -> torch.Tensor:
        """L* ``(N, 1, H, W)`` to ab ``(N, 2, H/2, W/2)``."""
        count, _, height, width = lightness.shape
        return lightness.mean((1, 2, 3))[:, None, None, None].expand(count, 2, height // 2, width // 2)


@pytest.mark.parametrize("bottom_first", [False, True])
@pytest.mark.parametrize("temporal", ["off", "flow"])
def test_fields_keep_their_colours_and_are_smoothed_in_the_order_of_time(
    bottom_first: bool, temporal: str
) -> None:
    """A light that grows from field to field: each field's colour must be its own, in its own lines."""

    def frames() -> Iterator[Frame]:
        for index in range(20):
            frame = frame_of(index)
            first, second = (1, 0) if bottom_first else (0, 1)
            luma = np.empty_like(frame.luma)
            luma[first::2], luma[second::2] = 20 + 8 * index, 24 + 8 * index
            yield dataclasses.replace(frame, luma=luma, fields=2, bottom_first=bottom_first)

    generator = Generator(network=Reminding(), multiple=32, path=Path("x"), metadata={})
    predictor = Predictor(generator, torch.device("cpu"), "float32")
    film, found = Film(), []
    film.write_frame = lambda frame, pictures, abs_: found.append((frame, pictures, abs_))  # type: ignore[method-assign]
    given = colouring(predictor=predictor, temporal=temporal, smoothing=0.9, batch_size=3)
    assert run(frames(), given, film) == 20
    for frame, pictures, abs_ in found:
        for field, (picture, ab) in enumerate(zip(pictures, abs_, strict=True)):
            code = int(frame.luma[field, 0])
            assert picture.grey.mean() == pytest.approx((code - 16) / 219, abs=0.01)
            if temporal == "off":
                assert ab.mean() == pytest.approx(picture.luminance.mean(), abs=0.1)
    means = [ab.mean() for frame, _, abs_ in found for ab in frame.in_time(abs_)]
    assert means == sorted(means)
