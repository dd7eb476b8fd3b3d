"""Standard input and output, the signals that end a job, and what is left of it."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

import av
import numpy as np
import pytest
from calling import call, frames_in, one_line
from media import (
    change_packets,
    fill_plane,
    grey_frame,
    luma_codes,
    make_film,
    packets_of,
    planes_of,
    read_film,
    times_of,
)
from PIL import Image
from quick import quickly

from vidcolor.errors import InputError, WeightsError
from vidcolor.job import colorize
from vidcolor.options import Options
from vidcolor.result import Result

Said = pytest.CaptureFixture[str]


@contextlib.contextmanager
def standing_for(number: int, other: int) -> Iterator[None]:
    """Let a standard descriptor stand for another one."""
    kept = os.dup(number)
    os.dup2(other, number)
    try:
        yield
    finally:
        os.dup2(kept, number)
        os.close(kept)


def piped(*arguments: str | Path, stdin: bytes | None = None) -> tuple[int, bytes]:
    """Exit code and standard output of the command, called with real pipes at both ends."""
    got: list[bytes] = []
    out_end, out = os.pipe()
    in_, in_end = os.pipe()

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError), open(in_end, "wb") as file:
            file.write(stdin or b"")

    def read() -> None:
        with open(out_end, "rb") as file:
            got.append(file.read())

    threads = [threading.Thread(target=feed), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    with standing_for(1, out), standing_for(0, in_):
        code = call(*arguments)
    os.close(out)
    os.close(in_)
    for thread in threads:
        thread.join()
    return code, got[0]


def same_frames(first: list[av.VideoFrame], second: list[av.VideoFrame]) -> bool:
    """Whether all planes and times agree."""
    assert len(first) == len(second) > 0
    return all(
        np.array_equal(a, b)
        for one, other in zip(first, second, strict=True)
        for a, b in zip(planes_of(one), planes_of(other), strict=True)
    )


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """With B-frames, sound, and the index in front."""
    return make_film(
        tmp_path / "film.mp4", frames=30, audio="aac", container_options={"movflags": "faststart"},
        options={"bf": "2"},
    )  # fmt: skip


def test_standard_output_is_matroska_unless_told_otherwise(film: Path) -> None:
    code, blob = piped(film, "-")
    assert code == 0
    assert blob[:4] == b"\x1aE\xdf\xa3"
    assert len(frames_in(blob)) == 30


def test_the_frames_through_pipes_are_those_of_the_job_with_files(film: Path, tmp_path: Path) -> None:
    lossless = ("--codec", "ffv1")  # so that nothing hides behind an encoder's freedom
    assert call(film, tmp_path / "out.mkv", *lossless) == 0
    wanted = read_film(tmp_path / "out.mkv")
    for source, stdin in ((film, None), ("-", film.read_bytes())):
        code, blob = piped(source, "-", *lossless, stdin=stdin)
        assert code == 0
        assert same_frames(frames_in(blob), wanted)
    assert piped("-", tmp_path / "in.mkv", *lossless, stdin=film.read_bytes())[0] == 0
    assert same_frames(read_film(tmp_path / "in.mkv"), wanted)


def test_mp4_on_a_pipe_is_fragmented_and_exact_with_b_frames(film: Path, tmp_path: Path) -> None:
    code, blob = piped(film, "-", "--format", "mp4")
    assert code == 0
    assert b"moof" in blob
    assert blob.index(b"moov") < blob.index(b"mdat")
    (tmp_path / "piped.mp4").write_bytes(blob)
    with av.open(str(tmp_path / "piped.mp4")) as container:
        assert container.streams.video[0].codec_context.has_b_frames
    assert times_of(tmp_path / "piped.mp4") == times_of(film)
    for before, after in zip(
        packets_of(film, "audio").values(), packets_of(tmp_path / "piped.mp4", "audio").values(), strict=True
    ):
        assert before == after


def test_an_mp4_on_a_pipe_goes_into_another_pipe(film: Path) -> None:
    code, once = piped(film, "-", "--format", "mp4")
    assert code == 0
    code, twice = piped("-", "-", "--format", "mp4", stdin=once)
    assert code == 0
    assert len(frames_in(twice)) == 30


def test_nut_on_a_pipe_keeps_picture_and_sound_together(film: Path, tmp_path: Path) -> None:
    code, blob = piped(film, "-", "--format", "nut")
    assert code == 0
    (tmp_path / "piped.nut").write_bytes(blob)
    before, after = times_of(film), times_of(tmp_path / "piped.nut")
    assert [t - before[0] for t in before] == [t - after[0] for t in after]
    sound = [packets_of(path, "audio")[1][0][0] for path in (film, tmp_path / "piped.nut")]
    assert abs((sound[0] - before[0]) - (sound[1] - after[0])) < 0.001


@pytest.mark.parametrize(("muxer", "audio"), [("nut", "aac"), ("flv", "aac"), ("mpegts", "mp2")])
@pytest.mark.parametrize("pause", [0, 320], ids=["few frames a second", "a long pause"])
def test_sound_waits_for_a_picture_that_comes_late_out_of_its_encoder(
    muxer: str, audio: str, pause: int, tmp_path: Path
) -> None:
    rate, frames = (25, 50) if pause else (3, 50)
    times = [n + (pause if n >= 10 else 0) for n in range(frames)]
    source = make_film(tmp_path / "a.mkv", rate=rate, pts=times, audio=audio)
    code, blob = piped(source, "-", "--format", muxer)
    assert code == 0
    (tmp_path / "b").write_bytes(blob)
    before, after = times_of(source), times_of(tmp_path / "b")
    assert len(after) == len(before)
    moved = after[0] - before[0]
    assert max(abs(new - old - moved) for old, new in zip(before, after, strict=True)) <= Fraction(1, 999)
    (sounds,), (sounded,) = (packets_of(f, "audio").values() for f in (source, tmp_path / "b"))
    assert abs(sounded[0][0] - sounds[0][0] - moved) <= Fraction(1, 500)


@pytest.mark.parametrize(
    ("form", "kind"), [("png", "PNG"), ("image2", "PNG"), ("webp", "WEBP"), ("jpg", "JPEG"), ("tif", "TIFF")]
)
def test_a_photograph_goes_through_a_pipe(
    form: str, kind: str, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no file called <none> comes to be beside it."""
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    code, data = piped(film, "-", "--format", form, "--duration", "0.04")
    assert code == 0
    picture = Image.open(io.BytesIO(data))
    assert (picture.format, picture.size) == (kind, (64, 48))
    assert call(film, "/dev/full", "--format", form, "--duration", "0.04") == 5
    assert not list(folder.iterdir())


def test_y4m_says_that_it_holds_no_sound(film: Path, capfd: Said) -> None:
    code, blob = piped(film, "-", "--format", "y4m")
    assert code == 0
    assert blob.startswith(b"YUV4MPEG2")
    assert len(frames_in(blob)) == 30
    assert "the picture only" in capfd.readouterr().err


def test_a_film_to_the_terminal_is_refused(film: Path, capfd: Said) -> None:
    pty = pytest.importorskip("pty")
    ours, terminal = pty.openpty()
    with standing_for(1, terminal):
        assert call(film, "-") == 2
    os.close(terminal)
    with contextlib.suppress(OSError), open(ours, "rb") as file:
        assert not file.read(1)
    assert "terminal" in one_line(capfd.readouterr().err)


@pytest.mark.parametrize("stdin", [b"", b"no film", bytes(5000)])
def test_standard_input_that_is_no_film_is_refused_with_3(stdin: bytes, tmp_path: Path, capfd: Said) -> None:
    assert piped("-", tmp_path / "out.mkv", stdin=stdin)[0] == 3
    one_line(capfd.readouterr().err)
    assert not list(tmp_path.iterdir())


def test_weights_of_no_use_are_refused_before_a_pipe_is_waited_for(tmp_path: Path) -> None:
    """Else what has come through it by then is lost."""
    bad = tmp_path / "bad.safetensors"
    bad.write_text("no weights")
    in_, in_end = os.pipe()  # nothing comes, and it does not end
    cancel = threading.Event()
    waiting = threading.Timer(20, cancel.set)
    waiting.start()
    try:
        with standing_for(0, in_), pytest.raises(WeightsError, match="bad"):
            colorize("-", tmp_path / "out.mkv", Options(weights=str(bad)), cancel=cancel)
    finally:
        waiting.cancel()
        os.close(in_end)
        os.close(in_)
    assert os.listdir(tmp_path) == [bad.name]


def test_an_mp4_without_an_index_in_front_is_refused_with_advice(tmp_path: Path, capfd: Said) -> None:
    film = make_film(tmp_path / "film.mp4", frames=5, size=(320, 240))
    assert piped("-", tmp_path / "out.mkv", stdin=film.read_bytes())[0] == 3
    assert "faststart" in one_line(capfd.readouterr().err)
    assert os.listdir(tmp_path) == ["film.mp4"]


def everything_of(data: bytes, muxer: str) -> list[tuple[object, ...]]:
    """Packets of the picture: times, whether they are keys, contents."""
    with av.open(io.BytesIO(data), format=muxer) as film:
        packets = [p for p in film.demux(video=0) if p.size]
        return [(p.pts, p.dts, p.is_keyframe, bytes(p)) for p in packets]


def film_with_a_cut(path: Path, times: list[int], cut: int) -> Path:
    """Frames at these times, in 1/25 s; from ``cut`` on of another picture."""
    turned = np.random.default_rng(2).permutation(48)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index, time in enumerate(times):
            frame = grey_frame(64, 48, "yuv420p", index)
            if index >= cut:
                fill_plane(frame.planes[0], 235 - luma_codes(64, 48, index)[turned] // 2)
            frame.pts, frame.time_base = time, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4"])
@pytest.mark.parametrize("steady", [True, False])
def test_a_pipe_is_given_the_packets_of_the_file(codec: str, steady: bool, tmp_path: Path) -> None:
    """Segments end at the same frames: at most 12 in each, 8 where a shot begins."""
    times = list(range(40)) if steady else [i + i // 5 + (i % 3 == 2) for i in range(40)]
    source = film_with_a_cut(tmp_path / "a.mkv", times, 20)
    file = tmp_path / "b.mkv"
    given = [source, "--codec", codec, "--encoder-option", "g=100"]
    with mock.patch.multiple("vidcolor.resumable", _MOST_FRAMES=12, _FEWEST_FRAMES=12):
        assert call(*given, file) == 0
        code, data = piped(*given, "-")
    assert code == 0
    wanted = everything_of(file.read_bytes(), "matroska")
    assert [i for i, (_, _, key, _) in enumerate(wanted) if key] == [0, 12, 20, 32]
    assert everything_of(data, "matroska") == wanted
    (tmp_path / "c.mkv").write_bytes(data)
    assert packets_of(tmp_path / "c.mkv", "video") == packets_of(file, "video")


@pytest.mark.parametrize(("form", "muxer"), [("mp4", "mp4"), ("ts", "mpegts"), ("nut", "nut")])
def test_a_pipe_of_any_form_shows_the_frames_of_the_file(form: str, muxer: str, tmp_path: Path) -> None:
    source, file = make_film(tmp_path / "a.mkv", frames=40), tmp_path / f"b.{form}"
    with mock.patch.multiple("vidcolor.resumable", _MOST_FRAMES=12, _FEWEST_FRAMES=12):
        assert call(source, file) == 0
        code, data = piped(source, "-", "--format", form)
    assert code == 0
    (tmp_path / f"c.{form}").write_bytes(data)
    wanted, found = read_film(file), read_film(tmp_path / f"c.{form}")
    assert len(found) == 40
    for one, other in zip(wanted, found, strict=True):
        assert one.time - wanted[0].time == pytest.approx(other.time - found[0].time)
        assert one.key_frame == other.key_frame
        assert all(map(np.array_equal, planes_of(one), planes_of(other)))
    decode_times = [dts for _, dts, *_ in everything_of(data, muxer) if dts is not None]  # nut states few
    assert decode_times == sorted(set(decode_times))


def test_a_full_disk_behind_standard_output_ends_with_5(film: Path, capfd: Said) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    full = os.open("/dev/full", os.O_WRONLY)
    with standing_for(1, full):
        assert call(film, "-") == 5
    os.close(full)
    assert "No space left" in one_line(capfd.readouterr().err)


@pytest.mark.parametrize("way", ["in and out", "in", "out"])
def test_a_source_behind_a_descriptor_is_not_written_over(way: str, film: Path, capfd: Said) -> None:
    before = film.read_bytes()
    opened = os.open(film, os.O_RDWR)
    with standing_for(0, opened if way != "out" else 0), standing_for(1, opened if way != "in" else 1):
        code = call("-y", film if way == "out" else "-", film if way == "in" else "-", "--format", "mkv")
    os.close(opened)
    assert code == 5
    assert "source itself" in one_line(capfd.readouterr().err)
    assert film.read_bytes() == before


def test_a_closed_standard_output_is_refused_with_5(
    film: Path, capfd: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as closed:
        closed.setattr(sys, "stdout", None)
        assert call(film, "-") == 5
    assert "closed" in one_line(capfd.readouterr().err)


def test_several_films_cannot_go_to_standard_output(film: Path) -> None:
    code, blob = piped(film, film, "-")
    assert (code, blob) == (2, b"")


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_named_pipe_is_written_in_place(film: Path, tmp_path: Path, suffix: str) -> None:
    pipe, copy = tmp_path / f"pipe.{suffix}", tmp_path / f"copy.{suffix}"
    os.mkfifo(pipe)
    with copy.open("wb") as file, subprocess.Popen(["cat", str(pipe)], stdout=file):
        assert call(film, pipe) == 0
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    with av.open(str(copy)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 30


def test_a_film_of_gaps_lasts_as_long_through_a_pipe_as_in_a_file(tmp_path: Path) -> None:
    pts = [*range(0, 480, 40), 480, 5480, *range(10480, 10680, 40), 16000]  # the gaps begin a segment
    source = make_film(tmp_path / "in.mkv", pts=pts, time_base=Fraction(1, 1000), codec="ffv1")
    lengths = []
    with (
        mock.patch("vidcolor.resumable._MOST_FRAMES", 12),
        mock.patch("vidcolor.resumable._FEWEST_FRAMES", 12),
        quickly(),
    ):
        for target in ("-", str(tmp_path / "file.mp4")):
            made = tmp_path / ("pipe.mp4" if target == "-" else "file.mp4")
            with open(tmp_path / "pipe.mp4", "ab") as out:
                given = Options(render_size=32, device="cpu", engine="torch", format="mp4")
                colorize(source, target, given, output_fd=out.fileno())
            with av.open(str(made)) as film:
                picture = film.streams.video[0]
                assert sum(packet.size > 0 for packet in film.demux(picture)) == 20
                assert picture.duration is not None and picture.time_base is not None
                lengths.append(float(picture.duration * picture.time_base))
    assert lengths[0] == pytest.approx(lengths[1], abs=0.05)


def test_y4m_in_a_pipe_tells_the_pixels_aspect_ratio(tmp_path: Path, capfd: Said) -> None:
    source = make_film(tmp_path / "in.mkv", frames=3, sample_aspect_ratio=Fraction(32, 29))
    code, written = piped(source, "-", "--format", "y4m")
    header, frames = written.split(b"\n", 1)
    assert code == 0
    assert b" A32:29 " in header
    assert len(frames) == 3 * (6 + 64 * 48 * 3 // 2)
    assert "aspect" not in capfd.readouterr().err
    assert call(source, tmp_path / "out.y4m") == 0
    assert "does not get the pixels' aspect ratio, 32:29, written" in capfd.readouterr().err


def made_for_a_pipe(source: Path, **given: Any) -> Result:
    options = Options(render_size=32, device="cpu", precision="fp32", engine="torch", **given)
    with quickly(), open(os.devnull, "wb") as nowhere:
        return colorize(source, "-", options, output_fd=nowhere.fileno())


def test_what_a_pipe_is_not_given_is_counted(tmp_path: Path) -> None:
    film = make_film(tmp_path / "a.mkv", frames=30, codec="ffv1", options={"slicecrc": "1", "g": "1"})
    change_packets(film, tmp_path / "lost.mkv", lambda index, data: b"\0" * 9 if index == 9 else data)
    result = made_for_a_pipe(tmp_path / "lost.mkv")
    assert (result.frames, result.lost, result.damaged, result.exit_code) == (29, 1, 0, 7)

    def flipped(index: int, data: bytearray) -> bytearray:
        data[len(data) // 3] ^= 4 if index == 9 else 0
        return data

    change_packets(film, tmp_path / "bad.mkv", flipped)
    result = made_for_a_pipe(tmp_path / "bad.mkv")
    assert (result.frames, result.lost, result.damaged) == (30, 0, 1)
    (tmp_path / "cut.mkv").write_bytes(film.read_bytes()[: film.stat().st_size * 4 // 10])
    result = made_for_a_pipe(tmp_path / "cut.mkv")
    assert abs(result.frames + result.lost - 30) <= 2
    assert (result.lost > 15, result.exit_code) == (True, 7)


def test_of_a_part_for_a_pipe_only_what_that_lacks_is_counted(tmp_path: Path) -> None:
    film = make_film(
        tmp_path / "a.mp4", frames=60, options={"g": "10"}, container_options={"movflags": "faststart"}
    )
    assert made_for_a_pipe(film, start=Fraction(1), duration=Fraction(1, 2)).exit_code == 0
    with pytest.raises(InputError, match="ends before --start"):
        made_for_a_pipe(film, start=Fraction(100))
    film.write_bytes(film.read_bytes()[: film.stat().st_size * 7 // 10])
    result = made_for_a_pipe(film, start=Fraction(1))
    assert abs(result.frames + result.lost - 35) <= 2


@pytest.mark.parametrize("container", ["mkv", "mp4", "mov"])
@pytest.mark.parametrize(("rate", "layout"), [(48_000, "stereo"), (22_050, "mono"), (44_100, "5.1")])
def test_a_broadcast_s_aac_goes_into_a_pipe(tmp_path: Path, container: str, rate: int, layout: str) -> None:
    source = tmp_path / "in.ts"
    with av.open(str(source), "w") as out:
        picture = out.add_stream("mpeg2video", rate=25)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = out.add_stream("aac", rate=rate)
        sound.layout = layout
        for index in range(10):
            out.mux(picture.encode(grey_frame(64, 48, "yuv420p", index)))
        out.mux(picture.encode(None))
        for index in range(10):
            tone = np.random.default_rng(index).normal(0, 0.1, (av.AudioLayout(layout).nb_channels, 1024))
            frame = av.AudioFrame.from_ndarray(tone.astype(np.float32), "fltp", layout)
            frame.rate, frame.pts, frame.time_base = rate, index * 1024, Fraction(1, rate)
            out.mux(sound.encode(frame))
        out.mux(sound.encode(None))
    code, blob = piped(source, "-", "--format", container)
    assert code == 0
    heard = []
    for film in (av.open(str(source)), av.open(io.BytesIO(blob))):
        with film:
            heard.append(np.concatenate([f.to_ndarray() for f in film.decode(audio=0)], 1))
    np.testing.assert_array_equal(*heard)
