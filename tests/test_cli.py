"""The one command: what it takes, where it writes, what it says, how it ends."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import av
import numpy as np
import pytest
import torch
from calling import call, log_as_it_was, one_line
from conftest import Run
from media import grey_frame, make_film, read_film, times_of

from vidcolor.cli_process import arguments
from vidcolor.cli_targets import targets_of
from vidcolor.stages.predict import Predictor

Said = pytest.CaptureFixture[str]

COMMANDS = [
    ("vidcolor.cli", "vidcolor"),
    ("vidcolor.report.cli", "vidcolor-report"),
    ("vidcolor.training.cli", "vidcolor-train"),
    ("vidcolor.evaluation.cli", "vidcolor-eval"),
]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return make_film(tmp_path / "film.mp4", frames=6)


def test_a_file_becomes_a_film_in_the_container_that_the_suffix_names(film: Path, tmp_path: Path) -> None:
    for suffix, muxer in {"mp4": "mov", "mkv": "matroska", "mov": "mov", "nut": "nut", "avi": "avi"}.items():
        target = tmp_path / f"out.{suffix}"
        assert call(film, target) == 0
        with av.open(str(target)) as container:
            assert muxer in container.format.name
        assert len(read_film(target)) == 6


def test_format_overrules_the_suffix(film: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.bin"
    assert call(film, target, "--format", "mkv") == 0
    with av.open(str(target)) as container:
        assert "matroska" in container.format.name


def test_an_image_is_coloured(tmp_path: Path) -> None:
    source, target = tmp_path / "grey.png", tmp_path / "colour.png"
    make_film(
        source,
        frames=1,
        codec="png",
        pix_fmt="gray",
        full=True,
        format="image2",
        container_options={"update": "1"},
    )
    assert call(source, target) == 0
    picture = read_film(target)[0].to_ndarray(format="rgb24").astype(int)
    assert np.abs(picture[..., 0] - picture[..., 2]).max() > 20


@pytest.mark.parametrize("name", ["out.png", "out.jpg"])
def test_a_film_does_not_go_into_one_picture(name: str, film: Path, tmp_path: Path, capsys: Said) -> None:
    target = tmp_path / name
    target.write_text("precious")
    assert call(film, target, "-y") == 2
    assert "holds one picture" in one_line(capsys.readouterr().err)
    assert target.read_text() == "precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([film.name, name])


def test_an_image_sequence_is_coloured_at_its_frame_rate(tmp_path: Path) -> None:
    make_film(tmp_path / "scan_%03d.png", frames=4, codec="png", pix_fmt="gray", full=True, format="image2")
    target = tmp_path / "out.mkv"
    assert call(tmp_path / "scan_%03d.png", target, "--framerate", "10") == 0
    assert [float(t) for t in times_of(target)] == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_a_sequence_of_images_is_written_and_not_overwritten(
    film: Path, tmp_path: Path, capsys: Said
) -> None:
    target = tmp_path / "shot_%02d.png"
    assert call(film, target) == 0
    assert len(list(tmp_path.glob("shot_*.png"))) == 6
    capsys.readouterr()
    assert call(film, target) == 5
    assert "shot_01.png exists" in one_line(capsys.readouterr().err)
    assert call(film, target, "-y") == 0


def test_several_films_go_into_a_folder_as_with_cp(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    films = [make_film(tmp_path / name, frames=3) for name in ("one.mp4", "two.mkv")]
    assert call(*films, folder) == 0
    assert sorted(p.name for p in folder.iterdir()) == ["one.mp4", "two.mkv"]


def test_one_film_goes_into_a_folder_under_its_own_name(film: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    assert call(film, folder) == 0
    assert len(read_film(folder / film.name)) == 6


def test_a_directory_among_the_films_is_named_and_the_others_are_coloured(
    film: Path, tmp_path: Path, capsys: Said
) -> None:
    reels = tmp_path / "reels"
    reels.mkdir()
    assert call(reels, film, f"{tmp_path}/out/") == 3
    assert f"{reels}: is a directory" in capsys.readouterr().err
    assert os.listdir(tmp_path / "out") == [film.name]


def test_wildcards_are_filled_in_where_no_shell_does_and_nothing_else_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("film 1.mp4", "film [12].mp4", "film 2.mp4"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home")
    monkeypatch.setattr(sys, "argv", ["vidcolor", "film [12].mp4", "~x.mp4", "$HOME.mp4", "out [12].mp4"])
    monkeypatch.setattr(os, "name", "nt")
    assert arguments() == sys.argv[1:], "each is a name, and not of film 1.mp4"
    monkeypatch.setattr(sys, "argv", ["vidcolor", "f*.mp4", "film [?2].mp4", "x?.mp4", "~/out"])
    everything = ["film 1.mp4", "film 2.mp4", "film [12].mp4"]
    assert arguments() == [*everything, "film [12].mp4", "x?.mp4", "/home/out"]
    monkeypatch.setattr(os, "name", "posix")
    assert arguments() == sys.argv[1:]


@pytest.mark.parametrize(
    "module", ["vidcolor.cli", "vidcolor.report.cli", "vidcolor.training.cli", "vidcolor.evaluation.cli"]
)
def test_click_fills_in_nothing(module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("click takes brackets for a wildcard")

    (tmp_path / "a1.mp4").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["command", "--no-such-option", "a[1].mp4"])
    monkeypatch.setattr("click.core._expand_args", refuse)
    monkeypatch.setattr("click.core.os", windows := mock.Mock(wraps=os))
    windows.name = "nt"
    monkeypatch.setattr("vidcolor.cli._leave", sys.exit)
    with log_as_it_was(), pytest.raises(SystemExit) as ended:
        importlib.import_module(module).main()
    assert ended.value.code == 2


@pytest.mark.parametrize("jobs", [1, 2])
def test_only_who_has_had_workers_tidies_up_before_it_leaves(jobs: int, film: Path, tmp_path: Path) -> None:
    program = (
        "import gc, sys\n"
        "gc.collect = lambda *given: print('collected')\n"
        "from vidcolor.cli import main\n"
        "if __name__ == '__main__':\n"
        "    main()\n"
    )
    script = tmp_path / "program.py"
    script.write_text(program)
    given = ["--render-size", "32", "--device", "cpu", "--jobs", str(jobs), "-q", film, tmp_path / "out.mkv"]
    ran = subprocess.run([sys.executable, script, *given], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ("collected" in ran.stdout) == (jobs > 1)


def test_a_folder_that_is_named_as_one_is_made(film: Path, tmp_path: Path) -> None:
    assert call(film, f"{tmp_path}/new/deep/") == 0
    assert [p.name for p in (tmp_path / "new" / "deep").iterdir()] == ["film.mp4"]


@pytest.mark.parametrize(("container", "suffix"), [("mkv", ".mkv"), ("matroska", ".mkv"), ("MOV", ".mov")])
def test_films_in_a_folder_have_the_suffix_of_the_container_that_is_asked_for(
    container: str, suffix: str, film: Path, tmp_path: Path
) -> None:
    assert call("--format", container, film, f"{tmp_path}/out/") == 0
    assert [p.name for p in (tmp_path / "out").iterdir()] == [f"film{suffix}"]


def test_two_films_that_would_have_one_name_are_refused(film: Path, tmp_path: Path, capsys: Said) -> None:
    other = make_film(tmp_path / "film.mov", frames=2)
    assert call("--format", "mkv", film, other, f"{tmp_path}/out/") == 2
    assert "two inputs are called film.mkv" in one_line(capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_two_films_whose_names_are_one_to_the_system_are_refused(
    film: Path, tmp_path: Path, capsys: Said
) -> None:
    (tmp_path / "b").mkdir()
    other = make_film(tmp_path / "b" / "FILM.mp4", frames=2)
    for system in ("win32", "darwin"):
        with mock.patch("vidcolor.media.names.sys", mock.Mock(platform=system)):
            assert call("-y", film, other, f"{tmp_path}/out/") == 2
        assert "two inputs are called film.mp4 and FILM.mp4" in one_line(capsys.readouterr().err)
    assert not (tmp_path / "out").exists()
    with mock.patch("vidcolor.media.names.sys", mock.Mock(platform="linux")):
        assert targets_of((str(film), str(other)), f"{tmp_path}/out/", None)[1][1].endswith("FILM.mp4")


def test_a_folder_that_stays_empty_is_not_left_behind(tmp_path: Path, capsys: Said) -> None:
    assert call(tmp_path / "missing.mp4", f"{tmp_path}/new/") == 3
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_refused(film: Path, tmp_path: Path, capsys: Said) -> None:
    assert call(film, f"{film}/") == 5
    assert "cannot be made" in one_line(capsys.readouterr().err)


def test_one_bad_film_does_not_stop_the_others_and_the_worst_code_is_given(
    film: Path, tmp_path: Path, capsys: Said
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (tmp_path / "bad.mp4").write_text("not a film")
    last = make_film(tmp_path / "last.mp4", frames=2)
    assert call(tmp_path / "bad.mp4", film, last, folder) == 3
    assert sorted(p.name for p in folder.iterdir()) == ["film.mp4", "last.mp4"]
    assert "bad.mp4: " in capsys.readouterr().err
    other = call("--saturation", "0.5", tmp_path / "bad.mp4", film, folder)
    assert other == 5, "a target that is there, and made otherwise, weighs more"


def test_of_several_films_each_line_names_one(tmp_path: Path, capsys: Said) -> None:
    films = []
    for number in (1, 2):
        films.append(
            make_film(tmp_path / f"in{number}.mkv", frames=3, codec="ffv1")
        )  # which is remarked upon
    assert call(*films, f"{tmp_path}/out/") == 0
    lines = capsys.readouterr().err.splitlines()
    for number in (1, 2):
        assert sum(f"in{number}.mkv: the source (ffv1)" in line for line in lines) == 1
        assert (
            sum(line.startswith(f"vidcolor: {tmp_path}/out/in{number}.mkv: 3 frames") for line in lines) == 1
        )
    assert call(films[0], tmp_path / "alone.mkv") == 0
    assert "vidcolor: the source (ffv1)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "inputs", [["film.mp4", "film.mp4"], ["-", "film.mp4"], ["film.mp4", "sub/film.mp4"]]
)
def test_inputs_that_have_no_name_of_their_own_in_the_folder_are_refused(
    inputs: list[str], film: Path, tmp_path: Path, capsys: Said
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    assert call(*[name if name == "-" else tmp_path / name for name in inputs], folder) == 2
    one_line(capsys.readouterr().err)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("out", ["none", "film.mp4", "-", "new.mkv"])
def test_several_films_need_a_folder(out: str, film: Path, tmp_path: Path, capsys: Said) -> None:
    before = film.read_bytes()
    assert call(film, film, out if out == "-" else tmp_path / out) == 2
    assert "folder" in one_line(capsys.readouterr().err)
    assert [p.name for p in tmp_path.iterdir()] == ["film.mp4"]
    assert film.read_bytes() == before


def test_numbered_pictures_are_told_of_their_common_name(tmp_path: Path, capsys: Said) -> None:
    names = [tmp_path / f"scan_{number:03d}.png" for number in (1, 2, 10)]
    assert call(*names, tmp_path / "film.mp4") == 2
    assert f"'{tmp_path}/scan_%03d.png'" in one_line(capsys.readouterr().err)
    assert call(names[0], tmp_path / "other_002.png", tmp_path / "film.mp4") == 2
    assert "%0" not in one_line(capsys.readouterr().err)
    assert call(names[0], tmp_path / "scan_11000.png", tmp_path / "film.mp4") == 2
    assert "/scan_%d.png'" in one_line(capsys.readouterr().err)


def test_a_name_with_a_dash_that_is_there_is_told_how_to_be_written(film: Path, tmp_path: Path) -> None:
    film.rename(tmp_path / "-zz.mp4")
    for name, said in (("-zz.mp4", "./-zz.mp4, or stands behind --"), ("-xx.mp4", "--help lists")):
        command = [sys.executable, "-c", "from vidcolor.cli import main; main()", name, "out.mp4"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert said in one_line(done.stderr)


def test_one_file_for_the_film_and_nothing_beside_it(film: Path, tmp_path: Path) -> None:
    assert call(film, tmp_path / "out.mkv") == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["film.mp4", "out.mkv"]


def test_the_target_has_the_permissions_of_any_new_file(film: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    assert call(film, tmp_path / "out.mkv") == 0
    assert (tmp_path / "out.mkv").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_summary_names_target_frames_device_and_codec(film: Path, tmp_path: Path, capsys: Said) -> None:
    assert call(film, tmp_path / "out.mkv") == 0
    captured = capsys.readouterr()
    said = one_line(captured.err)
    assert all(word in said for word in ("out.mkv", "6 frames", "cpu", "float32", "libx264"))
    assert captured.out == ""


def test_quiet_says_nothing_but_errors(film: Path, tmp_path: Path, capsys: Said) -> None:
    assert call("-q", film, tmp_path / "out.mkv") == 0
    assert capsys.readouterr().err == ""
    assert call("-q", film, tmp_path / "more.mkv", "--progress", "json") == 0  # asked for by name
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["frames"] > 0
    assert call("-q", film, tmp_path / "out.mkv", "--crf", "30") == 5
    one_line(capsys.readouterr().err)


def test_verbose_says_more(tmp_path: Path, capsys: Said) -> None:
    said = []
    film = make_film(tmp_path / "film.mkv", codec="mpeg4", frames=8)
    blob = bytearray(film.read_bytes())
    with av.open(str(film)) as container:
        places = [(p.pos, p.size) for p in container.demux() if p.size]
    blob[places[4][0] : places[4][0] + places[4][1]] = bytes(places[4][1])
    film.write_bytes(blob)
    for index, flags in enumerate(([], ["-v"])):
        call(*flags, film, tmp_path / f"{index}.mkv")
        said.append(capsys.readouterr().err)
    assert len(said[1].splitlines()) >= len(said[0].splitlines())


def test_debug_alone_shows_a_traceback(tmp_path: Path, capsys: Said) -> None:
    assert call(tmp_path / "none.mp4", tmp_path / "out.mkv") == 3
    assert "Traceback" not in capsys.readouterr().err
    assert call("--debug", tmp_path / "none.mp4", tmp_path / "out.mkv") == 3
    assert "Traceback" in capsys.readouterr().err


def test_a_bug_ends_with_1_and_one_line(
    film: Path, tmp_path: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(Predictor, "_forward", broken)
    assert call(film, tmp_path / "out.mkv") == 1
    assert "fault of vidcolor" in one_line(capsys.readouterr().err)
    assert [p.name for p in tmp_path.iterdir()] == ["film.mp4"]


def test_json_progress_is_one_object_a_line(film: Path, tmp_path: Path, capsys: Said) -> None:
    assert call("--progress", "json", film, tmp_path / "out.mkv") == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    objects = [json.loads(line) for line in captured.err.splitlines() if not line.startswith("vidcolor: ")]
    assert objects[-1]["frames"] == objects[-1]["total"] == 6
    assert objects[-1]["position_seconds"] == pytest.approx(0.2)
    assert objects[-1]["eta_seconds"] == 0
    assert objects[-1]["fps"] > 0
    assert objects[-1]["source"] == str(film)


def test_the_bar_has_frames_rate_time_left_and_position(film: Path, tmp_path: Path, capsys: Said) -> None:
    assert call("--progress", "bar", film, tmp_path / "out.mkv") == 0
    said = capsys.readouterr().err
    assert "6/6" in said
    assert "at 00:00:00" in said
    assert "frame/s" in said or "s/frame" in said
    assert "<" in said, "elapsed<left"


def test_no_bar_where_standard_error_is_no_terminal(film: Path, tmp_path: Path, capsys: Said) -> None:
    assert call(film, tmp_path / "out.mkv") == 0
    assert "6/6" not in capsys.readouterr().err


@pytest.mark.parametrize("progress", ["auto", "bar", "json"])
def test_a_closed_standard_error_does_not_keep_a_film_from_being_made(
    progress: str, film: Path, tmp_path: Path, capsys: Said
) -> None:
    target = tmp_path / "out.mkv"
    with mock.patch.object(sys, "stderr", None):
        assert call(film, target, "--progress", progress) == 0
    assert len(read_film(target)) == 6
    assert not capsys.readouterr().out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux")
@pytest.mark.parametrize("progress", ["bar", "json"])
@pytest.mark.parametrize("gone", ["2>/dev/full", "2>&1 | true"])
def test_a_standard_error_that_takes_no_more_does_not_keep_a_film_from_being_made(
    gone: str, progress: str, film: Path, tmp_path: Path, weights: str
) -> None:
    target = tmp_path / "out.mkv"
    code = "from vidcolor.cli import main; main()"
    given = ["--weights", weights, "--render-size", "64", "--progress", progress, str(film), str(target)]
    shell = f'{{ "$0" -c "$@"; echo $? >&3; }} 3>"{tmp_path}/code" {gone}'
    subprocess.run(["sh", "-c", shell, sys.executable, code, *given], check=False)
    assert (tmp_path / "code").read_text() == "0\n"
    assert len(read_film(target)) == 6


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux")
@pytest.mark.parametrize("system", ["posix", "nt"])
def test_what_is_said_and_cannot_be_heard_is_lost_on_every_system(system: str) -> None:
    code = (
        "import os, sys; from vidcolor.cli_process import secure_standard_streams as go\n"
        f"os.name = {system!r}; go(); os.name = 'posix'; print('x', file=sys.stderr, flush=True)"
    )
    shell = ["sh", "-c", '"$0" -c "$1" 2>/dev/full', sys.executable, code]
    assert subprocess.run(shell, check=False).returncode == 0


def test_without_a_standard_error_the_film_goes_out_all_the_same() -> None:
    code = (
        "import os, sys; from vidcolor import cli_process; opened, closed = os.open, os.close\n"
        "os.open, os.close = lambda *_: 3, lambda _: None\n"  # Windows gives nothing else the number 2
        "cli_process.prepare_process(); os.open, os.close = opened, closed\n"
        "print('lost', file=sys.stderr, flush=True)\n"
        "with cli_process.film_output('-') as film: print('lost'); os.write(film, b'film')"
    )
    shell = ["sh", "-c", '"$0" -c "$1" 2>&-', sys.executable, code]
    done = subprocess.run(shell, stdout=subprocess.PIPE, check=False)
    assert (done.returncode, done.stdout) == (0, b"film")


def test_a_standard_error_that_does_not_block_is_waited_for() -> None:
    code = (
        "import os, sys; from vidcolor.cli_process import prepare_process; prepare_process()\n"
        "os.set_blocking(2, False); print('x' * 500000, file=sys.stderr, flush=True)"
    )
    shell = ["sh", "-c", '"$0" -c "$1" 2>&1 >/dev/null | { sleep 1; wc -c; }', sys.executable, code]
    done = subprocess.run(shell, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "500001"


def test_help_is_grouped_and_names_every_option(vidcolor: Run) -> None:
    done = vidcolor("--help", small=False)
    text = done.stdout.decode()
    assert done.returncode == 0
    assert not done.stderr
    for heading in (
        "Colour:",
        "Picture encoding:",
        "Target:",
        "What to colour:",
        "Machine:",
        "Trust:",
        "Messages:",
    ):
        assert heading in text
    for option in (
        "--saturation",
        "--crf",
        "--overwrite",
        "--start",
        "--batch-size",
        "--allow-network",
        "--debug",
    ):
        assert option in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_options_and_their_values(shell: str) -> None:
    def run(**environment: str) -> str:
        code = "from vidcolor.cli import main; main()"
        given = os.environ | environment
        done = subprocess.run(
            [sys.executable, "-c", code], env=given, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    assert f"{shell}_complete" in run(_VIDCOLOR_COMPLETE=f"{shell}_source")
    place = "s" if shell == "fish" else "2"
    words = "vidcolor --compare s"
    found = run(_VIDCOLOR_COMPLETE=f"{shell}_complete", COMP_WORDS=words, COMP_CWORD=place)
    assert "side" in found
    assert "split" in found
    assert "wipe" not in found
    place = "fi" if shell == "fish" else "1"
    found = run(_VIDCOLOR_COMPLETE=f"{shell}_complete", COMP_WORDS="vidcolor fi", COMP_CWORD=place)
    assert found.replace("\n", ",").startswith("file,fi")  # the shell itself looks for the file
    words, place = "vidcolor --work-dir wo", "wo" if shell == "fish" else "2"
    found = run(_VIDCOLOR_COMPLETE=f"{shell}_complete", COMP_WORDS=words, COMP_CWORD=place)
    assert found.replace("\n", ",").startswith("dir,wo")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux")
@pytest.mark.parametrize(("module", "name"), COMMANDS)
def test_help_that_cannot_be_printed_is_no_fault(module: str, name: str) -> None:
    code = f"import sys; sys.argv = [{name!r}, '--help']; from {module} import main; main()"
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert (done.returncode, done.stderr) == (5, f"{name}: standard output: No space left on device\n")


def test_a_command_without_arguments_says_what_is_missing() -> None:
    code = "import sys; sys.argv = ['vidcolor']; from vidcolor.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "Missing argument" in one_line(done.stderr)


def test_names_with_a_line_s_end_are_said_in_one_line(film: Path, capfd: Said) -> None:
    target = film.with_name("two\nlines.mkv")
    assert call(film, target) == 0
    assert target.exists()
    assert "two lines.mkv: 6 frames" in one_line(capfd.readouterr().err)


def test_control_characters_of_names_are_not_for_the_terminal(film: Path, capfd: Said) -> None:
    assert call(film, film.with_name("\x1b[31mred\x07\x9b.mkv")) == 0
    said = one_line(capfd.readouterr().err)
    assert "red" in said
    assert said.isprintable()


@pytest.mark.parametrize("module", ["vidcolor.cli", "vidcolor.training.cli", "vidcolor.evaluation.cli"])
@pytest.mark.parametrize("code_page", ["cp437", "cp1251"])
def test_help_goes_to_a_code_page_that_lacks_some_of_its_signs(module: str, code_page: str) -> None:
    code = f"import sys; from {module} import main; sys.argv[0] = 'x'; main()"
    what = ["images", "--help"] if "evaluation" in module else ["--help"]
    done = subprocess.run(
        [sys.executable, "-c", code, *what],
        env={**os.environ, "PYTHONIOENCODING": code_page},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert "--device" in done.stdout.decode(code_page)


def test_help_imports_nothing_that_is_slow() -> None:
    code = (
        "import sys, click\n"
        "from vidcolor.cli import command\n"
        "try: command.main(['--help'], standalone_mode=False)\n"
        "except SystemExit: pass\n"
        "slow = {'torch', 'av', 'cv2', 'numpy', 'tqdm'} & set(sys.modules)\n"
        "sys.exit(f'imported {slow}' if slow else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_version_names_torch_ffmpeg_and_the_device(capsys: Said) -> None:
    assert call("--version") == 0
    said = capsys.readouterr().out
    assert torch.__version__ in said
    assert "FFmpeg" in said
    assert said.strip().endswith("cpu") or torch.cuda.is_available()


def test_closed_standard_streams_do_not_end_up_in_the_film(film: Path, tmp_path: Path, weights: str) -> None:
    target = tmp_path / "out.mkv"
    code = "from vidcolor.cli import main; main()"
    given = ["--weights", weights, "--render-size", "64", str(film), str(target)]
    shell = ["sh", "-c", 'exec "$@" <&- >&-', "sh", sys.executable, "-c", code, *given]
    assert subprocess.run(shell, check=False).returncode == 0
    assert len(read_film(target)) == 6
    code = "import os; from vidcolor.cli_process import prepare_process as go; go(); os._exit(os.dup(3))"
    shell = ["sh", "-c", 'exec 3<"$2"; exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, code, str(film)]
    assert subprocess.run(shell, check=False).returncode > 3, "the next file would be a standard stream"


@pytest.mark.parametrize(("module", "name"), COMMANDS)
def test_where_the_current_folder_is_gone_it_says_so(
    module: str, name: str, film: Path, tmp_path: Path
) -> None:
    (tmp_path / "gone").mkdir()
    code = f"import os, sys; sys.argv[0] = {name!r}; os.rmdir(os.getcwd()); from {module} import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, str(film), str(tmp_path / "out.mkv")],
        cwd=tmp_path / "gone",
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"{name}: the folder that vidcolor was started in is gone")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="how long paths may be")
def test_where_the_path_of_the_current_folder_is_too_long_it_says_so(film: Path, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    code = (
        "import os\n"
        "for _ in range(21): os.mkdir('n' * 200); os.chdir('n' * 200)\n"
        "from vidcolor.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(film), "out.mkv"],
        cwd=tmp_path / "deep",
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "cannot be used (File name too long)" in done.stderr and done.stderr.count("\n") == 1


def test_names_that_are_no_utf8_work(film: Path, tmp_path: Path) -> None:
    source = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.mp4")
    try:
        os.link(film, source)
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    assert call(source, tmp_path / "out.mkv") == 0
    assert grey_frame(2, 2, "gray", 0).width == 2
