"""What a target cannot hold is named, or refused at the start."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import av
import numpy as np
import pytest
from av.sidedata.sidedata import Type as SideDataType
from calling import call, one_line
from media import grey_frame, make_film, read_film
from PIL import Image
from quick import colour
from test_decode import oriented
from test_recolor import frame_of

from vidcolor.errors import UsageError
from vidcolor.film_limits import untold_order
from vidcolor.frames import Frame
from vidcolor.media.encoders import PictureFormat, plan_encoder
from vidcolor.media.fieldorder import field_order_of
from vidcolor.watching import Watch

Said = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("target", "given", "named"),
    [
        ("out.avi", ["--codec", "ffv1"], True),
        ("out.avi", ["--codec", "mpeg4"], True),
        ("out.mpg", [], True),
        ("out.mov", ["--codec", "prores_ks", "--pix-fmt", "yuv422p10le"], True),
        ("out.mkv", ["--codec", "mpeg2video"], True),
        ("out.avi", [], False),
        ("out.mkv", ["--codec", "ffv1"], False),
        ("out.mp4", [], False),
        ("out.mp4", ["--codec", "mpeg4"], False),
        ("out.webm", [], False),
        ("out.y4m", [], False),
        ("out.gif", [], False),
    ],
)
def test_full_range_is_kept_or_named(
    target: str, given: list[str], named: bool, tmp_path: Path, capsys: Said
) -> None:
    source = make_film(tmp_path / "in.mkv", frames=3, size=(176, 144), codec="ffv1", full=True)
    assert call(source, tmp_path / target, *given) == 0
    assert ("full range" in capsys.readouterr().err) == named
    read = read_film(tmp_path / target)[0]
    if not read.format.is_rgb:
        assert (read.color_range != 2) == named


@pytest.mark.parametrize(
    ("target", "given", "named"),
    [
        ("out.avi", ["--codec", "ffv1"], True),
        ("out.nut", ["--codec", "ffv1"], True),
        ("out.avi", [], False),
        ("out.mpg", [], False),
        ("out.mov", ["--codec", "mpeg4"], False),
        ("out.mkv", ["--codec", "ffv1"], False),
    ],
)
def test_a_matrix_is_kept_or_named(
    target: str, given: list[str], named: bool, tmp_path: Path, capsys: Said
) -> None:
    source = make_film(tmp_path / "in.mkv", frames=3, size=(176, 144), codec="ffv1", colorspace=1)
    assert call(source, tmp_path / target, *given) == 0
    assert ("no place for the matrix (bt709)" in capsys.readouterr().err) == named
    assert (int(read_film(tmp_path / target)[0].colorspace) != 1) == named


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
def test_mjpeg_says_that_luma_is_stretched(full: bool, tmp_path: Path, capsys: Said) -> None:
    pix_fmt = "yuvj420p" if full else "yuv420p"
    codec = "mjpeg" if full else "ffv1"
    source = make_film(tmp_path / "in.mkv", frames=2, codec=codec, pix_fmt=pix_fmt, full=full)
    assert call(source, tmp_path / "out.mkv", "--codec", "mjpeg") == 0
    assert ("mjpeg holds full range alone" in capsys.readouterr().err) != full


@pytest.mark.parametrize(
    ("target", "codec", "named"),
    [("out.mov", "png", True), ("out.mkv", "libx264rgb", True), ("out.png", None, False)],
)
def test_codecs_of_rgb_alone_say_that_luma_is_rounded(
    target: str, codec: str | None, named: bool, tmp_path: Path, capsys: Said
) -> None:
    source = make_film(tmp_path / "in.mkv", frames=1)
    assert call(source, tmp_path / target, *(["--codec", codec] if codec else [])) == 0
    assert ("holds R'G'B' alone" in capsys.readouterr().err) == named


def test_a_matrix_that_is_guessed_rightly_needs_no_word(tmp_path: Path, capsys: Said) -> None:
    source = make_film(tmp_path / "in.mkv", frames=2, size=(64, 720), codec="ffv1", colorspace=1)
    assert call(source, tmp_path / "out.avi", "--codec", "ffv1") == 0
    assert "the matrix (" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "named"), [("out.ts", True), ("out.avi", True), ("out.mkv", False), ("out.mp4", False)]
)
def test_a_rotation_is_kept_or_named(target: str, named: bool, tmp_path: Path, capsys: Said) -> None:
    source = oriented(tmp_path, (0, 1, -1, 0), "mp4")
    assert call(source, tmp_path / target) == 0
    assert ("cannot say that the picture is turned" in capsys.readouterr().err) == named
    assert (read_film(tmp_path / target)[0].rotation == 0) == named


@pytest.mark.parametrize("target", ["out_%02d.png", "out.gif"])
def test_pictures_that_cannot_say_it_are_turned_upright(target: str, tmp_path: Path, capsys: Said) -> None:
    source = oriented(tmp_path, (0, 1, -1, 0), "mp4")
    stored = read_film(source)[0]
    assert stored.rotation != 0
    assert call(source, tmp_path / target) == 0
    assert "turned" not in capsys.readouterr().err
    made = read_film(tmp_path / target.replace("%02d", "01"))[0]
    assert (made.width, made.height) == (stored.height, stored.width)


def test_a_png_keeps_the_orientation_in_its_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    grey = Image.fromarray(np.tile(np.arange(96, dtype=np.uint8) * 2, (64, 1)))
    grey.save(tmp_path / "in.jpg", exif=exif)
    assert call(tmp_path / "in.jpg", tmp_path / "out.png") == 0
    with Image.open(tmp_path / "out.png") as made:
        assert made.size == (96, 64)
        assert made.getexif()[0x112] == 6


@pytest.mark.parametrize(
    ("target", "given", "word"),
    [
        ("out_%d.png", ["--codec", "ffv1"], "hold png"),
        ("out.png", ["--codec", "mjpeg"], "hold png"),
        ("out.webp", ["--codec", "png"], "hold libwebp"),
        ("out_%d.webp", ["--codec", "libwebp_anim"], "hold libwebp"),
        ("out.jpg", ["--codec", "libx264", "--pix-fmt", "yuv444p"], "hold mjpeg"),
        ("out.mov", ["--codec", "libvpx-vp9"], "mov cannot hold vp9"),
        ("out.mov", ["--codec", "rawvideo"], "uyvy422"),
        ("out.y4m", ["--codec", "ffv1"], "cannot hold ffv1"),
        ("out.nut", ["--codec", "qtrle"], "nut cannot hold qtrle"),
        ("out.flv", ["--codec", "mpeg4"], "flv cannot hold mpeg4"),
        ("out.mkv", ["--codec", "rv20"], "matroska cannot hold rv20"),
        ("out.mxf", ["--codec", "rawvideo"], "mxf cannot hold rawvideo"),
        ("out.avi", ["--codec", "rawvideo", "--pix-fmt", "yuv444p"], "avi do not know raw yuv444p"),
        ("out.avi", ["--codec", "rawvideo", "--pix-fmt", "yuv422p10le"], "avi do not know raw yuv422p10le"),
        ("out.mkv", ["--codec", "rawvideo", "--pix-fmt", "rgb24"], "mkv do not know raw rgb24"),
        ("out.nut", ["--codec", "rawvideo", "--pix-fmt", "p010le"], "nut do not know raw p010le"),
        ("out.y4m", ["--pix-fmt", "rgb24"], "y4m do not know raw rgb24"),
    ],
)
def test_codecs_that_a_target_does_not_take_are_refused_with_2(
    target: str, given: list[str], word: str, tmp_path: Path, capsys: Said
) -> None:
    source = make_film(tmp_path / "in.mkv", frames=1)
    assert call(source, tmp_path / target, *given) == 2
    assert word in one_line(capsys.readouterr().err)
    assert [p.name for p in tmp_path.iterdir()] == ["in.mkv"]


@pytest.mark.parametrize(("size", "code"), [((720, 486), 2), ((64, 48), 0)])
def test_cineform_of_a_size_that_cannot_be_decoded_again_is_refused(
    tmp_path: Path, size: tuple[int, int], code: int, capsys: Said
) -> None:
    source = make_film(tmp_path / "a.mkv", frames=1, size=size, codec="ffv1", pix_fmt="yuv422p10le")
    assert call(source, tmp_path / "b.mov", "--codec", "cfhd") == code
    assert ("cannot decode what it makes of 720×486 in yuv422p10le" in capsys.readouterr().err) == bool(code)
    assert (tmp_path / "b.mov").exists() == (not code)


@pytest.mark.parametrize(
    ("target", "codec", "name"),
    [("b.flv", "flv", "flv"), ("b.avi", "msmpeg4", "msmpeg4"), ("b.nut", "flv", "flv")],
)
def test_codecs_that_a_container_lists_by_another_name_are_taken(
    tmp_path: Path, target: str, codec: str, name: str
) -> None:
    source = make_film(tmp_path / "a.mkv", frames=2)
    colour(source, tmp_path / target, codec=codec)
    with av.open(str(tmp_path / target)) as film:
        assert film.streams.video[0].codec_context.name == name


@pytest.mark.parametrize(
    ("target", "given"),
    [
        ("out.gif", ["--codec", "libvpx-vp9"]),
        ("out_%02d.png", ["--crf", "20"]),
        ("-", ["--format", "avi", "--audio", "flac"]),
    ],
)
def test_what_a_target_does_not_take_is_refused_before_a_scan(
    target: str, given: list[str], tmp_path: Path, capfd: Said
) -> None:
    source = make_film(tmp_path / "in.mkv", frames=2, audio="aac")
    out = target if target == "-" else tmp_path / target
    with mock.patch("vidcolor.filmjob.scan_source") as scan:
        assert call(source, out, "--match-shots", *given) == 2
    one_line(capfd.readouterr().err)
    assert not scan.called
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize(
    ("target", "pix_fmt"),
    [
        ("out.avi", "yuv422p"),
        ("out.avi", "bgr24"),
        ("out.mkv", "nv12"),
        ("out.nut", "yuv422p10le"),
        ("out.y4m", "yuv444p16le"),
        ("out.y4m", "yuvj420p"),
    ],
)
def test_raw_pictures_in_formats_that_are_known_again_are_made(
    target: str, pix_fmt: str, tmp_path: Path
) -> None:
    source = make_film(tmp_path / "in.mkv", frames=2)
    assert call(source, tmp_path / target, "--codec", "rawvideo", "--pix-fmt", pix_fmt) == 0
    assert read_film(tmp_path / target)[0].format.name == pix_fmt.replace("yuvj", "yuv")


def test_raw_pictures_of_a_depth_that_avi_does_not_know_are_refused(tmp_path: Path, capsys: Said) -> None:
    """They were written, and read again as pictures of 15 bits R'G'B'."""
    source = make_film(tmp_path / "in.mkv", frames=2, codec="ffv1", pix_fmt="yuv420p10le")
    assert call(source, tmp_path / "out.avi", "--codec", "rawvideo") == 2
    assert "raw yuv420p10le" in one_line(capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == [source]


def test_raw_pictures_go_into_mov_in_the_one_format_that_is_read(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mkv", frames=2)
    assert call(source, tmp_path / "out.mov", "--codec", "rawvideo", "--pix-fmt", "uyvy422") == 0
    assert read_film(tmp_path / "out.mov")[0].format.name == "uyvy422"


@pytest.mark.parametrize(("suffix", "kept"), [("mp4", 1), ("ts", 2)])
def test_a_second_track_of_h264_that_avi_cannot_take_is_named(
    suffix: str, kept: int, tmp_path: Path, capsys: Said
) -> None:
    source = tmp_path / f"in.{suffix}"
    with av.open(str(make_film(tmp_path / "one.mp4", frames=10))) as film, av.open(str(source), "w") as out:
        streams = [out.add_stream_from_template(film.streams.video[0]) for _ in range(2)]
        for packet in film.demux(video=0):
            if packet.dts is not None:
                data, pts, dts, base = bytes(packet), packet.pts, packet.dts, packet.time_base
                for stream in streams:
                    copy = av.Packet(data)
                    copy.pts, copy.dts, copy.time_base, copy.stream = pts, dts, base, stream
                    copy.is_keyframe = packet.is_keyframe
                    out.mux(copy)
    assert call(source, tmp_path / "out.avi") == 0
    said = capsys.readouterr().err
    assert "damaged" not in said
    assert ("avi cannot hold" in said) == (kept == 1)
    with av.open(str(tmp_path / "out.avi")) as film:
        assert len(film.streams.video) == kept


def _watch(first: Frame) -> Watch:
    return Watch(first, "matroska", Fraction(25), interlaced=True, codec="libx264")


def test_an_order_of_fields_that_changes_is_named(caplog: pytest.LogCaptureFixture) -> None:
    luma = np.zeros((48, 64), np.uint8)
    first = frame_of(luma, fields=2)
    for other, says in ((False, 0), (True, 1)):
        watch = _watch(first)
        watch.said = {"interlaced", "colour", "format"}
        for frame in (first, frame_of(luma, fields=2, bottom_first=other)):
            watch(frame)
        assert caplog.text.count("the order of the fields changes") == says


def test_fields_of_an_odd_number_of_lines_are_refused_in_words(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "out.mkv"), "w") as out:
        picture = PictureFormat(depth=8, subsampling="444", size=(161, 97), interlaced=True)
        for codec in ("ffv1", "libx265"):
            plan_encoder(out, "matroska", "out.mkv", picture, codec=codec, pix_fmt=None)
        with pytest.raises(UsageError, match="fields of 97 lines"):
            plan_encoder(out, "matroska", "out.mkv", picture, codec=None, pix_fmt=None)


def test_pages_of_a_tiff_that_are_left_out_are_named(tmp_path: Path, capsys: Said) -> None:
    pages = [Image.fromarray(np.full((32, 48), 40 * n, np.uint8)) for n in range(1, 4)]
    pages[0].save(tmp_path / "three.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "one.tif")
    assert call(tmp_path / "three.tif", tmp_path / "three.png") == 0
    assert "3 pages" in capsys.readouterr().err
    assert call(tmp_path / "one.tif", tmp_path / "one.png") == 0
    assert "the TIFF has" not in capsys.readouterr().err


def test_an_order_of_fields_that_pyav_does_not_tell_is_named() -> None:
    fields, whole = SimpleNamespace(fields=2), SimpleNamespace(fields=1)
    old, new = (SimpleNamespace(codec_context=SimpleNamespace(**given)) for given in ({}, {"field_order": 3}))
    assert "Python 3.11" in untold_order(fields, old)[0]  # type: ignore[arg-type]
    assert untold_order(whole, old) == untold_order(fields, new) == []  # type: ignore[arg-type]
    assert [field_order_of(stream) for stream in (old, new)] == [0, 3]  # type: ignore[arg-type]


def with_clean_aperture(path: Path) -> Path:
    """A mov whose header hides the picture's edges: a box ``clap``, sizes around it 40 bytes more."""
    data = bytearray(make_film(path, frames=3).read_bytes())
    entry = data.index(b"avc1", data.index(b"stsd")) - 4
    end = entry + struct.unpack_from(">I", data, entry)[0]
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        at = data.index(name, data.index(b"moov")) - 4
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + 40)
    data[end:end] = struct.pack(">I4s8i", 40, b"clap", 48, 1, 40, 1, 0, 1, 0, 1)
    path.write_bytes(data)
    return path


def test_edges_that_the_container_hides_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert colour(with_clean_aperture(tmp_path / "a.mov"), tmp_path / "b.mkv").frames == 3
    assert "hides the picture's edges" in caplog.text
    caplog.clear()
    colour(make_film(tmp_path / "c.mov", frames=3), tmp_path / "d.mkv")
    assert "edges" not in caplog.text


def test_what_ffmpeg_writes_of_uncut_edges_is_no_hiding(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_film(tmp_path / "a.mov", frames=2, codec="v210", pix_fmt="yuv422p10le")
    colour(source, tmp_path / "b.mkv", codec="ffv1")
    assert "edges" not in caplog.text


def test_the_mark_of_a_stereoscopic_picture_is_said_to_be_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    side_by_side = {"x264-params": "frame-packing=3"}
    source = make_film(tmp_path / "a.mkv", frames=2, options=side_by_side)
    colour(source, tmp_path / "b.mp4", codec="libx265")
    assert "stereoscopic" in caplog.text
    caplog.clear()
    colour(source, tmp_path / "b.mkv")  # H.264 keeps it
    assert "stereoscopic" not in caplog.text
    caplog.clear()
    colour(make_film(tmp_path / "c.mkv", frames=2), tmp_path / "d.mkv")
    assert "stereoscopic" not in caplog.text


def test_the_mark_of_a_spherical_picture_is_said_to_be_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told = {"StitchingSoftware": "none", "Spherical": "true", "Stitched": "true"}
    told["ProjectionType"] = "equirectangular"
    text = "".join(f"<GSpherical:{key}>{value}</GSpherical:{key}>" for key, value in told.items()).encode()
    mark = b"uuid" + bytes.fromhex("ffcc8263f8554a938814587a02521fdd") + text
    data = bytearray(make_film(tmp_path / "a.mp4", frames=2).read_bytes())
    places = [data.index(name) - 4 for name in (b"moov", b"trak")]
    sizes = [int.from_bytes(data[place : place + 4], "big") for place in places]
    end = places[1] + sizes[1]
    data[end:end] = (4 + len(mark)).to_bytes(4, "big") + mark  # a box at the end of the track's
    for place, size in zip(places, sizes, strict=True):
        data[place : place + 4] = (size + 4 + len(mark)).to_bytes(4, "big")
    (tmp_path / "a.mp4").write_bytes(data)
    colour(tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert "the mark of a spherical picture is left out" in caplog.text


def test_a_pixel_format_that_nothing_is_made_into_is_refused(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", frames=2)
    with pytest.raises(UsageError, match="--pix-fmt pal8"):
        colour(source, tmp_path / "b.avi", codec="rawvideo", pix_fmt="pal8")


def test_a_timecode_of_the_file_that_does_not_fit_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, code in (("fits", "01:00:00:02"), ("drops", "01:00:00;02"), ("says nothing", "hello")):
        plain = make_film(tmp_path / f"{name}.mkv", frames=2)
        with av.open(str(plain)) as film, av.open(str(tmp_path / "tagged.mkv"), "w") as out:
            stream = out.add_stream_from_template(film.streams.video[0])
            out.metadata["timecode"] = code
            for packet in film.demux(video=0):
                packet.stream = stream
                if packet.size:
                    out.mux(packet)
        caplog.clear()
        colour(tmp_path / "tagged.mkv", tmp_path / f"{name}.mp4")
        assert (f"timecode {code} is left out" in caplog.text) == (name != "fits")


def test_further_metadata_of_hdr_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kinds = [SideDataType.DYNAMIC_HDR_PLUS, SideDataType.DOVI_RPU_BUFFER, SideDataType.DOVI_METADATA]
    source = make_film(tmp_path / "a.mkv", frames=1)
    with mock.patch("vidcolor.media.hdr.side_data_of", lambda _: [SimpleNamespace(type=k) for k in kinds]):
        colour(source, tmp_path / "b.mkv")
    assert "the source's further HDR metadata (HDR10+, Dolby Vision) is left out" in caplog.text


@pytest.mark.parametrize("alpha", [255, 200])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_an_alpha_channel_is_named_where_something_is_transparent(
    tmp_path: Path, mode: str, alpha: int, caplog: pytest.LogCaptureFixture
) -> None:
    picture = Image.linear_gradient("L").resize((64, 48)).convert(mode)
    picture.putpixel((5, 5), (*([90] * (len(mode) - 1)), alpha))
    picture.save(tmp_path / "a.png")
    colour(tmp_path / "a.png", tmp_path / "b.png")
    assert ("the alpha channel is left out" in caplog.text) == (alpha < 255)


@pytest.mark.parametrize("key", ["alpha_mode", "ALPHA_MODE"])  # FFmpeg knows both
def test_a_film_whose_alpha_channel_is_left_out_does_not_say_that_it_has_one(
    tmp_path: Path, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    make_film(tmp_path / "a.mkv", frames=2)
    with av.open(str(tmp_path / "a.mkv")) as source, av.open(str(tmp_path / "b.mkv"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        stream.metadata[key] = "1"
        for packet in source.demux():
            packet.stream = stream
            if packet.size:
                out.mux(packet)
    colour(tmp_path / "b.mkv", tmp_path / "c.mkv")
    with av.open(str(tmp_path / "c.mkv")) as film:
        assert not [name for name in film.streams.video[0].metadata if name.lower() == "alpha_mode"]
    assert caplog.text.count("the alpha channel is left out") == 1


def test_a_container_whose_codec_has_no_encoder_is_told_another(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no encoder for theora.*--codec"):
        colour(make_film(tmp_path / "a.mkv", frames=1), tmp_path / "b.ogv")


def test_rate_and_timecode_that_scans_are_marked_with_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(2):  # FFmpeg writes no header for television: offsets by SMPTE ST 268
        with av.open(str(tmp_path / f"{number}.dpx"), "w", format="image2", options={"update": "1"}) as out:
            stream = out.add_stream("dpx", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "gray16be"
            out.mux(stream.encode(grey_frame(64, 48, "gray16be", number, full=True)))
        data = bytearray((tmp_path / f"{number}.dpx").read_bytes())
        data[1664:1664] = bytes(256) + b"\xff" * 128
        struct.pack_into(">I", data, 4, 2048)
        struct.pack_into(">I", data, 1920, 0x10000000 | number)
        struct.pack_into(">f", data, 1724, 24.0)
        (tmp_path / f"{number}.dpx").write_bytes(data)
    colour(str(tmp_path / "%d.dpx"), tmp_path / "a.mkv")
    assert "marked with 24 frames a second and shown at 25: --framerate 24 " in caplog.text
    told = hasattr(av.VideoFrame, "metadata")  # not by PyAV 17
    assert ("the pictures' timecode, 10:00:00:00 in the first, is left out" in caplog.text) == told
    caplog.clear()
    colour(str(tmp_path / "%d.dpx"), tmp_path / "b.mkv", framerate=Fraction(18))
    assert "frames a second and shown" not in caplog.text


def test_dv_in_avi_states_the_pixels_aspect_ratio_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    aspect = Fraction(64, 45)
    source = make_film(tmp_path / "a.mp4", frames=2, size=(720, 576), sample_aspect_ratio=aspect)
    colour(source, tmp_path / "b.avi", codec="dvvideo")
    assert "aspect ratio" not in caplog.text
    with av.open(str(tmp_path / "b.avi")) as film:
        stream = film.streams.video[0]
        assert aspect in (stream.sample_aspect_ratio, stream.codec_context.sample_aspect_ratio)
