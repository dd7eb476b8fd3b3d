"""Promise 4: a job survives anything, and the finished film is that of an uninterrupted run."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import av
import numpy as np
import pytest
import torch
from av.video.stream import VideoStream
from calling import call
from filelock import FileLock
from media import change_packets, grey_frame, make_film, planes_of, read_film
from quick import quickly

from vidcolor import segments
from vidcolor.assembly import assemble
from vidcolor.checkpoint import load_generator
from vidcolor.errors import InputError, Interrupted, OutputError, ResumeMismatch, UsageError
from vidcolor.film import Film
from vidcolor.framesource import AHEAD
from vidcolor.job import colorize
from vidcolor.manifest import identify
from vidcolor.media.processors import processors
from vidcolor.media.streams import pick_video
from vidcolor.options import Options
from vidcolor.packing import Coded, Segment
from vidcolor.result import Progress, Result
from vidcolor.resumable import frames_a_segment
from vidcolor.segments import SUFFIX, SegmentStore
from vidcolor.stages.predict import Predictor, one_by_one
from vidcolor.status import job_status
from vidcolor.workplace import Workplace


class Flickering(torch.nn.Module):
    """Another plain colour for each picture, which depends on the picture alone."""

    def forward(self, lightness: torch.Tensor) -> torch.Tensor:
        """L* ``(N, 1, H, W)`` to ab ``(N, 2, H/2, W/2)``."""
        count, _, height, width = lightness.shape
        mean = lightness.mean((1, 2, 3)) * 1000.0 % 40.0
        return mean[:, None, None, None].expand(count, 2, height // 2, width // 2)


class Calm(torch.nn.Module):
    """Colours that follow lightness; how many pictures it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def forward(self, lightness: torch.Tensor) -> torch.Tensor:
        """L* ``(N, 1, H, W)`` to ab ``(N, 2, H/2, W/2)``."""
        self.asked += len(lightness)
        half = torch.nn.functional.avg_pool2d(lightness, 2)
        return torch.cat((half * 0.3, 20.0 - half * 0.2), 1)


@contextmanager
def played_gpu(model: str = "RTX A") -> Iterator[list[int]]:
    """A GPU whose arithmetic depends on how many pictures there are in a batch; how many there were."""
    given: list[int] = []

    def colour(self: Any, run: Any, luminance: torch.Tensor, shape: tuple[int, int], count: int) -> list[Any]:
        given.append(len(luminance))
        ab = (luminance[:count].mean((1, 2, 3)) * 1000.0 + 7.0 * len(luminance)) % 40.0
        return [np.full((*shape, 2), float(value), np.float32) for value in ab]

    with (
        mock.patch("vidcolor.filmjob.resolve_device", lambda _: torch.device("cuda")),
        mock.patch("torch.cuda.get_device_name", lambda _: model),
        mock.patch.multiple(Predictor, _ready=lambda self: None, _colour=colour),
    ):
        yield given


class Stop(Exception):
    """What ends a run in these tests."""


@contextmanager
def short_segments(frames: int = 6, network: torch.nn.Module | None = None) -> Iterator[None]:
    with (
        mock.patch("vidcolor.resumable._MOST_FRAMES", frames),
        mock.patch("vidcolor.resumable._FEWEST_FRAMES", frames),
        quickly(network or Flickering()),
    ):
        yield


@contextmanager
def little_memory() -> Iterator[None]:
    """It runs out with more than two pictures a batch; at the end, that it did."""
    forward, too_many = Predictor._forward, []

    def greedy(self: Predictor, luminance: torch.Tensor, shape: tuple[int, int]) -> Any:
        if len(luminance) > 2:
            too_many.append(len(luminance))
            raise MemoryError
        return forward(self, luminance, shape)

    with mock.patch.object(Predictor, "_forward", greedy):
        yield
    assert too_many


def run(
    source: Path,
    target: Path,
    *,
    stop_after: int | None = None,
    network: torch.nn.Module | None = None,
    **given: Any,
) -> Result:
    """Colour in short segments; ``stop_after`` frames of this run, end as a crash would."""
    options = Options(**({"render_size": 32, "device": "cpu", "precision": "fp32"} | given))
    begun: list[int] = []

    def progress(now: Progress) -> None:
        begun.append(now.frames)
        if stop_after is not None and now.frames - (begun[0] - 1) > stop_after:
            raise Stop

    with short_segments(network=network):
        return colorize(source, target, options, progress)


def fingerprint(path: Path) -> list[Any]:
    """All that must be the same: planes and times of frames, packets of all tracks, chapters."""
    frames = [
        (f.pts, f.time_base, *(hashlib.md5(p).hexdigest() for p in planes_of(f))) for f in read_film(path)
    ]
    with av.open(str(path)) as container:
        packets = [
            (p.stream_index, p.pts, p.dts, p.duration, hashlib.md5(bytes(p)).hexdigest())
            for p in container.demux()
            if p.size
        ]
        return [frames, packets, container.chapters()]


INTERLACED = {"x264-params": "tff=1"}


def left_in(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.startswith("."))


KINDS: dict[str, dict[str, Any]] = {
    "b-frames and sound, mp4": {"name": "in.mp4", "audio": "aac"},
    "10 bits, mkv": {"name": "in.mkv", "pix_fmt": "yuv420p10le"},
    "variable rate": {
        "name": "in.mkv",
        "pts": [i * 40 + 13 * (i % 3) for i in range(30)],
        "time_base": Fraction(1, 1000),
    },
    "long groups of pictures": {"name": "in.mp4", "options": {"g": "250", "bf": "3"}},
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """A source, and the fingerprint of the film that an uninterrupted run makes of it."""
    folder = tmp_path_factory.mktemp("kind")
    settings = dict(KINDS[request.param])
    source = make_film(folder / settings.pop("name"), frames=30, **settings)
    target = folder / f"whole{source.suffix}"
    assert run(source, target).frames == 30
    return source, fingerprint(target)


@pytest.mark.parametrize("after", [3, 8, 13, 22])
def test_promise_4_an_interrupted_job_gives_the_same_film(
    kind: tuple[Path, list[Any]], after: int, tmp_path: Path
) -> None:
    source, expected = kind
    target = tmp_path / f"out{source.suffix}"
    with pytest.raises(Stop):
        run(source, target, stop_after=after)
    assert not target.exists()
    assert run(source, target).frames == 30
    assert fingerprint(target) == expected
    assert left_in(tmp_path) == []


def test_losses_beside_a_seam_are_counted_once(tmp_path: Path) -> None:
    plain = make_film(tmp_path / "plain.mkv", frames=40, codec="ffv1", options={"slicecrc": "1", "g": "1"})

    def damaged(index: int, data: bytearray) -> bytes | bytearray:
        data[len(data) // 3] ^= 4 if index in (0, 6, 12, 15, 20, 27) else 0
        return b"\x00" * 9 if index in (5, 8, 14, 17, 21, 22) else data

    source = change_packets(plain, tmp_path / "in.mkv", damaged)
    whole = run(source, tmp_path / "whole.mkv")
    assert (whole.lost, whole.damaged) == (6, 5)  # the first damaged one is believed to have no checksums
    for after in (3, 8, 13, 22):
        target = tmp_path / f"out{after}.mkv"
        with pytest.raises(Stop):
            run(source, target, stop_after=after)
        result = run(source, target)
        assert (result.frames, result.lost, result.damaged) == (34, 6, 5)


@pytest.mark.parametrize("damaged", ["lost", "damaged", ""], ids=["lost", "damaged", "sound"])
def test_damage_that_is_concealed_in_another_way_does_not_hinder(damaged: str, tmp_path: Path) -> None:
    options = {"g": "1", "slicecrc": "1"}
    plain = make_film(tmp_path / "plain.mkv", frames=30, codec="ffv1", options=options)
    target = tmp_path / "out.mkv"

    def change(index: int, data: bytearray) -> bytearray:
        data[len(data) // 3] ^= 4 if index == 3 and damaged == "damaged" else 0
        return data[: 9 if index == 3 and damaged == "lost" else None]

    source = change_packets(plain, tmp_path / "in.mkv", change)
    with pytest.raises(Stop):
        run(source, target, stop_after=14)
    with mock.patch("vidcolor.framesource.luma_check", return_value=0):
        if damaged:
            assert run(source, target).frames == (29 if damaged == "lost" else 30)
        else:
            with pytest.raises(ResumeMismatch, match="not there any more"):
                run(source, target)
    assert run(source, target).already == bool(damaged)


def test_a_gap_is_filled_only_where_the_frame_before_it_is_known_for_certain(tmp_path: Path) -> None:
    """What follows the gap was made after that very frame."""
    plain = make_film(tmp_path / "plain.mkv", frames=30, codec="ffv1", options={"g": "1"})
    source = change_packets(plain, tmp_path / "in.mkv", lambda index, data: data[: 9 if index == 3 else None])
    target = tmp_path / "out.mkv"
    with mock.patch("vidcolor.resumable.assemble", side_effect=Stop), pytest.raises(Stop):
        run(source, target)
    next(Workplace(target).folder.glob("000001-*")).unlink()
    concealed = mock.patch("vidcolor.framesource.luma_check", return_value=0)
    with concealed, pytest.raises(ResumeMismatch, match="not there any more"):
        run(source, target)
    assert run(source, target).frames == 29


def test_however_often_it_is_interrupted(kind: tuple[Path, list[Any]], tmp_path: Path) -> None:
    source, expected = kind
    target, runs = tmp_path / f"out{source.suffix}", 0
    while not target.exists():
        runs += 1
        try:
            run(source, target, stop_after=7)
        except Stop:
            assert job_status(str(target)).frames >= 6 * runs, "a run finishes a segment at least"
    assert 3 < runs < 8
    assert fingerprint(target) == expected


@pytest.mark.parametrize("fields", [1, 2])
def test_frames_that_are_left_to_their_neighbours_are_the_same_however_they_are_made(
    fields: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # some are not, here and there, and so segments begin with those that might be as well as with others
    monkeypatch.setattr("vidcolor.sparse.is_explained", lambda _, after: after.earlier.sum() * 100.0 % 5 > 1)
    frames, ahead = 38, 7 * (AHEAD / fields + 1)  # seven segments, and what is looked at beyond each
    more: dict[str, Any] = {"codec": "libx264", "options": INTERLACED} if fields == 2 else {}
    source = make_film(tmp_path / "in.mkv", frames=frames, size=(128, 96), **more)
    names = ("whole", "out", "pipe", "every")
    whole, target, pipe, every = (tmp_path / f"{name}.mkv" for name in names)
    network = Calm()
    given: dict[str, Any] = {"render_size": 96, "engine": "torch", "codec": "ffv1", "network": network}
    run(source, whole, **given)
    assert network.asked < 0.75 * fields * (frames + ahead)
    while not target.exists():
        with suppress(Stop):
            run(source, target, stop_after=7, **given)
    with open(pipe, "wb") as file, short_segments(network=network):
        given.pop("network")
        options = Options(device="cpu", precision="fp32", format="matroska", **given)
        colorize(source, "-", options, output_fd=file.fileno())
    run(source, every, every_frame=True, network=network, **given)
    chroma = [[p.tobytes() for p in planes_of(f)[1:]] for f in read_film(whole)]
    assert len(chroma) == frames
    for other in (target, pipe):
        assert [[p.tobytes() for p in planes_of(f)[1:]] for f in read_film(other)] == chroma
    assert [[p.tobytes() for p in planes_of(f)[1:]] for f in read_film(every)] != chroma


def test_one_thread_predicts_for_all_segments(tmp_path: Path) -> None:
    source, threads = make_film(tmp_path / "in.mkv", frames=30), set()

    class Watched(Calm):
        def forward(self, lightness: torch.Tensor) -> torch.Tensor:
            threads.add(threading.get_ident())
            return super().forward(lightness)

    with mock.patch("vidcolor.predictors.Sharing", lambda: one_by_one):
        run(source, tmp_path / "out.mkv", network=Watched(), engine="torch")
    assert len(threads) == 1


def test_no_more_than_a_segment_is_done_again(tmp_path: Path) -> None:
    source, target = make_film(tmp_path / "in.mp4", frames=30), tmp_path / "out.mp4"
    with pytest.raises(Stop):
        run(source, target, stop_after=20)
    seen: list[int] = []
    with short_segments():
        colorize(
            source,
            target,
            Options(render_size=32, device="cpu", precision="fp32"),
            lambda now: seen.append(now.frames),
        )
    assert seen[0] > 12


def test_interrupted_while_the_film_is_put_together(tmp_path: Path) -> None:
    source, target = make_film(tmp_path / "in.mp4", frames=20, audio="aac"), tmp_path / "out.mp4"
    run(source, tmp_path / "whole.mp4")
    with mock.patch("vidcolor.film.Film.end", side_effect=Stop), pytest.raises(Stop):
        run(source, target)
    assert not target.exists()
    assert left_in(tmp_path) == [".out.mp4.vidcolor"]
    with mock.patch("vidcolor.making.run", side_effect=AssertionError("nothing is left to colour")):
        assert run(source, target).frames == 20
    assert fingerprint(target) == fingerprint(tmp_path / "whole.mp4")
    assert left_in(tmp_path) == []


def test_told_to_stop_while_the_film_is_put_together(tmp_path: Path) -> None:
    source, target, cancel = (
        make_film(tmp_path / "in.mp4", frames=20),
        tmp_path / "out.mp4",
        threading.Event(),
    )

    def assembled(film: Film, parts: Iterator[Coded], *given: Any) -> None:
        cancel.set()
        assemble(film, parts, *given)

    options = Options(render_size=32, device="cpu", precision="fp32")
    joining = mock.patch("vidcolor.resumable.assemble", assembled)
    with short_segments(), joining, pytest.raises(Interrupted):
        colorize(source, target, options, cancel=cancel)
    assert job_status(str(target)).frames == 20
    assert left_in(tmp_path) == [".out.mp4.vidcolor"]


@pytest.mark.parametrize("width", [1, 7, 720, 1920, 4096, 9999])
def test_segments_have_an_even_number_of_frames(width: int) -> None:
    """H.264 numbers key frames in turns of two, and those that meet at a join must differ."""
    for height in range(1, 4000, 37):
        first: Any = SimpleNamespace(luma=SimpleNamespace(nbytes=width * height))
        assert frames_a_segment(first) in range(16, 241, 2)


def test_where_seeking_fails_the_source_is_read_from_the_beginning(tmp_path: Path) -> None:
    source, target = make_film(tmp_path / "in.mp4", frames=30), tmp_path / "out.mp4"
    run(source, tmp_path / "whole.mp4")
    with pytest.raises(Stop):
        run(source, target, stop_after=14)
    with mock.patch("vidcolor.stages.decode.seek", lambda container, *_, **__: list(container.demux())[:0]):
        run(source, target)
    assert fingerprint(target) == fingerprint(tmp_path / "whole.mp4")


def test_few_frames_a_second_are_found_again_by_seeking(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Eight of them, by which the place is known, are four seconds."""
    source, target = make_film(tmp_path / "in.mkv", frames=40, rate=2, options={"g": "1"}), tmp_path / "o.mkv"
    run(source, tmp_path / "whole.mkv")
    with pytest.raises(Stop):
        run(source, target, stop_after=22)
    with caplog.at_level(logging.DEBUG, "vidcolor"):
        run(source, target)
    assert "not found by seeking" not in caplog.text
    assert fingerprint(target) == fingerprint(tmp_path / "whole.mkv")


def test_who_may_only_read_a_lock_can_tell_whether_it_is_held(stopped: tuple[Path, Path]) -> None:
    place = Workplace(stopped[1])
    with mock.patch("vidcolor.workplace.FileLock.acquire", side_effect=PermissionError(errno.EACCES, "no")):
        assert not place.busy()
        with open(place.folder / "lock", "rb") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            assert place.busy()


def test_a_lock_that_cannot_be_made_leaves_no_folder(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mp4", frames=6)
    refused = OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    refusing = mock.patch("vidcolor.workplace.FileLock.acquire", side_effect=refused)
    with refusing, pytest.raises(OutputError, match="cannot be used"):
        run(source, tmp_path / "out.mkv")
    assert left_in(tmp_path) == []


def test_a_raw_stream_without_times_goes_on(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.h264", frames=30, format="h264")
    run(source, tmp_path / "whole.mkv")
    with pytest.raises(Stop):
        run(source, tmp_path / "out.mkv", stop_after=14)
    run(source, tmp_path / "out.mkv")
    assert fingerprint(tmp_path / "out.mkv") == fingerprint(tmp_path / "whole.mkv")


@pytest.fixture
def stopped(tmp_path: Path) -> tuple[Path, Path]:
    """A source and a target of which a part is finished."""
    source, target = make_film(tmp_path / "in.mp4", frames=30, audio="aac"), tmp_path / "out.mp4"
    with pytest.raises(Stop):
        run(source, target, stop_after=20)
    return source, target


def test_resuming_is_said_in_one_line(stopped: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="vidcolor"):
        run(*stopped)
    assert [r.message for r in caplog.records] == [f"{stopped[1]}: resuming at 00:00:00, 60 % done"]


def test_segments_after_a_missing_one_count_as_finished(
    stopped: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = Workplace(stopped[1]).folder
    (folder / min(name for name in os.listdir(folder) if name.endswith(".segment"))).unlink()
    status = job_status(str(stopped[1]))
    assert (status.frames, status.position) == (12, 0.0)
    with caplog.at_level("INFO", logger="vidcolor"):
        assert run(*stopped).frames == 30
    assert f"{stopped[1]}: resuming at 00:00:00, 40 % done" in caplog.messages


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"crf": 30.0}, r"crf was not given, now 30\. Run"),
        ({"smoothing": 0.5}, "smoothing"),
        ({"deinterlace": True}, "deinterlace was off, now on"),
        ({"encoder_options": {"tune": "film"}}, "encoder-options was none, now tune=film"),
        ({"audio": "none"}, "audio"),
    ],
)
def test_other_options_do_not_fit(stopped: tuple[Path, Path], given: dict[str, Any], says: str) -> None:
    with pytest.raises(ResumeMismatch, match=says) as caught:
        run(*stopped, **given)
    assert "--restart" in str(caught.value)
    assert caught.value.exit_code == 6
    assert run(*stopped).frames == 30, "nothing is lost"


def test_restart_begins_anew(stopped: tuple[Path, Path]) -> None:
    assert run(*stopped, crf=30.0, restart=True).frames == 30


def test_a_changed_source_does_not_fit(stopped: tuple[Path, Path]) -> None:
    content = bytearray(stopped[0].read_bytes())
    content[len(content) // 2] ^= 255
    stopped[0].write_bytes(content)
    with pytest.raises(ResumeMismatch, match="input has changed"):
        run(*stopped)


@pytest.mark.parametrize("place", [0, 49_000, 99_999])
def test_a_large_source_is_known_by_samples_and_its_time_of_change(place: int, tmp_path: Path) -> None:
    path = tmp_path / "in.mkv"
    path.write_bytes(bytes(100_000))
    changed = path.stat().st_mtime_ns
    with mock.patch("vidcolor.manifest._WHOLE", 99_999), mock.patch("vidcolor.manifest._SAMPLE", 1000):
        known = identify(str(path))
        os.utime(path, ns=(changed, changed + 10**9))
        assert identify(str(path)) != known
        with open(path, "r+b") as file:
            file.seek(place)
            file.write(b"1")
        os.utime(path, ns=(changed, changed))
        assert identify(str(path)) != known
        with open(path, "r+b") as file:
            file.seek(place)
            file.write(b"\0")
        os.utime(path, ns=(changed, changed))
        assert identify(str(path)) == known


def test_other_weights_do_not_fit(stopped: tuple[Path, Path]) -> None:
    with (
        mock.patch("vidcolor.filmjob.digest_weights", lambda path: "0" * 64),
        pytest.raises(ResumeMismatch, match="weights"),
    ):
        run(*stopped)


def test_another_machine_needs_leave_to_go_on(stopped: tuple[Path, Path]) -> None:
    other = mock.patch("vidcolor.machine.av.library_versions", {"libavcodec": (1, 2, 3)})
    with other, pytest.raises(ResumeMismatch, match=r"libavcodec was \S+, now 1\.2\.3.*--accept-drift"):
        run(*stopped)
    with other:
        assert run(*stopped, accept_drift=True).frames == 30


def test_leave_that_is_given_once_holds(stopped: tuple[Path, Path]) -> None:
    with mock.patch("vidcolor.machine.av.library_versions", {"libavcodec": (1, 2, 3)}):
        with (
            mock.patch("vidcolor.resumable.ResumableJob._put_together", side_effect=Stop),
            pytest.raises(Stop),
        ):
            run(*stopped, accept_drift=True)
        assert run(*stopped).frames == 30


def test_threads_and_batch_are_those_that_the_job_was_begun_with(stopped: tuple[Path, Path]) -> None:
    threads = torch.get_num_threads()
    seen: list[int] = []
    forward = Predictor._forward

    def spy(self: Predictor, *given: Any) -> Any:
        seen.append(torch.get_num_threads())
        return forward(self, *given)

    torch.set_num_threads(threads + 1)
    try:
        with (
            mock.patch.object(Predictor, "_forward", spy),
            mock.patch("vidcolor.filmjob.choose_batch_size", lambda *_: 77),
        ):
            assert run(*stopped).frames == 30
        assert set(seen) == {threads}
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)


two_processors = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or processors() < 2, reason="needs two processors to do without one"
)


@contextmanager
def one_processor() -> Iterator[None]:
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(every)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, every)


@two_processors
@pytest.mark.parametrize("more", [{}, {"encoder_options": {"tune": "zerolatency"}}], ids=str)
def test_the_encoder_goes_on_as_on_the_machine_where_the_job_was_begun(
    more: dict[str, Any], tmp_path: Path
) -> None:
    source = make_film(tmp_path / "in.mkv", frames=30, size=(128, 192))
    with one_processor():
        run(source, tmp_path / "whole.mkv", **more)
        with pytest.raises(Stop):
            run(source, tmp_path / "out.mkv", stop_after=14, **more)
    terms = json.loads(json.loads(Workplace(tmp_path / "out.mkv").manifest_path.read_text())["terms"])
    assert terms["machine"]["processors"] == 1
    run(source, tmp_path / "out.mkv", **more)
    assert fingerprint(tmp_path / "out.mkv") == fingerprint(tmp_path / "whole.mkv")
    run(source, tmp_path / "here.mkv", **more)
    assert fingerprint(tmp_path / "here.mkv") != fingerprint(tmp_path / "whole.mkv")


@two_processors
def test_where_the_encoder_cannot_be_told_other_processors_need_leave(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mkv", frames=30, size=(128, 192))
    with one_processor(), pytest.raises(Stop):
        run(source, tmp_path / "out.mkv", stop_after=14, codec="libx265")
    with pytest.raises(ResumeMismatch, match=r"processors was 1, now \d+\..*--accept-drift"):
        run(source, tmp_path / "out.mkv", codec="libx265")
    assert run(source, tmp_path / "out.mkv", codec="libx265", accept_drift=True).frames == 30


def test_another_batch_that_is_asked_for_needs_leave(stopped: tuple[Path, Path]) -> None:
    with pytest.raises(ResumeMismatch, match=r"batch size was \d+, now 77"):
        run(*stopped, batch_size=77)


def test_the_engine_is_that_with_which_the_job_was_begun(tmp_path: Path, weights: str) -> None:
    pytest.importorskip("onnxruntime")
    source, whole, target = make_film(tmp_path / "in.mkv", frames=30), tmp_path / "w.mkv", tmp_path / "o.mkv"

    def again(to: Path, **given: Any) -> str:
        return run(source, to, network=load_generator(weights).network, **given).engine

    with mock.patch.dict("vidcolor.stages.predict.BY_NAME", clear=True):
        assert again(whole) == "torch"
        with pytest.raises(Stop):
            again(target, stop_after=14)
    with pytest.raises(ResumeMismatch, match=r"engine was torch, now onnxruntime .*--accept-drift"):
        again(target, engine="onnxruntime")
    assert again(target) == "torch", "though there is another now"
    assert fingerprint(target) == fingerprint(whole)


@pytest.mark.parametrize("quick_in_bf16", [True, False])
def test_the_precision_is_that_with_which_the_job_was_begun(
    quick_in_bf16: bool, tmp_path: Path, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, whole, target = make_film(tmp_path / "in.mkv", frames=30), tmp_path / "w.mkv", tmp_path / "o.mkv"

    def again(to: Path, *, quick: bool, precision: str = "auto", **given: Any) -> Result:
        monkeypatch.setattr("vidcolor.stages.predict.quick_in_bf16", lambda: quick)
        network = load_generator(weights).network
        return run(source, to, network=network, precision=precision, **given)

    begun = again(whole, quick=quick_in_bf16)
    assert begun.precision == ("bfloat16" if quick_in_bf16 else "float32")
    with pytest.raises(Stop):
        again(target, quick=quick_in_bf16, stop_after=14)
    other = "fp32" if quick_in_bf16 else "bf16"
    with pytest.raises(ResumeMismatch, match=r"precision was \w+, now \w+.*--accept-drift"):
        again(target, quick=quick_in_bf16, precision=other)
    gone_on = again(target, quick=not quick_in_bf16)
    assert (gone_on.precision, gone_on.engine) == (begun.precision, begun.engine)
    assert fingerprint(target) == fingerprint(whole)


def test_what_was_begun_when_there_was_but_torch_goes_on_with_torch(stopped: tuple[Path, Path]) -> None:
    path = Workplace(stopped[1]).manifest_path
    terms = json.loads(json.loads(path.read_text())["terms"])
    assert terms["machine"].pop("engine") == "torch"
    text = json.dumps(terms, sort_keys=True)
    content = json.dumps({"sha256": hashlib.sha256(text.encode()).hexdigest(), "terms": text})
    for one in path.parent.glob("manifest*"):
        one.write_text(content)
    assert run(*stopped).engine == "torch"


def test_an_engine_that_is_no_more_needs_leave(tmp_path: Path, weights: str) -> None:
    pytest.importorskip("onnxruntime")
    source, target = make_film(tmp_path / "in.mkv", frames=30), tmp_path / "out.mkv"

    def again(**given: Any) -> str:
        return run(source, target, network=load_generator(weights).network, **given).engine

    with pytest.raises(Stop):
        again(stop_after=14)
    with pytest.raises(ResumeMismatch, match=r"engine was onnxruntime \S+, now torch"):
        again(engine="torch")
    with mock.patch.dict("vidcolor.stages.predict.BY_NAME", clear=True):
        with pytest.raises(ResumeMismatch, match=r"engine was onnxruntime \S+, now torch.*--accept-drift"):
            again()
        assert again(accept_drift=True) == "torch"


def test_onnx_runtime_asked_for_goes_on_in_its_own_precision(
    tmp_path: Path, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what was begun in bf16, which it does not know."""
    pytest.importorskip("onnxruntime")
    source, target = make_film(tmp_path / "in.mkv", frames=30), tmp_path / "out.mkv"
    monkeypatch.setattr("vidcolor.stages.predict.quick_in_bf16", lambda: True)

    def again(**given: Any) -> Result:
        return run(source, target, network=load_generator(weights).network, precision="auto", **given)

    with pytest.raises(Stop):
        again(stop_after=14)
    with pytest.raises(ResumeMismatch, match=r"precision was bfloat16, now float32"):
        again(engine="onnxruntime")
    gone_on = again(engine="onnxruntime", accept_drift=True)
    assert (gone_on.precision, gone_on.engine.split()[0]) == ("float32", "onnxruntime")


@pytest.mark.parametrize(("engine", "precision"), [("onnxruntime", "fp32"), ("openvino", "bf16")])
def test_the_same_film_with_another_engine(engine: str, precision: str, tmp_path: Path, weights: str) -> None:
    pytest.importorskip(engine)
    source, whole, target = make_film(tmp_path / "in.mkv", frames=30), tmp_path / "w.mkv", tmp_path / "o.mkv"
    for to, stop in ((whole, None), (target, 14), (target, None)):
        network = load_generator(weights).network
        with suppress(Stop):
            found = run(source, to, stop_after=stop, network=network, precision=precision)
            assert found.engine.startswith(f"{engine} ")
    assert fingerprint(target) == fingerprint(whole)


def test_a_job_of_torch_in_bf16_goes_on_with_it_though_openvino_is_there_now(
    tmp_path: Path, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    source, target = make_film(tmp_path / "in.mkv", frames=30), tmp_path / "out.mkv"
    monkeypatch.setattr("vidcolor.stages.predict.quick_in_bf16", lambda: True)

    def again(**given: Any) -> Result:
        return run(source, target, network=load_generator(weights).network, precision="auto", **given)

    with pytest.raises(Stop):
        again(stop_after=14, engine="torch")
    with pytest.raises(ResumeMismatch, match=r"engine was torch, now openvino .*--accept-drift"):
        again(engine="openvino")
    gone_on = again()
    assert (gone_on.precision, gone_on.engine) == ("bfloat16", "torch")


def test_another_format_does_not_fit(stopped: tuple[Path, Path]) -> None:
    with mock.patch("vidcolor.manifest.FORMAT", 1), pytest.raises(ResumeMismatch, match="another version"):
        run(*stopped)


def test_options_that_leave_the_film_alone_may_change(stopped: tuple[Path, Path]) -> None:
    assert run(*stopped, overwrite=True).frames == 30


def test_a_damaged_segment_alone_is_made_again(
    stopped: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, target = stopped
    run(source, tmp_path / "whole.mp4")
    folder = Workplace(target).folder
    second = sorted(folder.glob("*.segment"))[1]
    content = bytearray(second.read_bytes())
    content[-5] ^= 1
    second.write_bytes(content)
    kept = {p.name: p.stat().st_mtime_ns for p in folder.glob("*.segment") if p != second}
    with mock.patch("vidcolor.resumable.ResumableJob._put_together", side_effect=Stop), pytest.raises(Stop):
        run(source, target)
    for name, changed in kept.items():
        assert (folder / name).stat().st_mtime_ns == changed
    assert second.exists(), "made again, it is the same"
    assert "segment 1 is damaged: it is made anew" in caplog.text
    run(source, target)
    assert fingerprint(target) == fingerprint(tmp_path / "whole.mp4")


def test_a_damaged_manifest_is_made_good_by_its_copy(stopped: tuple[Path, Path]) -> None:
    Workplace(stopped[1]).manifest_path.write_text("{")
    with mock.patch("vidcolor.workplace.Workplace.clear", side_effect=AssertionError("nothing is forgotten")):
        assert run(*stopped).frames == 30


def test_without_any_manifest_it_begins_anew_and_says_so(
    stopped: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    for path in Workplace(stopped[1]).folder.glob("manifest*"):
        path.unlink()
    assert run(*stopped).frames == 30
    assert "is lost: begun anew" in caplog.text


def test_a_finished_film_is_already_done(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mp4", frames=8)
    for name in ("out.mp4", "out.mkv", "out.mov", "out.webm"):
        first = run(source, tmp_path / name)
        assert not first.already
        before = (tmp_path / name).stat().st_mtime_ns
        again = run(source, tmp_path / name)
        assert again.already
        assert (again.frames, again.codec, again.engine) == (8, "", "")
        assert again.exit_code == 0
        assert (tmp_path / name).stat().st_mtime_ns == before
        with pytest.raises(OutputError, match="exists already"):
            run(source, tmp_path / name, saturation=0.5)
        assert not run(source, tmp_path / name, overwrite=True).already


def test_what_a_kill_after_the_naming_leaves_is_tidied_up(tmp_path: Path) -> None:
    source, target = make_film(tmp_path / "in.mp4", frames=8), tmp_path / "out.mkv"
    with mock.patch("vidcolor.workplace.Workplace.remove"):
        run(source, target)
    os.link(target, tmp_path / ".out.mkv.vidcolor-part.mkv")
    assert run(source, target).already
    assert left_in(tmp_path) == []


def test_what_a_kill_leaves_beside_a_film_that_is_made_elsewhere_is_tidied_up(tmp_path: Path) -> None:
    source, target = make_film(tmp_path / "in.mp4", frames=8), tmp_path / "out.mp4"
    (tmp_path / "work").mkdir()
    run(source, target, work_dir=str(tmp_path / "work"))
    for begun in (True, False):  # the folder elsewhere goes first
        beside = Workplace(target)
        beside.folder.mkdir()
        (beside.folder / "lock").touch()
        if begun:
            Workplace(target, str(tmp_path / "work")).folder.mkdir()
            os.link(target, tmp_path / ".out.mp4.vidcolor-part.mp4")
        assert run(source, target, work_dir=str(tmp_path / "work")).already
        assert left_in(tmp_path) == []
        assert left_in(tmp_path / "work") == []


def test_a_finished_film_takes_no_lock_from_another_that_is_at_work(tmp_path: Path) -> None:
    source, target = make_film(tmp_path / "in.mp4", frames=8), tmp_path / "out.mp4"
    (tmp_path / "work").mkdir()
    run(source, target)
    with Workplace(target).held():
        assert run(source, target, work_dir=str(tmp_path / "work")).already
        assert (Workplace(target).folder / "lock").exists()


def test_what_a_kill_while_tidying_up_leaves_is_tidied_up(tmp_path: Path) -> None:
    source, target = make_film(tmp_path / "in.mp4", frames=14), tmp_path / "out.mp4"
    unlink, removed, kills = os.unlink, 0, 0
    while True:
        left = [removed]

        def some(path: Any, *, left: list[int] = left, **named: Any) -> None:
            if Workplace(target).folder.name in str(path) or "dir_fd" in named:
                left[0] -= 1
                if left[0] < 0:
                    raise Stop
            unlink(path, **named)

        def of_path(path: Path, missing_ok: bool = False) -> None:  # Python 3.10's keeps os.unlink as it was
            with suppress(*[FileNotFoundError] * missing_ok):
                os.unlink(path)

        patched = mock.patch("pathlib.Path.unlink", of_path)
        with mock.patch("os.unlink", some), patched, suppress(Stop):
            run(source, target)
        if left[0] >= 0:
            break
        kills, removed = kills + target.exists(), removed + 1
        assert run(source, target).frames == 14
        assert left_in(tmp_path) == []
        target.unlink()
    assert kills >= 5, "segments, manifest, its copy, and the lock"


def test_a_finished_film_leaves_an_unfinished_job_of_its_name_alone(tmp_path: Path) -> None:
    source, target = make_film(tmp_path / "in.mp4", frames=30), tmp_path / "out.mkv"
    run(source, target)
    with pytest.raises(Stop):
        run(source, target, stop_after=20, overwrite=True, saturation=0.5)
    kept = job_status(str(target)).frames
    assert kept >= 12
    assert run(source, target).already
    assert job_status(str(target)).frames == kept
    assert run(source, target, overwrite=True, saturation=0.5).frames == 30
    assert left_in(tmp_path) == []


def test_a_segment_that_does_not_follow_on_is_made_anew(
    stopped: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    source, target = stopped
    folder = Workplace(target).folder
    longer = SegmentStore(folder, "out").find()
    segment = SegmentStore.read(longer[1])
    longer[1].unlink()  # as if the first had had two frames more
    after = replace(segment.after, frames=segment.after.frames + 2)
    SegmentStore(folder, "out").write(replace(segment, after=after))
    assert run(source, target).frames == 30
    assert "segment 1 does not follow on" in caplog.text
    whole = target.with_name("whole" + target.suffix)
    run(source, whole)
    assert fingerprint(whole) == fingerprint(target)


def test_a_segment_of_another_film_is_made_anew(
    stopped: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, target = stopped
    run(source, tmp_path / "whole.mp4")
    other = tmp_path / "other.mp4"
    with pytest.raises(Stop):
        run(source, other, stop_after=20, saturation=0.5)
    mine, theirs = (sorted(Workplace(film).folder.glob("*.segment")) for film in (target, other))
    mine[1].unlink()
    shutil.copy(theirs[1], mine[1].with_name(theirs[1].name))
    assert run(source, target).frames == 30
    assert "segment 1 is of another film: it is made anew" in caplog.text
    assert fingerprint(target) == fingerprint(tmp_path / "whole.mp4")


def test_segments_that_lie_on_a_disk_that_is_gone_are_waited_for(
    stopped: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = stopped
    first = min(Workplace(target).folder.glob("*.segment"))
    away = tmp_path / "disk" / first.name
    away.parent.mkdir()
    shutil.move(first, away)
    first.symlink_to(away)
    away.parent.rename(tmp_path / "unmounted")
    with pytest.raises(OutputError, match=r"what is finished in \S+ cannot be read \(No such file"):
        run(source, target)
    (tmp_path / "unmounted").rename(away.parent)
    assert run(source, target).frames == 30


@pytest.mark.parametrize("given", [{"restart": True}, {"resume": False}])
def test_what_cannot_be_made_clears_nothing_away(stopped: tuple[Path, Path], given: dict[str, Any]) -> None:
    before = job_status(str(stopped[1]))
    with pytest.raises(UsageError):
        run(*stopped, codec="ffv1", preset="ultrafast", **given)
    assert job_status(str(stopped[1])) == before
    assert run(*stopped).frames == 30


def test_a_job_that_ends_while_its_status_is_asked_for_is_done(stopped: tuple[Path, Path]) -> None:
    listed = SegmentStore._listed

    def once(self: SegmentStore) -> list[Path]:
        SegmentStore._listed = listed  # type: ignore[method-assign]
        found = listed(self)
        run(*stopped)
        return found

    with mock.patch.object(SegmentStore, "_listed", once):
        assert job_status(str(stopped[1])).state == "done"


@contextmanager
def segments_read() -> Iterator[list[Path]]:
    """Segments of which more than the header and the last state is read, each as often as it is."""
    read: list[Path] = []
    whole, digest = Path.read_bytes, segments._digest_of

    def read_bytes(path: Path) -> bytes:
        read.extend([path] if path.suffix == SUFFIX else [])
        return whole(path)

    def digest_of(path: Path, *given: Any) -> str:
        read.append(path)
        return digest(path, *given)

    with (
        mock.patch.object(Path, "read_bytes", read_bytes),
        mock.patch.object(segments, "_digest_of", digest_of),
    ):
        yield read


def test_status_reads_headers_alone(stopped: tuple[Path, Path]) -> None:
    with segments_read() as read:
        assert job_status(str(stopped[1])).frames == 18
    assert read == []


def test_status_does_not_count_what_is_cut_off(stopped: tuple[Path, Path]) -> None:
    last = max(Workplace(stopped[1]).folder.glob(f"*{SUFFIX}"))
    os.truncate(last, last.stat().st_size - 1)
    assert job_status(str(stopped[1])).frames == 12
    os.truncate(last, 3)
    assert job_status(str(stopped[1])).frames == 12


def test_segments_that_may_not_be_read_are_not_said_to_be_none(stopped: tuple[Path, Path]) -> None:
    refused = PermissionError(errno.EACCES, "Permission denied")
    with (
        mock.patch("vidcolor.segments.summary_of", side_effect=refused),
        pytest.raises(InputError, match=r"cannot be looked at \(Permission denied\)"),
    ):
        job_status(str(stopped[1]))


@pytest.mark.parametrize("length", [1 << 47, 1 << 63], ids=["more than there is memory", "no index"])
def test_status_does_not_count_what_says_it_is_of_another_length(
    length: int, stopped: tuple[Path, Path]
) -> None:
    last = max(Workplace(stopped[1]).folder.glob(f"*{SUFFIX}"))
    with open(last, "r+b") as file:
        file.write(length.to_bytes(8, "little"))
    assert job_status(str(stopped[1])).frames == 12


def test_what_is_finished_is_read_once_before_the_job_goes_on(stopped: tuple[Path, Path]) -> None:
    """It is checked; and it is read again when the film is put together."""
    with segments_read() as read, pytest.raises(Stop):
        run(*stopped, stop_after=0)
    assert len(read) == len(set(read)) == 3


def test_an_interrupted_job_does_not_read_what_it_keeps(
    stopped: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    cancel = threading.Event()

    def progress(_: Progress) -> None:
        read.clear()
        cancel.set()

    options = Options(render_size=32, device="cpu", precision="fp32")
    with caplog.at_level("INFO", logger="vidcolor"), short_segments(), segments_read() as read:
        with pytest.raises(Interrupted):
            colorize(*stopped, options, progress, cancel=cancel)
        assert read == []
    assert "stopped; the same command goes on from 00:00:00" in caplog.text


def test_the_check_of_what_is_finished_can_be_interrupted(stopped: tuple[Path, Path]) -> None:
    """With many GB it takes minutes."""
    cancel, checked = threading.Event(), segments._digest_of

    def slow(*given: Any) -> str:
        cancel.set()
        return checked(*given)

    kept = sorted(os.listdir(Workplace(stopped[1]).folder))
    options = Options(render_size=32, device="cpu", precision="fp32")
    with short_segments(), mock.patch.object(segments, "_digest_of", mock.Mock(side_effect=slow)) as digest:
        with pytest.raises(Interrupted):
            colorize(*stopped, options, cancel=cancel)
        assert digest.call_count == 1
    assert sorted(os.listdir(Workplace(stopped[1]).folder)) == kept


def test_the_look_at_a_finished_film_can_be_interrupted(tmp_path: Path) -> None:
    """All of it is read, which takes minutes where it has many GB."""
    source, target = make_film(tmp_path / "in.mp4", frames=6), tmp_path / "out.mp4"
    run(source, target)
    cancel, made = threading.Event(), target.read_bytes()

    def opened(*given: Any) -> VideoStream:
        cancel.set()
        return pick_video(*given)

    options = Options(render_size=32, device="cpu", precision="fp32")
    with short_segments(), mock.patch("vidcolor.finished.pick_video", opened), pytest.raises(Interrupted):
        colorize(source, target, options, cancel=cancel)
    assert target.read_bytes() == made
    assert run(source, target).already


def test_no_resume_keeps_nothing(tmp_path: Path) -> None:
    source, target = make_film(tmp_path / "in.mp4", frames=30), tmp_path / "out.mp4"
    with pytest.raises(Stop):
        run(source, target, stop_after=20, resume=False)
    assert sorted(os.listdir(tmp_path)) == ["in.mp4"]


def test_the_work_folder_can_be_elsewhere(tmp_path: Path) -> None:
    source, target, work = make_film(tmp_path / "in.mp4", frames=30), tmp_path / "out.mp4", tmp_path / "work"
    work.mkdir()
    with pytest.raises(Stop):
        run(source, target, stop_after=20, work_dir=str(work))
    assert left_in(tmp_path) == []
    assert [name[:9] for name in left_in(work)] == [".out.mp4-"]
    assert run(source, target, work_dir=str(work)).frames == 30
    assert left_in(work) == []


def test_a_work_folder_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mp4", frames=3)
    with pytest.raises(OutputError, match="there is no folder"):
        run(source, tmp_path / "out.mp4", work_dir=str(tmp_path / "nowhere"))


def test_two_runs_on_one_target_are_one_too_many(tmp_path: Path) -> None:
    source, target = make_film(tmp_path / "in.mp4", frames=6), tmp_path / "out.mp4"
    script = (
        "import sys, time; from pathlib import Path; from vidcolor.workplace import Workplace\n"
        "with Workplace(Path(sys.argv[1])).held(): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(target)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(OutputError, match="another vidcolor"):
            run(source, target)
        other.kill()
    assert run(source, target).frames == 6, "a crash leaves no lock behind"


def test_the_status_of_what_cannot_be_looked_at_is_no_fault(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be looked at"):
        job_status(str(tmp_path / f"{'n' * 300}.mkv"))


def test_the_status_of_a_film_that_may_not_be_read_says_why(stopped: tuple[Path, Path]) -> None:
    closed = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    refusing = mock.patch("vidcolor.status.open", side_effect=closed, create=True)
    with refusing, pytest.raises(InputError, match=r"in\.mp4: cannot be looked at \(Permission denied\)"):
        job_status(str(stopped[0]))


def test_a_status_that_nobody_can_be_told_is_no_fault(
    stopped: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with mock.patch("vidcolor.cli_inspect.sys.stdout", None):
        assert call("--status", stopped[1]) == 5
    assert "standard output is closed" in capsys.readouterr().err


def test_status_of_a_job(stopped: tuple[Path, Path]) -> None:
    status = job_status(str(stopped[1]))
    assert (status.state, status.frames, status.total) == ("stopped", 18, 30)
    assert "stopped at 00:00:00, 60 % done, 18 frames" in str(status)
    run(*stopped)
    done = job_status(str(stopped[1]))
    assert (done.state, done.frames, done.total) == ("done", 30, 30)
    assert str(job_status(str(stopped[0]))).endswith("it bears no mark of vidcolor")
    broken = stopped[1].with_name("broken.mkv")
    broken.write_bytes(b"")
    assert job_status(str(broken)).state == "unmarked"


def test_status_of_several_names_whatever_their_letters(
    stopped: tuple[Path, Path], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    odd = stopped[1].with_name(os.fsdecode(b"caf\xe9.mkv"))
    odd.write_bytes(b"")
    code = call("--status", stopped[1].with_name("none.mkv"), odd, stopped[1])
    out, err = capfdbinary.readouterr()
    assert code == 3
    assert [line.split(b": ")[0] for line in out.splitlines()] == [os.fsencode(odd), os.fsencode(stopped[1])]
    assert b"none.mkv: there is no such film" in err


def test_status_sends_no_control_characters_to_a_terminal(
    stopped: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = stopped[1].with_name("a\x1b[31m\nb\udce9.mkv")
    odd.write_bytes(b"")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert call("--status", odd) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert "a [31m b\ufffd.mkv: " in line


def test_a_playlist_is_known_by_the_files_that_it_names(tmp_path: Path) -> None:
    for name in ("a b.mp4", "c.mp4", "d.mp4"):
        (tmp_path / name).write_bytes(b"1")
    lists = {
        "long.ffconcat": f"ffconcat version 1.0\n# {'x' * 300}\nfile 'a b.mp4'\nfile c.mp4\n",
        "l.ffconcat": "ffconcat version 1.0\nfile 'a b.mp4'\nfile c.mp4\n",
        "l.m3u8": "#EXTM3U\na b.mp4\nc.mp4\n",
    }
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
        seen = [identify(str(tmp_path / name))]
        for part, content in (("a b.mp4", b"22"), ("c.mp4", b"333"), ("d.mp4", b"4444")):
            (tmp_path / part).write_bytes(content + bytes(len(seen)))
            seen.append(identify(str(tmp_path / name)))
        first, second, third, last = seen
        assert len({str(one) for one in (first, second, third)}) == 3, "its parts count"
        assert last == third, "and nothing else"
        for part in ("a b.mp4", "c.mp4", "d.mp4"):
            (tmp_path / part).write_bytes(b"1")
    assert "parts sha256" not in identify(str(tmp_path / "c.mp4"))


@pytest.mark.parametrize("restart", [False, True])
def test_cancelling_keeps_what_is_finished(
    restart: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, target = make_film(tmp_path / "in.mp4", frames=60), tmp_path / "out.mp4"
    cancel = threading.Event()

    def progress(now: Progress) -> None:
        if now.frames > 20:
            cancel.set()

    options = Options(render_size=32, device="cpu", precision="fp32", restart=restart)
    with short_segments(), pytest.raises(Interrupted), caplog.at_level("INFO", logger="vidcolor"):
        colorize(source, target, options, progress, cancel=cancel)
    again = "the same command" + " without --restart" * restart
    assert f"stopped; {again} goes on from 00:00:00" in caplog.text
    assert job_status(str(target)).frames >= 18


def test_memory_that_runs_out_makes_the_batch_smaller_for_good(tmp_path: Path) -> None:
    source, target = make_film(tmp_path / "in.mp4", frames=20), tmp_path / "out.mp4"
    options = Options(render_size=32, device="cpu", precision="fp32", batch_size=4)
    with short_segments(), little_memory():
        with (
            mock.patch("vidcolor.resumable.ResumableJob._put_together", side_effect=Stop),
            pytest.raises(Stop),
        ):
            colorize(source, target, options)
        terms = json.loads(json.loads(Workplace(target).manifest_path.read_text())["terms"])
        assert terms["batch_limit"] == 2
        assert colorize(source, target, options).frames == 20


def test_a_batch_that_had_to_be_smaller_stays_so_where_there_is_more_memory(tmp_path: Path) -> None:
    source, target, seen = make_film(tmp_path / "in.mp4", frames=20), tmp_path / "out.mp4", list[int]()
    options, forward = (
        Options(render_size=32, device="cpu", precision="fp32", batch_size=4),
        Predictor._forward,
    )

    def watched(self: Predictor, luminance: torch.Tensor, shape: tuple[int, int]) -> Any:
        seen.append(len(luminance))
        return forward(self, luminance, shape)

    def stop(now: Progress) -> None:
        if now.frames > 8:
            raise Stop

    with short_segments():
        with little_memory(), pytest.raises(Stop):
            colorize(source, target, options, stop)
        with mock.patch.object(Predictor, "_forward", watched):
            assert colorize(source, target, options).frames == 20
    assert max(seen) == 2


KILLED = """
import sys, time
from unittest import mock
sys.path.insert(0, sys.argv[1])
from test_resume import short_segments
from vidcolor.film import Film
from vidcolor.job import colorize
from vidcolor.options import Options
options = Options(render_size=32, device="cpu", precision="fp32")
with short_segments():
    colorize(sys.argv[2], sys.argv[3], options, lambda now: time.sleep(0.05))
"""


def segments_in(folder: Path) -> int:
    """How many segments there are; the work folder goes when the film is finished, also while it is read."""
    with suppress(FileNotFoundError):
        return len(list(folder.glob(".out*/*.segment")))
    return 0


def test_kill_9_at_any_moment(tmp_path: Path) -> None:
    source, target = make_film(tmp_path / "in.mp4", frames=60, audio="aac"), tmp_path / "out.mp4"
    run(source, tmp_path / "whole.mp4")
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(source), str(target)]
    kills = 0
    for _ in range(20):
        with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
            deadline = time.monotonic() + 60
            before = segments_in(tmp_path)
            while process.poll() is None and time.monotonic() < deadline:
                if segments_in(tmp_path) > before + 1:
                    process.send_signal(signal.SIGKILL)
                    kills += 1
                    break
                time.sleep(0.01)
        if target.exists():
            break
    assert kills >= 2
    assert fingerprint(target) == fingerprint(tmp_path / "whole.mp4")
    assert [name for name in left_in(tmp_path) if not name.startswith(".out.mp4.vidcolor")] == []


@pytest.mark.parametrize("call", ["os.fsync", "os.replace", "vidcolor.workplace.FileLock.acquire"])
def test_whatever_the_disk_refuses_nothing_is_lost(call: str, tmp_path: Path) -> None:
    """The k-th call fails, for each k; then the same command makes the same film."""
    source = make_film(tmp_path / "in.mp4", frames=14, audio="aac")
    run(source, tmp_path / "whole.mp4")
    expected, calls = fingerprint(tmp_path / "whole.mp4"), 0
    module, name = call.rsplit(".", 1)
    owner: Any = os if module == "os" else FileLock
    real = getattr(owner, name)
    for refused in range(1, 40):
        target, seen = tmp_path / f"out{refused}.mp4", iter(range(1, 100))

        def failing(*given: Any, seen: Iterator[int] = seen, refused: int = refused, **named: Any) -> Any:
            if next(seen) == refused:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*given, **named)

        with mock.patch(call, failing):
            try:
                run(source, target)
            except OutputError as error:
                assert error.exit_code == 5
                assert "No space left" in str(error)
                assert not target.exists()
                calls += 1
        if calls < refused:
            break
        assert run(source, target).frames == 14
        assert fingerprint(target) == expected
        assert left_in(tmp_path) == []
    assert calls >= 1


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_named_is_on_disk_before_and_its_name_is_afterwards(overwrite: bool, tmp_path: Path) -> None:
    """Else, after a power cut, a whole name may stand for half a file, or for none."""
    source, target = make_film(tmp_path / "in.mp4", frames=14), tmp_path / "out.mp4"
    if overwrite:
        target.write_bytes(b"what was there")
    done: list[int] = []  # inodes that were synced
    named: list[tuple[int, int, int]] = []  # how many were so before, inodes of a file and of its folder
    sync, rename, link = os.fsync, os.replace, os.link

    def note(old: Path, new: Path) -> None:
        named.append((len(done), os.stat(old).st_ino, os.stat(new.parent).st_ino))

    with (
        mock.patch("os.fsync", lambda file: (done.append(os.fstat(file).st_ino), sync(file))[1]),
        mock.patch("os.replace", lambda old, new: (note(old, new), rename(old, new))[1]),
        mock.patch("os.link", lambda old, new: (note(old, new), link(old, new))[1]),
    ):
        run(source, target, overwrite=overwrite)
    assert len(named) >= 6, "the manifest and its copy, three segments, the film"
    for number, file, folder in named:
        assert file in done[:number]
        assert folder in done[number:]


@pytest.mark.parametrize("given", [{}, {"restart": True}, {"resume": False}], ids=str)
def test_a_full_disk_while_writing_a_segment_keeps_the_others(given: dict[str, Any], tmp_path: Path) -> None:
    again = "the same command without --restart" if given.get("restart") else "the same command"
    source, target = make_film(tmp_path / "in.mp4", frames=30), tmp_path / "out.mp4"
    real, written = SegmentStore.write, []

    def failing(store: SegmentStore, segment: Segment) -> Path:
        if len(written) == 2:
            with mock.patch("os.fsync", side_effect=OSError(errno.ENOSPC, "No space left on device")):
                return real(store, segment)
        written.append(segment.number)
        return real(store, segment)

    with (
        mock.patch.object(SegmentStore, "write", failing),
        pytest.raises(OutputError, match=rf"No space left.*make room and run {again} again") as refused,
    ):
        run(source, target, **given)
    keeps = given.get("resume", True)
    assert ("is kept in" in str(refused.value)) == keeps
    assert left_in(tmp_path) == [".out.mp4.vidcolor"] * keeps
    if keeps:
        assert job_status(str(target)).frames == 12
        assert not list(Workplace(target).folder.glob("*.part"))
    assert run(source, target).frames == 30


@pytest.mark.parametrize("resume", [True, False])
def test_a_disk_that_is_full_as_the_film_is_put_together_keeps_its_frames(
    resume: bool, tmp_path: Path
) -> None:
    source, target = make_film(tmp_path / "in.mp4", frames=14), tmp_path / "out.mp4"
    full = mock.patch("vidcolor.resumable.assemble", side_effect=OutputError("out.mp4: No space left"))
    with full, pytest.raises(OutputError, match="No space left") as refused:
        run(source, target, resume=resume)
    assert ("all frames are kept in" in str(refused.value)) == resume
    assert left_in(tmp_path) == [".out.mp4.vidcolor"] * resume


def test_a_film_that_gets_another_name_leaves_no_segments(tmp_path: Path) -> None:
    source, target = make_film(tmp_path / "in.mp4", frames=14), tmp_path / "out.mp4"

    def assembled(*given: Any) -> None:
        assemble(*given)
        target.write_bytes(b"somebody else's")

    with (
        mock.patch("vidcolor.resumable.assemble", assembled),
        pytest.raises(OutputError, match=r"the finished film is .*out-2\.mp4"),
    ):
        run(source, target)
    assert target.read_bytes() == b"somebody else's"
    assert len(read_film(tmp_path / "out-2.mp4")) == 14
    assert left_in(tmp_path) == []


def test_a_source_that_goes_away_is_an_input_error_and_loses_nothing(tmp_path: Path) -> None:
    source, target = make_film(tmp_path / "in.mp4", frames=14), tmp_path / "out.mp4"

    def hide(*_: object) -> None:
        source.rename(tmp_path / "away.mp4")
        source_is_away.append(True)

    source_is_away: list[bool] = []
    with mock.patch("vidcolor.target.Target.create", hide), pytest.raises(InputError, match=r"in\.mp4"):
        run(source, target)
    assert source_is_away
    (tmp_path / "away.mp4").rename(source)
    assert run(source, target).frames == 14


@pytest.mark.parametrize("resume", [True, False])
def test_a_disk_with_little_room_is_said_at_the_start(
    resume: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_film(tmp_path / "in.mp4", frames=6)
    with mock.patch("vidcolor.workplace.Workplace.free_bytes", lambda _: 1000):
        run(source, tmp_path / "out.mp4", resume=resume)
    assert "0 MB are free" in caplog.text
    assert ("what is finished is kept" in caplog.text) == resume
    caplog.clear()
    run(source, tmp_path / "other.mp4")
    assert not caplog.text


def static_avi(path: Path) -> Path:
    """Frames that are all alike, reordered, in a container whose times FFmpeg has to guess."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, options={"bf": "2", "g": "12"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(60):
            container.mux(stream.encode(grey_frame(64, 48, "yuv420p", 0)))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
def test_the_place_is_found_again_in_a_picture_that_stands_still(suffix: str, tmp_path: Path) -> None:
    source = static_avi(tmp_path / f"in{suffix}")
    assert run(source, tmp_path / "whole.mkv").frames == 60
    with pytest.raises(Stop):
        run(source, tmp_path / "out.mkv", stop_after=40)
    assert run(source, tmp_path / "out.mkv").frames == 60
    assert fingerprint(tmp_path / "out.mkv") == fingerprint(tmp_path / "whole.mkv")


def test_two_runs_on_one_target_are_one_too_many_wherever_they_work(tmp_path: Path) -> None:
    source, target, work = make_film(tmp_path / "in.mp4", frames=6), tmp_path / "out.mp4", tmp_path / "work"
    work.mkdir()
    with Workplace(target).held(), pytest.raises(OutputError, match="another vidcolor"):
        run(source, target, work_dir=str(work))
    assert run(source, target, work_dir=str(work)).frames == 6
    assert left_in(work) == []


def test_films_of_the_same_name_share_a_work_folder(tmp_path: Path) -> None:
    work = tmp_path / "work"
    targets = [tmp_path / "a" / "out.mp4", tmp_path / "b" / "out.mp4"]
    for folder in (work, *(target.parent for target in targets)):
        folder.mkdir()
    for number, target in enumerate(targets):
        source = make_film(tmp_path / f"{number}.mp4", frames=20 + number)
        with pytest.raises(Stop):
            run(source, target, stop_after=16, work_dir=str(work))
    for number, target in enumerate(targets):
        assert run(tmp_path / f"{number}.mp4", target, work_dir=str(work)).frames == 20 + number


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_film_that_was_cut_off_since_is_not_done(suffix: str, tmp_path: Path) -> None:
    source, target = make_film(tmp_path / "in.mp4", frames=40), tmp_path / f"out{suffix}"
    run(source, target)
    assert run(source, target).already
    content = target.read_bytes()
    target.write_bytes(content[: len(content) // 2])
    with pytest.raises(OutputError, match="exists already"):
        run(source, target)
    assert not run(source, target, overwrite=True).already


def has_attributes(folder: Path) -> bool:
    """Whether files there can have extended attributes of their own."""
    try:
        os.setxattr(folder, "user.try", b"x")
    except (OSError, AttributeError):
        return False
    return True


def test_a_work_folder_is_not_left_where_the_target_s_cannot_be(tmp_path: Path) -> None:
    source, work = make_film(tmp_path / "in.mp4", frames=4), tmp_path / "work"
    work.mkdir()
    (tmp_path / ".out.mp4.vidcolor").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be used"):
        run(source, tmp_path / "out.mp4", work_dir=str(work))
    assert list(work.iterdir()) == []


def test_a_comment_of_the_source_is_not_replaced_by_the_mark(tmp_path: Path) -> None:
    source, target = tmp_path / "in.mkv", tmp_path / "out.mov"
    with av.open(str(make_film(tmp_path / "in.mp4", frames=4))) as film, av.open(str(source), "w") as out:
        out.metadata["comment"] = "kept since 1931"
        stream = out.add_stream_from_template(film.streams.video[0])
        for packet in film.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    with av.open(str(source)) as film:
        assert "COMMENT" in film.metadata
    run(source, target)
    with av.open(str(target)) as film:
        assert film.metadata["comment"] == "kept since 1931"


@pytest.mark.parametrize("name", ["out.avi", "out.ts", "out.mpg", "out.y4m", "out.mxf"])
def test_a_finished_film_is_known_where_its_container_has_no_place_for_a_mark(
    name: str, tmp_path: Path
) -> None:
    if not has_attributes(tmp_path):
        pytest.skip("no extended attributes here")
    source, target = make_film(tmp_path / "in.mp4", frames=20, size=(176, 144), rate=25), tmp_path / name
    assert not run(source, target).already
    moved = tmp_path / f"moved-{name}"
    target.rename(moved)
    assert run(source, moved).already, "the mark goes with the file"
    with pytest.raises(OutputError, match="exists already"):
        run(source, moved, saturation=0.5)
    os.utime(moved, ns=(0, 0))
    with pytest.raises(OutputError, match="exists already"):
        run(source, moved)


def test_a_source_that_is_exchanged_in_mid_run_is_an_error(tmp_path: Path) -> None:
    source, target = make_film(tmp_path / "in.mp4", frames=14), tmp_path / "out.mp4"
    other = make_film(tmp_path / "other.mp4", frames=14, audio="aac")
    with (
        mock.patch("vidcolor.target.Target.create", lambda *_: os.replace(other, source)),
        pytest.raises(InputError, match=r"has changed while.*--restart"),
    ):
        run(source, target)
    assert not target.exists()


def test_what_a_killed_run_left_beside_a_finished_film_is_tidied_up(tmp_path: Path) -> None:
    source, target = make_film(tmp_path / "in.mp4", frames=8), tmp_path / "out.mp4"
    with mock.patch("vidcolor.workplace.Workplace.remove"):
        run(source, target)
    assert left_in(tmp_path) == [".out.mp4.vidcolor"]
    assert run(source, target).already
    assert left_in(tmp_path) == []


def test_looking_at_what_is_finished_leaves_packets_on_disk(stopped: tuple[Path, Path]) -> None:
    with mock.patch("vidcolor.segments.read_segment", side_effect=AssertionError("only headers are needed")):
        assert job_status(str(stopped[1])).frames == 18


def test_what_becomes_of_other_tracks_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = make_film(tmp_path / "in.mkv", frames=30, audio="pcm_s16le")
    with caplog.at_level("WARNING", logger="vidcolor"):
        run(source, tmp_path / "out.mp4")
    said = [record.getMessage() for record in caplog.records]
    assert said
    assert len(said) == len(set(said))


def test_a_film_that_another_run_has_finished_meanwhile_is_not_made_again(tmp_path: Path) -> None:
    source, target = make_film(tmp_path / "in.mkv", frames=4), tmp_path / "out.mkv"

    def late(name: str) -> Any:
        target.write_text("of another run")
        return identify(name)

    with mock.patch("vidcolor.filmjob.identify", late), pytest.raises(OutputError, match="exists already"):
        run(source, target)
    assert sorted(os.listdir(tmp_path)) == ["in.mkv", "out.mkv"]
    assert target.read_text() == "of another run"


def test_a_resumed_film_has_batches_of_the_same_sizes_on_a_gpu(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mkv", frames=20, codec="libx264", options=INTERLACED)
    whole, target, pipe = (tmp_path / f"{name}.mkv" for name in ("whole", "out", "pipe"))
    with played_gpu() as given:
        run(source, whole, batch_size=5)  # of two pictures a frame
        assert set(given) == {5}
        with pytest.raises(Stop):
            run(source, target, batch_size=5, stop_after=17)
        run(source, target, batch_size=5)
        with open(pipe, "wb") as file, short_segments():
            options = Options(render_size=32, device="cuda", precision="fp32", batch_size=5)
            colorize(source, "-", options, output_fd=file.fileno())
    assert fingerprint(target) == fingerprint(whole)
    assert [planes_of(f)[1].tobytes() for f in read_film(pipe)] == [
        planes_of(f)[1].tobytes() for f in read_film(whole)
    ]


def test_another_model_of_gpu_is_refused_as_another_machine(tmp_path: Path) -> None:
    source, target = make_film(tmp_path / "in.mkv", frames=20), tmp_path / "out.mkv"
    with played_gpu(), pytest.raises(Stop):
        run(source, target, batch_size=5, stop_after=14)
    with played_gpu("RTX B"):
        with pytest.raises(ResumeMismatch, match=r"gpu was RTX A, now RTX B.*--accept-drift"):
            run(source, target, batch_size=5)
        assert run(source, target, batch_size=5, accept_drift=True).frames == 20


def test_where_a_lock_that_is_held_cannot_be_taken_away_no_folder_is_left(tmp_path: Path) -> None:
    class WindowsLock(FileLock):
        def release(self, force: bool = False) -> None:
            super().release(force)
            Path(self.lock_file).unlink(missing_ok=True)

    def rmtree(folder: Path, **_: object) -> None:
        for path in folder.iterdir():
            if path.name != "lock":
                path.unlink()

    target = tmp_path / "out.mp4"
    with (
        mock.patch("vidcolor.workplace.FileLock", WindowsLock),
        mock.patch("vidcolor.workplace.shutil.rmtree", rmtree),
    ):
        run(make_film(tmp_path / "in.mp4", frames=8), target)
        assert left_in(tmp_path) == []
        with pytest.raises(Stop):
            run(tmp_path / "in.mp4", target, overwrite=True, saturation=0.5, stop_after=6)
        assert left_in(tmp_path) == [".out.mp4.vidcolor"], "what is finished stays"


GONE: dict[str, Callable[[Path], object]] = {
    "its work folder": lambda target: shutil.rmtree(Workplace(target).folder),
    "the target's folder": lambda target: shutil.rmtree(target.parent),
    "the target's folder, which has another name now": lambda target: target.parent.rename(
        target.parent.with_name("renamed")
    ),
}


@pytest.mark.parametrize("what", GONE)
def test_a_folder_that_goes_away_meanwhile_is_an_output_error(what: str, tmp_path: Path) -> None:
    source, target = make_film(tmp_path / "in.mp4", frames=30), tmp_path / "out" / "out.mp4"
    target.parent.mkdir()
    gone: list[bool] = []

    def progress(now: Progress) -> None:
        if now.frames > 12 and not gone:
            gone.append(True)
            GONE[what](target)

    options = Options(render_size=32, device="cpu", precision="fp32")
    with (
        short_segments(),
        pytest.raises(OutputError, match=r"a segment cannot be written \(No such file") as said,
    ):
        colorize(source, target, options, progress)
    assert "when that is mended, run the same command again" in str(said.value), "room would not help"


@pytest.mark.parametrize("call", ["os.fsync", "vidcolor.stages.remux.Remuxer.finish"])
def test_a_disk_that_can_only_be_read_from_now_on_is_an_output_error(call: str, tmp_path: Path) -> None:
    """Linux makes it so after an error: what ended the work is said, not that nothing can be tidied up."""
    source, target = make_film(tmp_path / "in.mp4", frames=14), tmp_path / "out.mp4"
    with ExitStack() as patches:

        def refuse(*_: object, **__: object) -> None:
            patches.enter_context(mock.patch("pathlib.Path.unlink", refuse))
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        with (
            mock.patch("vidcolor.manifest.Manifest.write"),  # it would be the first to be refused
            mock.patch(call, refuse),
            pytest.raises(OutputError, match=r"cannot be written \(Read-only"),
        ):
            run(source, target)


@pytest.mark.parametrize("call", ["vidcolor.segments._digest_of", "pathlib.Path.unlink"])
def test_a_work_folder_that_cannot_be_read_or_cleared_is_an_output_error(
    call: str, stopped: tuple[Path, Path]
) -> None:
    refusal = OSError(errno.EIO, os.strerror(errno.EIO))
    restart = call == "pathlib.Path.unlink"
    with mock.patch(call, side_effect=refusal), pytest.raises(OutputError, match=r"cannot be (read|cleared)"):
        run(*stopped, restart=restart)
    assert run(*stopped).frames == 30
