"""Sources that can be read once only, and image sequences: their jobs go on, too."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import av
import pytest
from media import change_packets, grey_frame, make_film, packets_of
from test_audio import film as sound_of
from test_audio import with_picture
from test_resume import Stop, fingerprint, left_in, little_memory, run, short_segments

from vidcolor.errors import InputError, OutputError, ResumeMismatch
from vidcolor.frames import Frame
from vidcolor.job import colorize
from vidcolor.manifest import identify
from vidcolor.media.opening import is_image_sequence, reads_once
from vidcolor.media.packets import Discarded, Hiding
from vidcolor.options import Options
from vidcolor.packing import luma_check
from vidcolor.result import Progress
from vidcolor.spool import Spool
from vidcolor.stages.decode import _packets
from vidcolor.status import job_status

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")


@contextlib.contextmanager
def flowing(film: Path, pipe: Path) -> Iterator[Path]:
    """A pipe through which a film comes once."""
    os.mkfifo(pipe)

    def feed() -> None:
        gone = BrokenPipeError, FileNotFoundError  # the test may be over before the pipe is opened
        # without O_CREAT: a pipe that is gone already must not become a file
        with contextlib.suppress(*gone), open(os.open(pipe, os.O_WRONLY), "wb") as end:
            end.write(film.read_bytes())

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    try:
        yield pipe
    finally:
        pipe.unlink()


def run_from_pipe(film: Path, target: Path, **given: Any) -> int:
    with flowing(film, target.with_name("pipe")) as pipe:
        return run(pipe, target, **given).frames


KINDS: dict[str, dict[str, Any]] = {
    "sound after all of the picture, mkv": {"name": "in.mkv", "audio": "aac"},
    "sound that is re-encoded": {"name": "in.mkv", "audio": "pcm_s16le"},
    "side data in every packet": {"name": "in.ts", "audio": "aac"},
    "long groups of pictures": {"name": "in.mkv", "options": {"g": "250", "bf": "3"}},
    "no sound, raw": {"name": "in.y4m", "codec": "wrapped_avframe"},
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """A source, and the fingerprint of the film that is made of it as a file."""
    folder = tmp_path_factory.mktemp("kind")
    settings = dict(KINDS[request.param])
    source = make_film(folder / settings.pop("name"), frames=30, **settings)
    assert run(source, folder / "whole.mp4").frames == 30
    return source, fingerprint(folder / "whole.mp4")


@pytest.mark.parametrize("after", [3, 14, 22])
def test_promise_4_a_pipe_that_begins_again_goes_on(
    kind: tuple[Path, list[Any]], after: int, tmp_path: Path
) -> None:
    source, expected = kind
    target = tmp_path / "out.mp4"
    with pytest.raises(Stop):
        run_from_pipe(source, target, stop_after=after)
    assert not target.exists()
    assert run_from_pipe(source, target) == 30
    assert fingerprint(target) == expected
    assert left_in(tmp_path) == []


def test_frames_that_are_finished_are_not_coloured_again(tmp_path: Path) -> None:
    film, target = make_film(tmp_path / "in.mkv", frames=30), tmp_path / "out.mkv"
    with pytest.raises(Stop):
        run_from_pipe(film, target, stop_after=20)
    assert job_status(str(target)).frames == 18
    seen: list[Progress] = []
    with short_segments(), flowing(film, tmp_path / "pipe") as pipe:
        options = Options(render_size=32, device="cpu", precision="fp32")
        colorize(pipe, target, options, seen.append)
    assert seen[0].frames > 18


def test_interrupted_while_the_film_is_put_together(tmp_path: Path) -> None:
    film, target = make_film(tmp_path / "in.mkv", frames=20, audio="aac"), tmp_path / "out.mp4"
    run(film, tmp_path / "whole.mp4")
    with mock.patch("vidcolor.film.Film.end", side_effect=Stop), pytest.raises(Stop):
        run_from_pipe(film, target)
    with mock.patch("vidcolor.making.run", side_effect=AssertionError("nothing is left to colour")):
        assert run_from_pipe(film, target) == 20
    assert fingerprint(target) == fingerprint(tmp_path / "whole.mp4")


def test_a_gap_is_filled_and_the_rest_is_passed_by(tmp_path: Path) -> None:
    film, target = make_film(tmp_path / "in.mkv", frames=30, audio="aac"), tmp_path / "out.mkv"
    run(film, tmp_path / "whole.mkv")
    with mock.patch("vidcolor.film.Film.end", side_effect=Stop), pytest.raises(Stop):
        run_from_pipe(film, target)
    for number in (1, 3):
        next((tmp_path / ".out.mkv.vidcolor").glob(f"00000{number}-*")).unlink()
    assert run_from_pipe(film, target) == 30
    assert fingerprint(target) == fingerprint(tmp_path / "whole.mkv")


@pytest.mark.parametrize("known", [True, False], ids=["one frame is known", "none is"])
def test_a_pipe_whose_damage_is_concealed_in_another_way_goes_on(known: bool, tmp_path: Path) -> None:
    plain = make_film(tmp_path / "plain.mkv", frames=30, codec="ffv1", options={"g": "1"})
    film = change_packets(plain, tmp_path / "in.mkv", lambda index, data: data[: 9 if index == 3 else None])
    target, checked = tmp_path / "out.mkv", []
    with pytest.raises(Stop):
        run_from_pipe(film, target, stop_after=14)  # 12 frames are finished

    def check(frame: Frame) -> int:
        checked.append(frame)
        return luma_check(frame) if known and len(checked) == 10 else -1

    with mock.patch("vidcolor.framesource.luma_check", check):
        if known:
            assert run_from_pipe(film, target) == 29
        else:
            with pytest.raises(ResumeMismatch, match="not there any more"):
                run_from_pipe(film, target)


@pytest.mark.parametrize("begun", ["sound", "damaged"])
def test_a_damaged_film_and_a_sound_one_do_not_follow_through_the_pipe(begun: str, tmp_path: Path) -> None:
    film = make_film(tmp_path / "plain.mkv", frames=30, codec="ffv1", options={"g": "1"})
    other = change_packets(film, tmp_path / "in.mkv", lambda index, data: data[: 9 if index == 3 else None])
    if begun == "damaged":
        film, other = other, film
    target, checked = tmp_path / "out.mkv", []
    with pytest.raises(Stop):
        run_from_pipe(film, target, stop_after=14)

    def check(frame: Frame) -> int:
        checked.append(frame)
        return luma_check(frame) if len(checked) == 10 else -1

    with mock.patch("vidcolor.framesource.luma_check", check), pytest.raises(ResumeMismatch):
        run_from_pipe(other, target)


def reversed_film(path: Path) -> Path:
    """As :func:`make_film` makes it up to frame 3; then other pictures follow."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(30):
            frame = grey_frame(64, 48, "yuv420p", index if index < 3 else 40 - index)
            frame.pts = index
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("finished", [False, True])
def test_another_film_through_the_pipe_does_not_fit(finished: bool, tmp_path: Path) -> None:
    film, other = make_film(tmp_path / "in.mkv", frames=30), reversed_film(tmp_path / "other.mkv")
    target = tmp_path / "out.mkv"
    if finished:
        with mock.patch("vidcolor.film.Film.end", side_effect=Stop), pytest.raises(Stop):
            run_from_pipe(film, target)
    else:
        with pytest.raises(Stop):
            run_from_pipe(film, target, stop_after=14)
    kept = job_status(str(target)).frames
    with pytest.raises(ResumeMismatch, match="not there any more"):
        run_from_pipe(other, target)
    assert job_status(str(target)).frames == kept
    with pytest.raises(ResumeMismatch, match="the input has changed"):
        run_from_pipe(make_film(tmp_path / "large.mkv", frames=30, size=(96, 48)), target)
    assert run_from_pipe(film, target) == 30


def cut_short(film: Path, target: Path, frames: int) -> Path:
    """The film's first frames, as they are where what feeds the pipe has died."""
    with av.open(str(film)) as source, av.open(str(target), "w") as out:
        track = out.add_stream_from_template(source.streams.video[0])
        for packet in itertools.islice(source.demux(video=0), frames):
            packet.stream = track
            out.mux(packet)
    return target


def test_a_pipe_that_ended_early_is_coloured_to_its_end_after_all(tmp_path: Path) -> None:
    film, target = make_film(tmp_path / "in.mkv", frames=30, options={"bf": "0"}), tmp_path / "out.mkv"
    run(film, tmp_path / "whole.mkv")
    with mock.patch("vidcolor.film.Film.end", side_effect=Stop), pytest.raises(Stop):
        run_from_pipe(cut_short(film, tmp_path / "short.mkv", 15), target)
    with pytest.raises(ResumeMismatch, match="goes on after 00:00:00, where it ended before; run the same"):
        run_from_pipe(film, target)
    assert run_from_pipe(film, target) == 30
    assert fingerprint(target) == fingerprint(tmp_path / "whole.mkv")


def test_a_finished_film_whose_job_had_no_time_to_tidy_up_is_done(tmp_path: Path) -> None:
    film, target = make_film(tmp_path / "in.mkv", frames=12), tmp_path / "out.mkv"
    with mock.patch("vidcolor.workplace.Workplace.remove"):
        run_from_pipe(film, target)
    assert left_in(tmp_path) == [".out.mkv.vidcolor"]
    with pytest.raises(OutputError, match="exists already"):
        run_from_pipe(film, target, saturation=0.5)
    with flowing(film, tmp_path / "pipe") as pipe:
        assert run(pipe, target).already
        pipe.open("rb").close()  # nobody has read it
    assert left_in(tmp_path) == []
    with pytest.raises(OutputError, match="exists already"):
        run_from_pipe(film, target)


@pytest.mark.timeout(60)
def test_a_pipe_without_end_ends_where_the_duration_does(tmp_path: Path) -> None:
    film, target = make_film(tmp_path / "in.mkv", frames=400, audio="aac"), tmp_path / "out.mkv"
    with av.open(str(film)) as source, av.open(str(tmp_path / "attached.mkv"), "w") as out:
        tracks = {s.index: out.add_stream_from_template(s) for s in source.streams}
        out.add_attachment("note.txt", "text/plain", b"of no length")
        for packet in source.demux():
            if packet.size:
                packet.stream = tracks[packet.stream_index]
                out.mux(packet)
    os.mkfifo(tmp_path / "pipe")
    done, given_up = threading.Event(), list[bool]()

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError), open(tmp_path / "pipe", "wb") as end:
            end.write((tmp_path / "attached.mkv").read_bytes())
            end.flush()
            given_up.append(not done.wait(30))  # more may come

    threading.Thread(target=feed, daemon=True).start()
    assert run(tmp_path / "pipe", target, duration=Fraction(1, 2)).frames == 13
    assert given_up == [], "it did not wait for the pipe's end"
    done.set()


def test_a_track_that_begins_in_mid_film_is_left_out_and_named(caplog: pytest.LogCaptureFixture) -> None:
    class Late:
        """As PyAV is where a packet belongs to a stream that it has not heard of."""

        format, start_time = SimpleNamespace(flags=0), None

        def __init__(self) -> None:
            self.parts = [["one"], ["two"], ["three"]]

        def demux(self) -> Iterator[str]:
            yield from self.parts.pop(0)
            if self.parts:
                raise IndexError("list index out of range")

    report: Any = None
    late: Any = Late()
    with caplog.at_level("WARNING", logger="vidcolor"):
        assert list(_packets(late, "late.ts", report)) == ["one", "two", "three"]
    assert caplog.messages == ["late.ts: a track that begins in mid-film is left out"]


def test_memory_that_runs_out_costs_no_frame_of_a_pipe(tmp_path: Path) -> None:
    film, target = make_film(tmp_path / "in.mkv", frames=20), tmp_path / "out.mkv"
    options = Options(render_size=32, device="cpu", precision="fp32", batch_size=4)
    with short_segments(), little_memory(), flowing(film, tmp_path / "pipe") as pipe:
        assert colorize(pipe, target, options).frames == 20


def test_no_room_for_the_sound_is_one_clear_error_and_loses_nothing(tmp_path: Path) -> None:
    film, target = make_film(tmp_path / "in.mkv", frames=20, audio="aac"), tmp_path / "out.mkv"
    full = OSError(errno.ENOSPC, "No space left on device")
    with (
        mock.patch("vidcolor.spool.tempfile.TemporaryFile") as made,
        pytest.raises(OutputError, match=r"cannot be kept there.*No space left.*run the same command again"),
    ):
        made.return_value.write.side_effect = made.return_value.close.side_effect = full
        run_from_pipe(film, target)
    assert run_from_pipe(film, target) == 20
    assert packets_of(film, "audio").keys() == packets_of(target, "audio").keys()


def test_packets_come_back_as_they_were(tmp_path: Path) -> None:
    film = make_film(tmp_path / "in.ts", frames=20, audio="aac")
    with av.open(str(film)) as source, av.open(str(film)) as again, Spool(tmp_path) as spool:
        for packet in source.demux():
            spool.keep(packet)
        kept = list(spool.packets(source))
        wanted = [packet for packet in again.demux() if packet.size]
        assert [described(p) for p in kept] == [described(p) for p in wanted]
        assert all(packet.has_sidedata("mpegts_stream_id") for packet in kept)
    assert os.listdir(tmp_path) == ["in.ts"]


def test_sound_that_an_edit_list_hides_stays_hidden(tmp_path: Path) -> None:
    film = with_picture(tmp_path / "in.mp4", sound_of("aac", late=-1.2, fmt="mp4"), seconds=1.0)
    with av.open(str(film)) as source, av.open(str(film)) as again, Spool(tmp_path) as spool:
        for packet in source.demux():
            spool.keep(packet)
        hidden, kept = Hiding(), Hiding()
        wanted = [hidden(packet) for packet in again.demux(audio=0) if packet.size]
        assert {True, False} == set(wanted)
        assert [kept(packet) for packet in spool.packets(source) if packet.stream.type == "audio"] == wanted


def test_what_an_edit_list_hides_after_the_beginning_is_no_priming(tmp_path: Path) -> None:
    film = make_film(tmp_path / "in.mp4", frames=20, audio="aac")
    hides = Hiding()
    with av.open(str(film)) as source:
        first, second, third, fourth, *_ = source.demux(audio=0)
        for packet in (first, third):
            packet.pts, packet.opaque = -packet.duration, Discarded()
        assert [hides(packet) for packet in (first, second, third, fourth)] == [False, False, True, False]


def described(packet: Any) -> tuple[Any, ...]:
    return (
        packet.stream_index,
        packet.pts,
        packet.dts,
        packet.duration,
        packet.time_base,
        packet.is_keyframe,
        bytes(packet),
        [(side.data_type, bytes(side)) for side in packet.iter_sidedata()],
    )


@pytest.fixture
def scan(tmp_path: Path) -> str:
    """An image sequence of 30 pictures."""
    folder = tmp_path / "scan"
    folder.mkdir()
    make_film(folder / "%03d.png", frames=30, codec="png", pix_fmt="gray", format="image2")
    return str(folder / "%03d.png")


def test_promise_4_a_job_of_an_image_sequence_goes_on(scan: str, tmp_path: Path) -> None:
    source = Path(scan)
    run(source, tmp_path / "whole.mkv")
    with pytest.raises(Stop):
        run(source, tmp_path / "out.mkv", stop_after=14)
    assert job_status(str(tmp_path / "out.mkv")).frames == 12
    assert run(source, tmp_path / "out.mkv").frames == 30
    assert fingerprint(tmp_path / "out.mkv") == fingerprint(tmp_path / "whole.mkv")
    assert run(source, tmp_path / "out.mkv").already


def test_a_picture_that_was_changed_does_not_fit(scan: str, tmp_path: Path) -> None:
    with pytest.raises(Stop):
        run(Path(scan), tmp_path / "out.mkv", stop_after=14)
    os.utime(scan.replace("%03d", "007"), (0, 0))
    with pytest.raises(ResumeMismatch, match="the input has changed"):
        run(Path(scan), tmp_path / "out.mkv")
    Path(scan.replace("%03d", "007")).unlink()
    with pytest.raises(InputError, match="is missing between"):
        identify(scan)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("scan_%05d.png", True),
        ("http://host/my%20dog.mp4", False),
        ("-", False),
        ("film.mkv", False),
        ("a" * 300 + "%05d.png", True),
    ],
)
def test_what_an_image_sequence_is(name: str, expected: bool) -> None:
    assert is_image_sequence(name) == expected
    assert reads_once(name) == (name == "-")
