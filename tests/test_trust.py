"""Sources are not trusted: nothing opens a file that was not named, nor a network."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from calling import call, one_line
from media import luma_of_film, make_film

Said = pytest.CaptureFixture[str]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A film that no script may make the program read."""
    return make_film(tmp_path / "secret.mkv", frames=3, codec="ffv1")


def scripts(secret: Path) -> dict[str, str]:
    """Files that name other files, by kind."""
    return {
        "ffconcat": f"ffconcat version 1.0\nfile '{secret.name}'\n",
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret.name}\n#EXT-X-ENDLIST\n",
        "dash": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011">{secret.name}</MPD>',
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        "vobsub": "# VobSub index file, v7 (do not modify this line!)\nid: en, index: 0\n"
        "timestamp: 00:00:01:000, filepos: 000000000\n",
    }


@pytest.mark.parametrize("kind", ["ffconcat", "hls", "dash", "sdp", "vobsub"])
@pytest.mark.parametrize(
    "name", ["evil.mp4", "evil.ffconcat", "evil.m3u8", "evil.sdp", "evil.mpd", "evil.idx"]
)
def test_a_script_that_names_other_files_is_refused_whatever_its_name(
    kind: str, name: str, secret: Path, capsys: Said
) -> None:
    evil = secret.with_name(name)
    evil.write_text(scripts(secret)[kind])
    used = secret.stat().st_atime_ns
    assert call(evil, secret.with_name("out.mkv")) == 3
    assert name in one_line(capsys.readouterr().err)
    assert secret.stat().st_atime_ns == used
    assert sorted(os.listdir(secret.parent)) == sorted([name, "secret.mkv"])


@pytest.mark.parametrize("kind", ["ffconcat", "hls"])
def test_the_refusal_names_the_option_that_opens_it(kind: str, secret: Path, capsys: Said) -> None:
    evil = secret.with_name("evil.mp4")
    evil.write_text(scripts(secret)[kind])
    call(evil, secret.with_name("out.mkv"))
    assert "--allow-references" in capsys.readouterr().err


def test_allow_references_opens_the_files_that_a_script_names(secret: Path) -> None:
    script, target = secret.with_name("list.ffconcat"), secret.with_name("out.mkv")
    script.write_text(scripts(secret)["ffconcat"] + f"file '{secret.name}'\n")
    assert call("--allow-references", script, target, "--codec", "ffv1") == 0
    wanted = luma_of_film(secret) * 2
    assert all(np.array_equal(a, b) for a, b in zip(luma_of_film(target), wanted, strict=True))


def test_a_script_on_standard_input_is_refused(secret: Path, capfd: Said) -> None:
    script = secret.with_name("evil")
    script.write_text(scripts(secret)["ffconcat"])
    kept = os.dup(0)
    with script.open("rb") as file:
        os.dup2(file.fileno(), 0)
        try:
            assert call("-", secret.with_name("out.mkv")) == 3
        finally:
            os.dup2(kept, 0)
            os.close(kept)
    one_line(capfd.readouterr().err)
    assert not secret.with_name("out.mkv").exists()


@pytest.mark.parametrize(
    "name",
    [
        "concat:secret.mkv|secret.mkv", "subfile,,start,0,end,0,,:secret.mkv", "http://127.0.0.1:9/x.mkv",
        "cache:secret.mkv", "async:secret.mkv", "crypto:secret.mkv", "data:text/plain,x", "md5:secret.mkv",
        "pipe:0", "fd:0", "file:secret.mkv", "tee:secret.mkv", "concatf:list", "udp://127.0.0.1:9",
    ],
)  # fmt: skip
def test_a_protocol_in_a_name_is_only_a_name(
    name: str, secret: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(secret.parent)
    assert call(name, "out.mkv") == 3
    assert "no such file" in one_line(capsys.readouterr().err)
    assert os.listdir() == ["secret.mkv"]


@pytest.mark.parametrize(
    "name",
    ["a:b.mkv", "a|b.mkv", "concat:a|b.mkv", "subfile,,start,0,end,9,,:x.mkv", "50%.mkv", "%d.mkv",
    "a?b*.mkv",
     "-v.mkv", "~.mkv", "a b\n.mkv", "'\".mkv", "[0-9].mkv", "é.mkv"],
)  # fmt: skip
def test_a_file_with_an_odd_name_is_read_and_written(
    name: str, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(secret.parent)
    secret.rename(name)
    os.mkdir("out")
    assert call("--", name, os.path.join("out", name)) == 0
    assert call("--codec", "ffv1", "-y", "--", name, "again.mkv") == 0
    assert len(luma_of_film(f"file:{os.path.join('out', name)}")) == 3
    assert os.listdir("out") == [name]


def test_a_picture_whose_name_looks_like_a_sequence_is_that_picture_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {"codec": "png", "pix_fmt": "gray", "full": True, "format": "image2"}
    make_film(tmp_path / "x_%d.png", frames=3, **made)  # type: ignore[arg-type]
    (tmp_path / "x_3.png").rename(tmp_path / "x_%d.png")
    assert call(tmp_path / "x_%d.png", tmp_path / "out.mkv") == 0
    assert len(luma_of_film(tmp_path / "out.mkv")) == 1


@pytest.mark.parametrize(
    "name", ["art.ans", "art.bin", "art.xb", "art.adf", "art.idf", "art.nfo", "art.txt", "a.mp4"]
)
def test_text_is_no_film(name: str, tmp_path: Path, capsys: Said) -> None:
    (tmp_path / name).write_bytes(b"\x1b[31mred\x1b[0m text " * 500 + b"\x1aSAUCE00")
    assert call(tmp_path / name, tmp_path / "out.mkv") == 3
    one_line(capsys.readouterr().err)
    assert os.listdir(tmp_path) == [name]


@pytest.fixture
def server(secret: Path) -> Iterator[tuple[str, list[str]]]:
    """A web server with the film, and what was asked of it."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = secret.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}/film.mkv", asked
        web.shutdown()
        thread.join()


def test_the_network_is_asked_only_when_that_is_allowed(
    server: tuple[str, list[str]], secret: Path, capsys: Said
) -> None:
    url, asked = server
    target = secret.with_name("out.mkv")
    assert call(url, target) == 3
    assert "--allow-network" in one_line(capsys.readouterr().err)
    assert call("--allow-references", url, target) == 3
    assert not asked
    assert call("--allow-network", url, target) == 0
    assert asked
    assert len(luma_of_film(target)) == 3


def test_a_playlist_does_not_reach_the_network_by_references_alone(
    server: tuple[str, list[str]], secret: Path
) -> None:
    url, asked = server
    script = secret.with_name("list.ffconcat")
    script.write_text(f"ffconcat version 1.0\nfile '{url}'\n")
    call("--allow-references", script, secret.with_name("out.mkv"))
    assert not asked


@pytest.mark.parametrize("given", [["--codec", "libx264"], ["--codec", "libx265"]])
@pytest.mark.parametrize(
    "option", ["stats=s", "x264-params=qpfile=q", "x265-params=csv=c", "x264opts=dump-yuv=d"]
)
def test_encoder_options_that_name_files_are_refused_before_anything_is_written(
    given: list[str], option: str, secret: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(secret.parent)
    assert call(secret, "out.mkv", *given, "--encoder-option", option) == 2
    one_line(capsys.readouterr().err)
    assert os.listdir() == ["secret.mkv"]
