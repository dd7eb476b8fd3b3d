"""Where a film goes: refused early, written beside, renamed when whole."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
import threading
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath
from unittest import mock

import pytest
from media import make_film
from quick import colour
from test_resume import Stop

from vidcolor.cli_process import film_output
from vidcolor.errors import OutputError, UsageError
from vidcolor.job import colorize
from vidcolor.media.names import folded
from vidcolor.media.opening import sequence_address
from vidcolor.options import Options
from vidcolor.sink import Sink
from vidcolor.target import as_dash, is_sequence, prepare_target
from vidcolor.workplace import Workplace
from vidcolor.writing import write_whole

SOURCE = "somewhere-else.mp4"


def test_the_target_name_is_untouched_until_commit(tmp_path: Path) -> None:
    final = tmp_path / "out.mkv"
    place = prepare_target(SOURCE, str(final), Options(), 1)
    place.create()
    assert place.working is not None
    assert place.working.parent == tmp_path, "a rename must not cross file systems"
    assert place.address == f"file:{place.working}"
    assert not final.exists()
    place.working.write_text("film")
    place.commit()
    assert final.read_text() == "film"
    assert os.listdir(tmp_path) == ["out.mkv"]


@pytest.mark.parametrize("links", [True, False])
def test_what_has_come_to_be_there_meanwhile_is_not_written_over(tmp_path: Path, links: bool) -> None:
    final = tmp_path / "out.mkv"
    refuse = mock.patch("os.link", side_effect=OSError(errno.EPERM, "no links"))
    with contextlib.nullcontext() if links else refuse:
        for overwrite in (False, True):
            final.unlink(missing_ok=True)
            place = prepare_target(SOURCE, str(final), Options(overwrite=overwrite), 1)
            place.create()
            final.write_text("precious")
            if overwrite:
                place.commit()
                continue
            assert place.working is not None
            place.working.write_text("film")
            (tmp_path / "out-2.mkv").write_text("another")
            with pytest.raises(OutputError, match=r"has come to be there while it was made.*out-3\.mkv"):
                place.commit()
            place.discard()
            assert final.read_text() == "precious"
            assert (tmp_path / "out-3.mkv").read_text() == "film", "hours of work are not thrown away"
            (tmp_path / "out-2.mkv").unlink()
            (tmp_path / "out-3.mkv").unlink()
        final.unlink()
        place = prepare_target(SOURCE, str(final), Options(), 1)
        place.create()
        place.commit()
    assert os.listdir(tmp_path) == ["out.mkv"]


def test_a_second_name_of_a_finished_film_is_not_written_through(tmp_path: Path) -> None:
    final, part = tmp_path / "out.mkv", tmp_path / "part.mkv"
    final.write_text("film")
    os.link(final, part)  # as a kill between giving it its name and taking the old one leaves it
    place = prepare_target(SOURCE, str(final), Options(overwrite=True), 1)
    place.create(part)
    part.write_text("new")
    assert final.read_text() == "film"


def test_a_lost_answer_about_a_link_is_no_refusal(tmp_path: Path) -> None:
    final, link = tmp_path / "out.mkv", os.link

    def late(one: Path, other: Path) -> None:
        link(one, other)
        raise FileExistsError

    place = prepare_target(SOURCE, str(final), Options(), 1)
    place.create()
    with mock.patch("os.link", late):
        place.commit()
    assert os.listdir(tmp_path) == ["out.mkv"]


def test_a_source_whose_name_no_system_takes_is_no_fault(tmp_path: Path) -> None:
    prepare_target("a\0b.mkv", str(tmp_path / "out.mkv"), Options(), 1)


def test_what_a_playlist_names_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "part.mkv").touch()
    (tmp_path / "list.ffconcat").write_text("ffconcat version 1.0\nfile part.mkv\n")
    source, given = str(tmp_path / "list.ffconcat"), Options(overwrite=True, allow_references=True)
    (tmp_path / "link.mkv").symlink_to("part.mkv")
    for target in ("part.mkv", "link.mkv"):
        with pytest.raises(OutputError, match="a part of it"):
            prepare_target(source, str(tmp_path / target), given, 1)
    prepare_target(source, str(tmp_path / "other.mkv"), given, 1)


def test_a_sequence_does_not_write_over_its_source(tmp_path: Path) -> None:
    for number in range(100, 103):
        (tmp_path / f"a_{number}.png").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    source, given = str(tmp_path / "a_%03d.png"), Options(overwrite=True)
    for target in ("a_%d.png", "link/a_%03d.png", "a_101.png", "link/a_102.png", "other/../a_100.png"):
        with pytest.raises(OutputError, match="source"):
            prepare_target(source, str(tmp_path / target), given, 1)
    prepare_target(source, str(tmp_path / "a_103.png"), given, 1)
    with pytest.raises(OutputError, match="are the source's own pictures"):
        prepare_target(str(tmp_path / "a_101.png"), str(tmp_path / "a_%d.png"), given, 1)
    prepare_target(source, str(tmp_path / "other" / "a_%03d.png"), given, 1)
    prepare_target(source, str(tmp_path / "b_%03d.png"), given, 1)


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
@pytest.mark.parametrize(
    ("source", "target"), [("linked/b_%d.png", "a_%03d.png"), ("a_%03d.png", "linked/b_%d.png")]
)
def test_a_sequence_does_not_write_over_its_source_through_links(
    tmp_path: Path, source: str, target: str, link: Callable[[Path, Path], None]
) -> None:
    """Links number pictures anew for a program that wants them so."""
    (tmp_path / "linked").mkdir()
    for number in range(3):
        (tmp_path / f"a_{number + 100}.png").touch()
        link(tmp_path / "linked" / f"b_{number}.png", tmp_path / f"a_{number + 100}.png")
    given = Options(overwrite=True)
    with pytest.raises(OutputError, match=r"(a_10|b_)\d\.png is a picture of the source"):
        prepare_target(str(tmp_path / source), str(tmp_path / target), given, 1)
    prepare_target(str(tmp_path / source), str(tmp_path / "c_%d.png"), given, 1)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("A_%03d.PNG", "a_%d.png"),
        ("É_%03d.png", "E\N{COMBINING ACUTE ACCENT}_%03d.png"),
        ("x/a_%d.png", "X/a_%d.png"),
    ],
)
def test_a_sequence_does_not_write_over_names_that_are_one_to_the_file_system(
    tmp_path: Path, source: str, target: str
) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "X").mkdir()  # one folder on such a system
    for number in range(100, 103):
        (tmp_path / (source % number)).touch()
    given = str(tmp_path / source), str(tmp_path / target)
    prepare_target(*given, Options(), 1)  # two names here

    def same(one: Path, other: Path) -> bool:
        return folded(str(one)) == folded(str(other))

    with mock.patch("os.path.samefile", same):  # as Windows and macOS see them
        with pytest.raises(OutputError, match="are the source's own pictures"):
            prepare_target(*given, Options(overwrite=True), 1)
        if Path(source).parent == Path(target).parent:
            with pytest.raises(OutputError, match="exists already"):
                prepare_target(SOURCE, given[1], Options(), 1)


def test_a_sequence_on_another_drive_stays_in_its_current_folder() -> None:
    for name, address in {
        "C:a_%03d.png": "C:a_%03d.png",
        "C:/50%/a_%03d.png": r"C:\50%%\a_%03d.png",
        r"\\server\share\a_%d.png": r"\\server\share\a_%d.png",
    }.items():
        assert sequence_address(PureWindowsPath(name)) == address
    assert sequence_address(PurePosixPath("50%/a_%03d.png")) == "50%%/a_%03d.png"


@pytest.mark.parametrize("name", ["50%/f_%03d.png", "100%_%03d.png", "x%02dy/f_%d.png"])
def test_per_cent_signs_stand_for_themselves(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    target.parent.mkdir(exist_ok=True)
    colour(make_film(tmp_path / "in.mkv", frames=3), target)
    before = target.name.split("%03d" if "%03d" in name else "%d")[0]
    assert len([p for p in target.parent.iterdir() if p.name.startswith(before) and p.suffix == ".png"]) == 3


def test_a_pipe_that_does_not_block_is_waited_for(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    blob, got = bytes(range(256)) * 4096, list[bytes]()

    def read() -> None:
        with open(reader, "rb") as file:
            got.append(file.read())

    thread = threading.Thread(target=read)
    sink = Sink(f"pipe:{writer}")
    started = threading.Timer(0.2, thread.start)
    started.start()
    assert sink.write(blob) == len(blob)
    os.close(writer)
    started.join()
    thread.join()
    assert got == [blob]


def test_what_goes_to_a_device_is_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags, binary = list[int](), 1 << 30
    (tmp_path / "device").touch()

    def opened(name: str, given: int) -> int:
        flags.append(given)
        return really(name, given & ~binary)

    really = os.open
    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr("vidcolor.sink._BINARY", getattr(os, "O_BINARY", binary))
    Sink(f"file:{tmp_path / 'device'}").close()
    assert flags == [os.O_WRONLY | getattr(os, "O_BINARY", binary)]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="this system has no such owners")
def test_a_file_of_others_in_a_sticky_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    film, given = tmp_path / "there.mp4", Options(overwrite=True)
    film.write_bytes(b"old")
    owner = film.stat().st_uid
    for mode, user, refused in ((0o1777, owner + 1, True), (0o1777, owner, False), (0o777, owner + 1, False)):
        tmp_path.chmod(mode)
        with mock.patch("os.geteuid", return_value=user):
            if refused:
                with pytest.raises(OutputError, match="another user"):
                    prepare_target(SOURCE, str(film), given, 1)
            else:
                prepare_target(SOURCE, str(film), given, 1)


def test_discard_leaves_nothing_and_what_was_there(tmp_path: Path) -> None:
    final = tmp_path / "out.mkv"
    final.write_text("before")
    place = prepare_target(SOURCE, str(final), Options(overwrite=True), 1)
    place.discard()
    place.discard()
    assert os.listdir(tmp_path) == ["out.mkv"]
    assert final.read_text() == "before"


def test_commit_that_fails_says_so(tmp_path: Path) -> None:
    place = prepare_target(SOURCE, str(tmp_path / "out.mkv"), Options(), 1)
    place.create()
    (tmp_path / "out.mkv").mkdir()
    with pytest.raises(OutputError, match=r"out\.mkv"):
        place.commit()


def test_standard_output_is_the_descriptor_that_was_given() -> None:
    place = prepare_target(SOURCE, "-", Options(), 7)
    assert (place.address, place.muxer, place.working) == ("pipe:7", "matroska", None)
    assert prepare_target(SOURCE, "-", Options(format="mp4"), 7).muxer == "mp4"
    place.commit()
    place.discard()


@pytest.mark.parametrize("name", [None, ".out.mkv.part"])
def test_the_file_has_the_mode_that_the_umask_leaves(name: str | None, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        place = prepare_target(SOURCE, str(tmp_path / "out.mkv"), Options(), 1)
        place.create(None if name is None else tmp_path / name)
    finally:
        os.umask(before)
    assert place.working is not None
    assert place.working.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.name != "posix", reason="this system has no such modes")
@pytest.mark.parametrize(("before", "after"), [(0o600, 0o600), (0o400, 0o600), (0o666, 0o644)])
def test_what_takes_a_file_s_place_is_no_less_private(before: int, after: int, tmp_path: Path) -> None:
    final, report = tmp_path / "out.mkv", tmp_path / "report.html"
    for path in (final, report):
        path.touch()
        path.chmod(before)  # as of a file of mktemp
    umask = os.umask(0o022)
    try:
        place = prepare_target(SOURCE, str(final), Options(overwrite=True), 1)
        place.create()
        write_whole(report, lambda file: file.write(b"page"))
    finally:
        os.umask(umask)
    assert place.working is not None
    assert [stat.S_IMODE(path.stat().st_mode) for path in (place.working, report)] == [after, after]


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="this system sets no access lists so")
@pytest.mark.parametrize("name", [None, ".out.mkv.part"])
def test_the_file_has_the_mode_that_the_access_list_of_its_folder_gives(
    name: str | None, tmp_path: Path
) -> None:
    nobody = 0xFFFFFFFF  # owner, group, mask and others name no user; user 1 has an entry of its own
    entries = [(0x01, 7, nobody), (0x02, 7, 1), (0x04, 5, nobody), (0x10, 7, nobody), (0x20, 0, nobody)]
    packed = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(tmp_path, "system.posix_acl_default", packed)
    except OSError:
        pytest.skip("this file system has no access lists")
    plain = tmp_path / "plain"
    plain.touch()
    place = prepare_target(SOURCE, str(tmp_path / "out.mkv"), Options(), 1)
    place.create(None if name is None else tmp_path / name)
    assert place.working is not None
    assert place.working.stat().st_mode & 0o777 == plain.stat().st_mode & 0o777 == 0o660


def test_pictures_in_a_folder_that_may_not_be_listed_need_overwriting(tmp_path: Path) -> None:
    target = str(tmp_path / "s%03d.png")
    refusal = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    with mock.patch.object(Path, "iterdir", side_effect=refusal):
        with pytest.raises(OutputError, match=r"s%03d\.png: whether .* cannot be seen \(Perm.*-y"):
            prepare_target(SOURCE, target, Options(), 1)
        assert prepare_target(SOURCE, target, Options(overwrite=True), 1).muxer == "image2"


def test_a_device_or_named_pipe_is_written_in_place_without_overwriting(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.mkv"
    os.mkfifo(pipe)
    place = prepare_target(SOURCE, str(pipe), Options(), 1)
    assert (place.address, place.working) == (f"file:{pipe}", None)


@pytest.mark.parametrize("name", ["", "none/out.mkv", "out.mkv/", "a\0b.mkv", "n" * 300 + ".mkv"])
def test_a_place_that_cannot_be_is_refused(name: str, tmp_path: Path) -> None:
    target = f"{tmp_path}/{name}" if name else ""
    with pytest.raises((OutputError, UsageError)):
        if name == "out.mkv/":
            (tmp_path / "out.mkv").mkdir()
        prepare_target(SOURCE, target, Options(), 1)
    assert set(os.listdir(tmp_path)) <= {"out.mkv"}


@pytest.mark.parametrize(
    ("target", "sequence"),
    [("a_%d.png", True), ("a_%04d.tif", True), ("a.png", False), ("50%.png", False), ("%d/a.png", False)],
)
def test_a_sequence_is_told_by_its_name(target: str, sequence: bool) -> None:
    assert is_sequence(target, "image2") is sequence
    assert not is_sequence(target, "matroska")


def test_only_files_of_the_sequence_itself_are_in_its_way(tmp_path: Path) -> None:
    target = str(tmp_path / "a.b_%03d.png")
    for name in ("aXb_001.png", "a.b_.png", "a.b_001.png.txt", "other.png"):
        (tmp_path / name).touch()
    assert prepare_target(SOURCE, target, Options(), 1).working is None
    (tmp_path / "a.b_001.png").touch()
    with pytest.raises(OutputError, match=r"a\.b_001\.png"):
        prepare_target(SOURCE, target, Options(), 1)
    prepare_target(SOURCE, target, Options(overwrite=True), 1)


def test_what_a_link_leads_to_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    real, link = tmp_path / "far" / "real.mkv", tmp_path / "link.mkv"
    link.symlink_to(real)
    for options in (Options(overwrite=True), Options(overwrite=True)):  # at first it leads to nothing
        place = prepare_target(SOURCE, str(link), options, 1)
        place.create()
        assert place.working is not None
        assert place.working.parent == real.parent
        place.working.write_text("film")
        place.commit()
        assert link.is_symlink()
        assert real.read_text() == "film"
    with pytest.raises(OutputError, match=r"link\.mkv: exists"):
        prepare_target(SOURCE, str(link), Options(), 1)
    assert Workplace(link).folder == Workplace(real).folder


def test_links_in_a_circle_are_like_any_file_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.mkv").symlink_to(tmp_path / "b.mkv")
    (tmp_path / "b.mkv").symlink_to(tmp_path / "a.mkv")
    with pytest.raises(OutputError):
        prepare_target(SOURCE, str(tmp_path / "a.mkv"), Options(), 1)


def test_names_of_standard_output_are_a_dash(tmp_path: Path) -> None:
    link = tmp_path / "stdout"
    link.symlink_to("/proc/self/fd/1")
    (tmp_path / "again").symlink_to("stdout")
    for name in ("-", "/dev/stdout", "/dev/fd/1", str(link), str(tmp_path / "again")):
        assert as_dash(name) == "-"
    (tmp_path / "circle").symlink_to("circle")
    for name in ("/dev/fd/12", "stdout", str(tmp_path / "circle"), str(tmp_path / "none")):
        assert as_dash(name) == name


def test_what_is_written_whole_goes_where_a_link_leads(tmp_path: Path) -> None:
    real, link = tmp_path / "real.png", tmp_path / "link.png"
    link.symlink_to(real)
    write_whole(link, lambda file: file.write(b"sheet"))
    assert link.is_symlink()
    assert real.read_bytes() == b"sheet"


def test_a_film_for_a_link_to_standard_output_goes_there(tmp_path: Path) -> None:
    link = tmp_path / "stdout"
    link.symlink_to("/proc/self/fd/1")
    film = make_film(tmp_path / "in.mkv", frames=3)
    with pytest.raises(Stop), mock.patch("vidcolor.job.prepare_target", side_effect=Stop) as prepare:
        colorize(film, link)
    assert prepare.call_args.args[1] == "-"
    with (
        mock.patch("vidcolor.cli_process.os.isatty", return_value=True),
        pytest.raises(UsageError, match="terminal"),
        film_output(str(link)),
    ):
        pass
