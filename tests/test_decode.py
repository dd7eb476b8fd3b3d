"""The generator sees upright pictures of square pixels, and fields one by one."""

from __future__ import annotations

import errno
import re
import threading
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import torch
from av.bitstream import BitStreamFilterContext
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream
from fieldpictures import field_pictures
from media import (
    change_packets,
    fill_plane,
    grey_frame,
    luma_of_film,
    make_film,
    packets_of,
    planes_of,
    read_film,
    times_of,
)
from numpy.typing import NDArray
from PIL import Image
from quick import Corners, colour, same_luma
from torch import Tensor

from vidcolor.colorspace import luma_from_rgb
from vidcolor.errors import InputError, UsageError
from vidcolor.frames import Frame, Orientation
from vidcolor.framesource import FrameSource
from vidcolor.matrices import Matrix
from vidcolor.media.losses import DecodeReport
from vidcolor.media.pixels import luma_of, signal_of
from vidcolor.media.repair import FrameClock
from vidcolor.media.seeking import _earlier
from vidcolor.media.sidedata import display_matrix
from vidcolor.media.tail import Tail
from vidcolor.options import Options
from vidcolor.packing import Place, luma_check
from vidcolor.reading import open_as_asked
from vidcolor.stages.decode import DecodeSettings, _describe, decode

ONE = 1 << 16
TURNS = [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)]
MIRRORS = [(-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0)]


class Witness(Corners):
    """Remembers the shapes of what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def forward(self, lightness: Tensor) -> Tensor:
        """L* to ab."""
        self.seen.append(tuple(lightness.shape[-2:]))
        return super().forward(lightness)


class Bright(Corners):
    """Red where it is bright, grey where it is dark."""

    def forward(self, lightness: Tensor) -> Tensor:
        """L* to ab."""
        small = torch.nn.functional.avg_pool2d(lightness, 2)
        return torch.cat((60.0 * (small > 50), 0.0 * small), 1)


def oriented(tmp_path: Path, turn: tuple[int, ...], suffix: str, aspect: Fraction = Fraction(1)) -> Path:
    """A film of 128×64 stored pixels with a display matrix."""
    a, b, c, d = (n * ONE for n in turn)
    plain = make_film(tmp_path / f"plain.{suffix}", size=(128, 64), frames=2, sample_aspect_ratio=aspect)
    with av.open(str(plain)) as old, av.open(str(tmp_path / f"a.{suffix}"), "w") as out:
        stream = out.add_stream_from_template(old.streams.video[0])
        stream.set_display_matrix((a, b, 0, c, d, 0, 0, 0, 1 << 30))
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    return tmp_path / f"a.{suffix}"


def matrix_of(frame: av.VideoFrame) -> tuple[int, ...]:
    """Signs of a, b, c, d of a frame's display matrix."""
    for data in frame.side_data:
        if data.type == SideData.DISPLAYMATRIX:
            values = np.frombuffer(data, np.int32)
            return tuple(int(np.sign(values[i])) for i in (0, 1, 3, 4))
    return (1, 0, 0, 1)


@pytest.mark.parametrize("target", ["b.mp4", "b.mkv"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("turn", TURNS + MIRRORS)
def test_colours_land_upright_and_the_display_matrix_is_kept(
    tmp_path: Path, turn: tuple[int, ...], suffix: str, target: str
) -> None:
    source = oriented(tmp_path, turn, suffix)
    before = matrix_of(read_film(source)[0])
    if suffix == "mp4":  # Matroska itself has no mirrors
        assert before == turn
    witness = Witness()
    colour(source, tmp_path / target, witness, crf=0)
    frame = read_film(tmp_path / target)[0]
    if target == "b.mp4" or turn in TURNS:
        assert matrix_of(frame) == before
    a, b, c, d = before
    assert witness.seen[0] == ((32, 64) if a else (64, 32))
    _, cb, cr = planes_of(frame)
    height, width = cb.shape
    for p, q in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
        x, y = a * p + c * q, b * p + d * q  # ISO/IEC 14496-12: where the stored corner is shown
        row, column = (height - 1) * (q + 1) // 2, (width - 1) * (p + 1) // 2
        assert np.sign(int(cr[row, column]) - 128) == x, "red to the right"
        assert np.sign(int(cb[row, column]) - 128) == -y, "yellow at the bottom"


@pytest.mark.parametrize("target", ["b.mp4", "b.mkv", "b.mov", "b.avi"])
@pytest.mark.parametrize("turn", TURNS[:2])
def test_pixels_are_square_for_the_generator_and_keep_their_aspect_in_the_file(
    tmp_path: Path, turn: tuple[int, ...], target: str
) -> None:
    source = oriented(tmp_path, turn, "mp4", Fraction(1, 2))
    witness = Witness()
    colour(source, tmp_path / target, witness)
    assert witness.seen[0] == (32, 32)
    with av.open(str(tmp_path / target)) as film:
        assert film.streams.video[0].sample_aspect_ratio == Fraction(1, 2)


def test_ffv1_states_the_aspect_that_only_the_container_of_the_source_knew(tmp_path: Path) -> None:
    coded = {}  # PyAV does not tell what FFV1 states: it has to be what it is where H.264 stated it
    for codec, aspect in (("libx264", 16), ("magicyuv", 16), ("magicyuv", 15)):
        source = make_film(
            tmp_path / "a.mov", frames=2, codec=codec, sample_aspect_ratio=Fraction(aspect, 15), color_range=1
        )
        colour(source, tmp_path / "b.mkv", codec="ffv1", overwrite=True)
        coded[codec, aspect] = packets_of(tmp_path / "b.mkv", "video")
    assert coded["magicyuv", 16] == coded["libx264", 16] != coded["magicyuv", 15]


@pytest.mark.parametrize(("target", "codec"), [("b.avi", "magicyuv"), ("b.nut", "libvpx-vp9")])
def test_a_pixel_aspect_that_cannot_be_kept_is_named(
    tmp_path: Path, target: str, codec: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_film(tmp_path / "a.mkv", frames=2, sample_aspect_ratio=Fraction(16, 15))
    colour(source, tmp_path / target, codec=codec)
    assert any("aspect ratio, 16:15" in line for line in caplog.messages)


def test_a_display_matrix_of_no_quarter_turns_is_kept(tmp_path: Path) -> None:
    source = oriented(tmp_path, (1, 1, -1, 1), "mp4")
    colour(source, tmp_path / "b.mp4")
    assert [matrix_of(frame) for frame in read_film(tmp_path / "b.mp4")] == [(1, 1, -1, 1)] * 2


def interlaced(
    path: Path,
    *,
    top_first: bool,
    pix_fmt: str = "yuv420p",
    moving: bool = False,
    mixed: bool = False,
    height: int = 48,
) -> Path:
    """Four frames whose upper field is bright and whose lower field is dark; in turns where ``moving``.

    FFV1 where its order is ``mixed``, which ffmpeg calls what is coded as one picture.
    """
    order = "tff" if top_first else "bff"
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=64, height=height, format=av.VideoFormat(pix_fmt), time_base=Fraction(1, 25)
    )
    marker, sink = graph.add("setfield", f"mode={order}"), graph.add("buffersink")
    source.link_to(marker)
    marker.link_to(sink)
    graph.configure()
    with av.open(str(path), "w") as out:
        options = {"qp": "0", "x264-params": f"{order}=1", "flags": "+ildct+ilme"}
        options["field_order"] = "tt" if top_first else "bb"
        if mixed:
            options = {"flags": "+ildct", "field_order": "tb" if top_first else "bt"}
        stream = out.add_stream("ffv1" if mixed else "libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, height, pix_fmt
        for index in range(4):
            frame = grey_frame(64, height, pix_fmt, index)
            luma = planes_of(frame)[0]
            upper, lower = (40, 190) if moving and index % 2 else (190, 40)
            luma[0::2] = upper + luma[0::2] // 32
            luma[1::2] = lower + luma[1::2] // 32
            fill_plane(frame.planes[0], luma)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            graph.push(frame)
            out.mux(stream.encode(graph.pull()))
        out.mux(stream.encode(None))
    return path


tells_order = pytest.mark.skipif(
    not hasattr(VideoCodecContext, "field_order"), reason="this PyAV does not tell the order of fields"
)


@tells_order
@pytest.mark.parametrize("top_first", [True, False])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p"])
@pytest.mark.parametrize("target", ["b.mp4", "b.mkv"])
def test_fields_get_chroma_of_their_own_and_stay_in_order(
    tmp_path: Path, target: str, pix_fmt: str, top_first: bool
) -> None:
    source = interlaced(tmp_path / "a.mkv", top_first=top_first, pix_fmt=pix_fmt)
    assert all(frame.interlaced_frame for frame in read_film(source))
    colour(source, tmp_path / target, Bright(), crf=0)
    frames, lumas = read_film(tmp_path / target), luma_of_film(source)
    assert len(frames) == len(lumas)
    assert all(map(np.array_equal, lumas, luma_of_film(tmp_path / target)))
    for frame in frames:
        assert frame.interlaced_frame
        cr = planes_of(frame)[2].astype(int)
        assert (cr[0::2] > 140).all()
        assert (cr[1::2] == 128).all()
    with av.open(str(tmp_path / target)) as film:
        assert int(film.streams.video[0].codec_context.field_order) == (2 if top_first else 3)


@tells_order
def test_fields_of_an_odd_number_of_pairs_of_lines_keep_their_luma(tmp_path: Path) -> None:
    """As of NTSC's 486 lines: x264 weaves fields of 4:2:0 in groups of four."""
    source = interlaced(tmp_path / "a.mkv", top_first=True, mixed=True, height=54)
    colour(source, tmp_path / "b.mp4", crf=0)
    found = read_film(tmp_path / "b.mp4")
    assert [(f.format.name, f.interlaced_frame) for f in found] == [("yuv422p", True)] * 4
    assert all(map(np.array_equal, luma_of_film(source), luma_of_film(tmp_path / "b.mp4")))


@tells_order
def test_dv_shows_its_lower_field_first(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.dv", frames=2, codec="dvvideo", size=(720, 576), rate=25)
    colour(source, tmp_path / "b.mkv", codec="ffv1")
    with av.open(str(tmp_path / "b.mkv")) as film:
        assert int(film.streams.video[0].codec_context.field_order) == 3


@pytest.mark.parametrize(
    ("target", "codec", "lost"),
    [("b.avi", "utvideo", True), ("b.avi", "ffv1", False), ("b.mov", "magicyuv", False)],
)
def test_fields_that_neither_codec_nor_container_marks_are_named(
    target: str, codec: str, lost: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    colour(interlaced(tmp_path / "a.mkv", top_first=True), tmp_path / target, codec=codec)
    assert (f"{codec} has no place for interlacing" in caplog.text) == lost


@tells_order
@pytest.mark.parametrize("top_first", [True, False])
def test_an_order_as_ffmpeg_writes_it_stays(top_first: bool, tmp_path: Path) -> None:
    colour(interlaced(tmp_path / "a.mkv", top_first=top_first, mixed=True), tmp_path / "b.ts")
    with av.open(str(tmp_path / "b.ts")) as film:
        assert int(film.streams.video[0].codec_context.field_order) == (2 if top_first else 3)


@tells_order
@pytest.mark.parametrize("top_first", [True, False])
@pytest.mark.parametrize("kind", ["mpeg2video.mxf", "libx264.mxf", "prores_ks.mxf", "ffv1.avi"])
def test_an_order_that_the_container_does_not_tell_rightly_is_the_frames_own(
    kind: str, top_first: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    codec, _, suffix = kind.partition(".")
    pix_fmt = "yuv422p10le" if codec == "prores_ks" else "yuv422p"
    source = interlaced(tmp_path / "a.mkv", top_first=top_first, pix_fmt=pix_fmt, mixed=True)
    colour(source, tmp_path / f"b.{suffix}", codec=codec, format=suffix)
    assert ("mxf says of H.264" in caplog.text) == (kind == "libx264.mxf" and not top_first)
    colour(tmp_path / f"b.{suffix}", tmp_path / "c.mp4", pix_fmt="yuv420p")
    with av.open(str(tmp_path / "c.mp4")) as film:
        assert int(film.streams.video[0].codec_context.field_order) == (2 if top_first else 3)


@tells_order
@pytest.mark.parametrize("order", ["tt", "bb"])
def test_fields_that_the_container_alone_tells_of_stay_in_order(order: str, tmp_path: Path) -> None:
    kind = {"codec": "mjpeg", "pix_fmt": "yuvj420p", "options": {"field_order": order}}
    source = make_film(tmp_path / "a.mov", **kind)
    assert not read_film(source)[0].interlaced_frame
    colour(source, tmp_path / "b.mpg")
    assert all(frame.interlaced_frame for frame in read_film(tmp_path / "b.mpg"))
    with av.open(str(tmp_path / "b.mpg")) as film:
        assert int(film.streams.video[0].codec_context.field_order) == (2 if order == "tt" else 3)


def test_deinterlacing_makes_as_many_whole_frames_at_the_same_times(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = interlaced(tmp_path / "a.mkv", top_first=True, moving=True)
    colour(source, tmp_path / "b.mkv", deinterlace=True, crf=0)
    assert "begins without interlacing" not in caplog.text
    frames = read_film(tmp_path / "b.mkv")
    assert times_of(tmp_path / "b.mkv") == times_of(source)
    combing = [np.abs(np.diff(luma.astype(int), axis=0)).mean() for luma in luma_of_film(source)]
    for before, frame in zip(combing, frames, strict=True):
        assert not frame.interlaced_frame
        assert np.abs(np.diff(planes_of(frame)[0].astype(int), axis=0)).mean() < before / 2


def test_progressive_frames_are_not_changed_by_deinterlacing_sizes_or_times(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_film(
        tmp_path / "a.mp4", pts=[0, 40, 90, 100, 400, 410], time_base=Fraction(1, 1000), options={"bf": "0"}
    )
    colour(source, tmp_path / "b.mp4", deinterlace=True, encoder_options={"bf": "0"})
    assert times_of(tmp_path / "b.mp4") == times_of(source)
    lasting = [[f.duration * f.time_base for f in read_film(tmp_path / name)] for name in ("a.mp4", "b.mp4")]
    assert lasting[0] == lasting[1]
    assert sum("begins without interlacing" in line for line in caplog.messages) == 1


def test_fields_without_times_are_deinterlaced(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.h264", frames=3, format="h264", options={"x264-params": "interlaced=1"})
    colour(source, tmp_path / "b.mkv", deinterlace=True)
    assert times_of(tmp_path / "b.mkv") == [Fraction(number, 25) for number in range(3)]


def test_pictures_too_small_to_deinterlace_are_refused(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", size=(160, 2), pix_fmt="yuv444p", codec="ffv1", frames=2)
    with pytest.raises(UsageError, match="160×2 are too small"):
        colour(source, tmp_path / "b.mkv", deinterlace=True)


def test_a_duration_between_two_frames_is_told_from_a_start_beyond_the_end(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", frames=9)
    with pytest.raises(InputError, match="no frame of it decodes within the span"):
        colour(source, tmp_path / "b.mkv", start=Fraction("0.1"), duration=Fraction(1, 10**6))
    late = make_film(tmp_path / "late.mkv", frames=9, pts=[5 + i for i in range(9)], audio="pcm_s16le")
    with pytest.raises(InputError, match="no frame of it decodes within the span"):
        colour(late, tmp_path / "b.mkv", duration=Fraction("0.1"))
    with pytest.raises(InputError, match="nothing to colour: it ends before --start"):
        colour(source, tmp_path / "b.mkv", start=Fraction(1), duration=Fraction(1))


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mov", "mpeg2video", {"bf": "2", "g": "12"}),
        ("a.mp4", "libx264", {"bf": "3", "g": "12", "x264-params": "open-gop=1"}),
        ("a.mp4", "mpeg4", {"bf": "2", "g": "15"}),
        ("a.avi", "mpeg4", {"bf": "2", "g": "30"}),
        ("a.avi", "mjpeg", {}),
        ("a.mkv", "libx264", {"bf": "3", "g": "12", "x264-params": "open-gop=1"}),
    ],
)
def test_wherever_a_span_starts_its_frames_are_those_of_the_whole(
    name: str, codec: str, options: dict[str, str], tmp_path: Path
) -> None:
    fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    source = make_film(tmp_path / name, frames=100, codec=codec, options=options, pix_fmt=fmt)

    def read(start: Fraction | None) -> list[tuple[Fraction, bytes]]:
        with open_as_asked(str(source), Options()) as film:
            stream = film.streams.video[0]
            settings = DecodeSettings(start=start, name=name)
            items = decode(film, stream, settings, DecodeReport(video_index=0))
            return [(item.seconds, item.luma.tobytes()) for item in items if isinstance(item, Frame)]

    whole = read(None)
    assert len(whole) == 100
    for number in range(30, 97, 3):
        assert read(whole[number][0]) == whole[number:], number


@pytest.mark.parametrize("start", [2**63 // 10**6 - 1, 2**63 // 10**6 + 1, 10**30])
def test_a_start_beyond_all_times_is_beyond_the_end(start: int, tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", frames=2)
    with pytest.raises(InputError, match="ends before --start"):
        colour(source, tmp_path / "b.mkv", start=Fraction(start))


@pytest.mark.parametrize(
    "fmt", ["nv16", "nv24", "nv21", "p010le", "p016le", "yuvj422p", "yvyu422", "y210le", "vuyx"]
)
def test_packed_and_semiplanar_luma_is_read_as_it_is(fmt: str) -> None:
    plain = grey_frame(64, 48, "yuv444p", 3)
    packed = plain.reformat(format=fmt)
    signal = signal_of(packed)
    luma = luma_of(packed, signal)
    wanted = planes_of(plain)[0].astype(int) << (signal.depth - 8)
    if fmt == "yuvj422p":
        wanted = np.rint((wanted - 16) * 255 / 219).astype(int)
    assert np.abs(luma.astype(int) - wanted).max() <= (1 if fmt == "yuvj422p" else 0)


@pytest.mark.parametrize(("fmt", "kind"), [("rgb24", np.uint8), ("rgb48le", np.uint16)])
def test_luma_of_rgb_takes_floats_for_a_few_lines_at_a_time(
    fmt: str, kind: type[np.integer[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    most = np.iinfo(kind).max
    rgb = np.random.default_rng(0).integers(0, most, (301, 1000, 3), dtype=kind, endpoint=True)
    frame = av.VideoFrame.from_ndarray(rgb, fmt)
    signal, sizes = signal_of(frame), list[int]()
    luma = Matrix.luma

    def watched(matrix: Matrix, *planes: NDArray[np.float32]) -> NDArray[np.float32]:
        sizes.append(sum(plane.size for plane in planes))
        return luma(matrix, *planes)

    with monkeypatch.context() as patch:
        patch.setattr(Matrix, "luma", watched)
        found = luma_of(frame, signal)
    whole = torch.from_numpy(rgb.astype(np.float32)).permute(2, 0, 1)[None] / float(most)
    black, white = signal.ends
    wanted = luma_from_rgb(whole, signal.matrix)[0, 0].numpy() * np.float32(white - black) + np.float32(black)
    assert found.dtype == kind
    assert np.array_equal(found, np.rint(wanted))
    assert sum(sizes) == rgb.size
    assert max(sizes) < 100_000


@tells_order
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("top_first", [True, False])
def test_which_field_comes_first_is_known(top_first: bool, mixed: bool, tmp_path: Path) -> None:
    source = interlaced(tmp_path / "a.mkv", top_first=top_first, mixed=mixed)
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        report = DecodeReport(video_index=stream.index)
        frames = [f for f in decode(container, stream, DecodeSettings(), report) if isinstance(f, Frame)]
    assert frames
    assert all(frame.fields == 2 and frame.bottom_first != top_first for frame in frames)


@pytest.mark.parametrize(("rate", "seconds"), [(25, Fraction(1)), (5, Fraction(16, 5))])
def test_a_key_frame_is_sought_as_far_back_as_decoding_may_run_ahead(rate: int, seconds: Fraction) -> None:
    stream = SimpleNamespace(average_rate=Fraction(rate), guessed_rate=Fraction(rate))
    film = SimpleNamespace(format=SimpleNamespace(name="mov,mp4,m4a"))
    assert _earlier(film, stream) == seconds  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("codec", "distance", "frames", "damaged", "lost"),
    [
        ("ffv1", 1, 40, {39}, {39}),
        ("ffv1", 1, 40, {34}, {34}),
        ("ffv1", 1, 40, {33, 38}, {33, 38}),
        ("ffv1", 1, 40, {5, 38}, {5, 38}),
        ("mpeg4", 4, 40, {5, 38}, {5, 38, 39}),  # what builds on the former comes all the same
        ("mjpeg", 1, 40, {34}, {34}),
        ("libx264", 1, 6, {0}, {0}),
        ("mpeg4", 4, 40, {33}, {33, 34, 35}),  # the next that needs no other is 36
        ("mpeg4", 250, 40, {39}, {39}),
    ],
)
def test_damage_among_the_last_frames_costs_no_others_and_is_counted(
    codec: str, distance: int, frames: int, damaged: set[int], lost: set[int], tmp_path: Path
) -> None:
    kind = {"codec": codec, "pix_fmt": "yuvj420p" if codec == "mjpeg" else "yuv420p"}
    source = make_film(tmp_path / "a.mkv", frames=frames, options={"g": str(distance)}, **kind)
    change_packets(source, tmp_path / "b.mkv", lambda index, data: b"\0" * 9 if index in damaged else data)
    report = DecodeReport(video_index=0)
    with av.open(str(tmp_path / "b.mkv")) as film:
        stream = film.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "FRAME", 8  # which hold so many packets
        found = [f.pts for f in decode(film, stream, DecodeSettings(), report) if isinstance(f, Frame)]
    assert len(found) + report.lost == frames
    if int(av.__version__.split(".")[0]) > 17:  # else frames may be lost beside it, and are counted
        assert found == [40 * number for number in range(frames) if number not in lost]


@pytest.mark.parametrize("bad", [{24}, {43}, {44, 47, 49}, {14, 15, 16}, set()])
@pytest.mark.parametrize("kind", ["mkv", "mp4", "ts"])
def test_frames_that_damaged_h265_has_not_are_counted(kind: str, bad: set[int], tmp_path: Path) -> None:
    """Its decoder gives neither them nor an error."""
    options = {"x265-params": "log-level=none:open-gop=1:keyint=10"}
    source = make_film(tmp_path / "a.mkv", frames=50, codec="libx265", options=options)
    noise = np.random.default_rng(7)

    def damaged(index: int, data: bytearray) -> bytearray:
        if index in bad:
            data[len(data) // 4 :] = noise.bytes(len(data) - len(data) // 4)
        return data

    change_packets(source, tmp_path / f"b.{kind}", damaged)
    result = colour(tmp_path / f"b.{kind}", tmp_path / "c.mkv", codec="ffv1")
    assert result.frames + result.lost == 50
    assert result.lost or not bad & {24, 43}
    assert not (result.lost and not bad)
    assert colour(tmp_path / f"b.{kind}", tmp_path / "d.mkv", codec="ffv1", start=1).lost <= result.lost


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"g": "10", "bf": "3"}),
        ("libx265", {"x265-params": "log-level=none:keyint=10:bframes=3"}),
        ("mpeg4", {"g": "10", "bf": "2"}),
    ],
)
def test_frames_that_wait_to_be_shown_are_not_lost_with_a_damaged_end(
    codec: str, options: dict[str, str], tmp_path: Path
) -> None:
    source = make_film(tmp_path / "a.mkv", frames=40, codec=codec, options=options)
    with av.open(str(source)) as film:
        sound = sorted([p.pts for p in film.demux(video=0) if p.size and p.pts is not None][:25])
    change_packets(source, tmp_path / "b.mkv", lambda index, data: b"\0" * 9 if index >= 25 else data)
    report = DecodeReport(video_index=0)
    with av.open(str(tmp_path / "b.mkv")) as film:
        stream = film.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "FRAME", 4
        found = [f for f in decode(film, stream, DecodeSettings(), report) if isinstance(f, Frame)]
    assert len(found) + report.lost == 40
    if int(av.__version__.split(".")[0]) > 17:
        assert [frame.pts for frame in found] == sound
    whole = luma_of_film(source)
    assert all(np.array_equal(frame.luma, whole[frame.pts // 40]) for frame in found)


def pictures_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as film:
        return [bytes(packet) for packet in film.demux(video=0) if packet.size]


def decoded(path: Path, threads: int) -> tuple[list[Frame], DecodeReport]:
    report = DecodeReport(video_index=0)
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "FRAME", threads
        return [f for f in decode(film, stream, DecodeSettings(), report) if isinstance(f, Frame)], report


@pytest.mark.parametrize("bad", [{39}, {36}, {35, 38}])
def test_frames_without_times_are_not_lost_with_a_damaged_end(bad: set[int], tmp_path: Path) -> None:
    """A stream without a container: what is left in the decoder's threads cannot be told by its time."""
    source = make_film(tmp_path / "a.h264", frames=40, options={"g": "10", "bf": "3"})
    film = pictures_of(source)
    cut = tmp_path / "b.h264"
    cut.write_bytes(b"".join(data[:8] if index in bad else data for index, data in enumerate(film)))
    alone, counted = decoded(cut, 1)
    assert (len(alone), counted.lost) == (40 - len(bad), len(bad))
    frames, report = decoded(cut, 4)
    assert len(frames) + report.lost == 40
    if int(av.__version__.split(".")[0]) > 17:
        assert report.lost == len(bad)
        assert all(np.array_equal(a.luma, b.luma) for a, b in zip(alone, frames, strict=True))
    assert decoded(source, 4)[1].lost == 0


@pytest.mark.parametrize("fields", [False, True])
def test_a_second_field_without_a_time_is_no_lost_frame(fields: bool, tmp_path: Path) -> None:
    options = {"x264-params": "tff=1"} if fields else {}
    source = make_film(tmp_path / "a.h264", frames=12, options=options)
    frames, report = decoded(source, 4)
    assert (len(frames), report.lost) == (12, 0)


@pytest.mark.parametrize("group", [10, 1000])
@pytest.mark.parametrize("threads", [1, 4])
def test_second_fields_are_no_lost_frames_however_far_the_key_frame_is(
    group: int, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fields that are pictures of their own come in packets of their own; the second gives no frame."""
    monkeypatch.setattr("vidcolor.media.tail._MOST_HELD", 30)
    source = tmp_path / "a.h264"
    packets = field_pictures(40, group)
    source.write_bytes(b"".join(packets))
    frames, report = decoded(source, threads)
    assert (len(frames), report.lost) == (40, 0)
    source.write_bytes(b"".join([*packets[:-2], packets[-2][:7], packets[-1][:7]]))
    frames, report = decoded(source, threads)
    if int(av.__version__.split(".")[0]) > 17:  # else frames may be lost beside it
        assert len(frames) == 39
    assert 1 <= report.lost <= 2, "each field fails by itself"


@pytest.mark.parametrize("threads", [1, 4])
def test_a_second_field_with_a_time_of_its_own_is_no_lost_frame(threads: int, tmp_path: Path) -> None:
    """It lies half a frame's time behind the first one, which the frame has its time of."""
    path, parameters = tmp_path / "a.mkv", field_pictures(1, 10)[0]
    plain = make_film(tmp_path / "plain.h264", frames=1)
    with av.open(str(plain)) as film, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(film.streams.video[0])
        stream.codec_context.extradata = parameters
        for number, data in enumerate(field_pictures(40, 10)[1:]):
            packet = av.Packet(data)
            packet.stream, packet.is_keyframe = stream, number % 20 == 0
            packet.pts = packet.dts = 20 * number
            packet.time_base = Fraction(1, 1000)
            out.mux(packet)
    frames, report = decoded(path, threads)
    assert (len(frames), report.lost) == (40, 0)


@pytest.mark.parametrize(("limit", "value"), [("_MOST_HELD", 12), ("_MOST_BYTES", 10_000)])
def test_packets_are_not_remembered_without_end(
    limit: str, value: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However far apart key frames are."""
    monkeypatch.setattr(f"vidcolor.media.tail.{limit}", value)
    source = make_film(tmp_path / "a.mkv", frames=60, options={"g": "1000"})
    with av.open(str(source)) as film:
        stream = film.streams.video[0]
        stream.codec_context.thread_count = 2
        tail = Tail(stream)
        for packet in film.demux(stream):
            if packet.size and tail.takes(packet):
                tail.note(packet, packet.decode(), failed=False)
            held = [one for group in tail._groups for one, _ in group]
            assert len(held) <= value
            assert limit == "_MOST_HELD" or sum(one.size for one in held) <= value
    assert 2 < len(held) <= 12
    assert limit == "_MOST_HELD" or sum(one.size for one in held) > value // 2


def test_a_frame_of_h265_that_is_an_error_is_counted_once(tmp_path: Path) -> None:
    options = {"x265-params": "log-level=none:keyint=10"}
    source = make_film(tmp_path / "a.mkv", frames=50, codec="libx265", options=options)
    change_packets(source, tmp_path / "b.mkv", lambda index, data: b"\0" * 9 if index in (24, 25) else data)
    result = colour(tmp_path / "b.mkv", tmp_path / "c.mkv", codec="ffv1")
    assert result.lost >= 2
    assert result.frames + result.lost == 50


@pytest.mark.parametrize(
    ("name", "codec", "units"),
    [
        ("a.h264", "libx264", [b"\x09\xf0"]),
        ("a.h264", "libx264", [b"\x06\x05\x01\x00\x80"]),
        ("a.h264", "libx264", [b"\x0a", b"\x0b"]),
        ("a.hevc", "libx265", [b"\x48\x01", b"\x4a\x01"]),
        ("a.hevc", "libx265", [b"\x46\x01\x50"]),
    ],
)
def test_what_follows_the_last_picture_is_no_lost_frame(
    name: str, codec: str, units: list[bytes], tmp_path: Path
) -> None:
    """The end of a sequence, a delimiter, a message: FFmpeg's parser makes a packet of it."""
    source = make_film(tmp_path / name, frames=20, codec=codec)
    source.write_bytes(source.read_bytes() + b"".join(b"\0\0\0\1" + unit for unit in units))
    frames, report = decoded(source, 4)
    assert (len(frames), report.lost) == (20, 0)


@pytest.mark.parametrize("bad", [13, 24, 43, 49])
def test_frames_without_times_that_damaged_h265_has_not_are_counted(bad: int, tmp_path: Path) -> None:
    options = {"x265-params": "log-level=none:open-gop=1:keyint=10"}
    film = pictures_of(make_film(tmp_path / "a.hevc", frames=50, codec="libx265", options=options))
    kept = film[bad][: max(8, len(film[bad]) // 4)]
    noise = np.random.default_rng(7).integers(1, 256, len(film[bad]) - len(kept), np.uint8)
    film[bad] = kept + noise.tobytes()
    (tmp_path / "b.hevc").write_bytes(b"".join(film))
    frames, report = decoded(tmp_path / "b.hevc", 4)
    assert len(frames) + report.lost == 50


def test_pictures_before_the_first_of_raw_h265_are_no_loss(tmp_path: Path) -> None:
    """It begins with a key frame of an open group: those that are shown before that cannot be decoded."""
    options = {"x265-params": "log-level=none:open-gop=1:keyint=10:b-adapt=0:bframes=3:repeat-headers=1"}
    film = pictures_of(make_film(tmp_path / "a.hevc", frames=50, codec="libx265", options=options))
    open_group = re.compile(rb"\x00\x00\x01[\x2a\x2b]")  # CRA
    begin = next(index for index, data in enumerate(film) if open_group.search(data))
    (tmp_path / "b.hevc").write_bytes(b"".join(film[begin:]))
    frames, report = decoded(tmp_path / "b.hevc", 4)
    assert len(frames) < 50 - begin
    assert report.lost == 0


def test_nor_are_those_before_the_first_of_h265_in_a_container(tmp_path: Path) -> None:
    options = {"x265-params": "log-level=none:open-gop=1:keyint=10:b-adapt=0:bframes=3"}
    whole = make_film(tmp_path / "a.mkv", frames=50, codec="libx265", options=options)
    with av.open(str(whole)) as film, av.open(str(tmp_path / "b.mkv"), "w") as out:
        stream = out.add_stream_from_template(film.streams.video[0])
        packets = [packet for packet in film.demux(video=0) if packet.size]
        begin = [index for index, packet in enumerate(packets) if packet.is_keyframe][1]
        for packet in packets[begin:]:
            packet.stream = stream
            out.mux(packet)
    frames, report = decoded(tmp_path / "b.mkv", 4)
    assert len(frames) < 50 - begin
    assert report.lost == 0


def test_a_span_begins_at_a_key_frame_of_the_picture_that_is_coloured(tmp_path: Path) -> None:
    """The track that FFmpeg would seek in by itself has other ones."""
    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        tracks = []
        for gop in (5, 60):
            stream = out.add_stream("libx264", rate=25, options={"g": str(gop), "sc_threshold": "0"})
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            tracks.append(stream)
        tracks[1].disposition = Disposition.default
        for index in range(75):
            for stream in tracks:
                frame = grey_frame(64, 48, "yuv420p", index)
                frame.pts, frame.time_base = index, Fraction(1, 25)
                out.mux(stream.encode(frame))
        for stream in tracks:
            out.mux(stream.encode(None))
    assert colour(tmp_path / "a.mkv", tmp_path / "b.mkv", start=Fraction(2)).frames == 25
    assert times_of(tmp_path / "b.mkv")[0] == 0


def test_codes_that_are_reserved_count_as_unspecified(tmp_path: Path) -> None:
    codes = "matrix_coefficients=3:colour_primaries=3:transfer_characteristics=200"
    plain = make_film(tmp_path / "a.ts", codec="mpeg2video", options={"b": "2M"})
    with av.open(str(plain)) as film, av.open(str(tmp_path / "b.ts"), "w") as out:
        source = film.streams.video[0]
        change = BitStreamFilterContext(f"mpeg2_metadata={codes}", source)
        stream = out.add_stream_from_template(source)
        for packet in film.demux(source):
            for changed in change.filter(packet if packet.size else None):
                changed.stream = stream
                out.mux(changed)
    with av.open(str(tmp_path / "b.ts")) as film:
        assert next(film.decode(video=0)).colorspace == 3
    assert colour(tmp_path / "b.ts", tmp_path / "c.mkv").frames == 10
    with av.open(str(tmp_path / "c.mkv")) as film:
        frame = next(film.decode(video=0))
    assert (frame.colorspace, frame.color_primaries, frame.color_trc) == (6, 6, 6)


@pytest.mark.parametrize(("code", "known"), [(8, 6), (10, 9), (12, 6), (14, 9), (17, 6)])
def test_matrices_that_the_scaler_refuses_are_taken_for_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, code: int, known: int
) -> None:
    for name, pix_fmt in (("a.mkv", "yuv420p"), ("grey.mkv", "gray")):
        source = make_film(tmp_path / name, frames=3, pix_fmt=pix_fmt, colorspace=code)
        caplog.clear()
        assert colour(source, tmp_path / f"to-{name}", crf=0).frames == 3
        assert same_luma(source, tmp_path / f"to-{name}")
        assert sum("matrix" in said for said in caplog.messages) == 1
        with av.open(str(tmp_path / f"to-{name}")) as film:
            assert next(film.decode(video=0)).colorspace == known


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "gbrp10le"])
def test_primaries_of_bt2020_without_a_matrix_have_its_own(tmp_path: Path, pix_fmt: str) -> None:
    codec = "libx264" if pix_fmt == "yuv420p" else "ffv1"
    source = make_film(tmp_path / "a.mkv", frames=1, pix_fmt=pix_fmt, codec=codec, color_primaries=9)
    colour(source, tmp_path / "b.mkv")
    with av.open(str(tmp_path / "b.mkv")) as film:
        frame = next(film.decode(video=0))
    assert (frame.colorspace, frame.color_primaries) == (9, 9)


def test_the_decoder_knows_pixels_whose_shape_the_file_s_beginning_did_not_tell(tmp_path: Path) -> None:
    source = make_film(tmp_path / "a.mkv", frames=1)
    with av.open(str(source)) as film:
        stream = film.streams.video[0]
        video = next(film.decode(stream))
        unread: Any = SimpleNamespace(
            sample_aspect_ratio=None, codec_context=SimpleNamespace(sample_aspect_ratio=Fraction(16, 11))
        )
        frame = _describe(video, unread, 0, FrameClock(stream, DecodeReport(video_index=0)), Orientation())
    assert frame.aspect == Fraction(16, 11)


def test_the_last_frames_of_a_varying_rate_are_no_loss(tmp_path: Path) -> None:
    """With B-frames FFmpeg gives them the differences of their times of decoding as durations."""
    first, *others = (Image.fromarray(np.full((48, 64), 40 * number, np.uint8)) for number in range(1, 6))
    lasts = [100, 500, 40, 20, 2000]  # milliseconds
    first.save(tmp_path / "a.gif", save_all=True, append_images=others, duration=lasts)
    colour(tmp_path / "a.gif", tmp_path / "b.mp4")
    result = colour(tmp_path / "b.mp4", tmp_path / "c.mkv")
    assert (result.frames, result.lost) == (5, 0)


QUARTER_TURN = bytes.fromhex("000001 06 2f 03 08 00 09 80")
"""A message of H.264 (display orientation), which holds until the next one."""
KEY_FRAME = bytes.fromhex("000001 65")


def turned_at_key_frames(path: Path, frames: int, every: int, *, first_alone: bool = False) -> Path:
    """H.264 whose key frames, or the first of them, say that they are to be turned."""
    plain = make_film(path.with_suffix(".h264"), frames=frames, options={"g": str(every), "bf": "0"})
    with av.open(str(plain)) as film, av.open(str(path), "w") as out:
        source = film.streams.video[0]
        stream = out.add_stream_from_template(source)
        for number, packet in enumerate(packet for packet in film.demux(source) if packet.size):
            turn = QUARTER_TURN if not (first_alone and number) else b""
            told = av.Packet(bytes(packet).replace(KEY_FRAME, turn + KEY_FRAME))
            told.stream, told.is_keyframe = stream, packet.is_keyframe
            told.pts, told.dts, told.time_base = number, number, Fraction(1, 25)
            out.mux(told)
    return path


def test_a_turn_that_key_frames_tell_holds_until_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = turned_at_key_frames(tmp_path / "a.mkv", 25, 10)
    with av.open(str(source)) as film:
        assert sum(display_matrix(frame) is not None for frame in film.decode(video=0)) == 3
    with open_as_asked(str(source), Options()) as film:
        stream = film.streams.video[0]
        for start in (None, Fraction(13, 25)):
            settings = DecodeSettings(start=start)
            found = [f for f in decode(film, stream, settings, DecodeReport()) if isinstance(f, Frame)]
            assert len(found) == (25 if start is None else 12)
            assert len({frame.orientation for frame in found}) == 1
            assert found[0].orientation.transpose
    colour(source, tmp_path / "b.mp4", start=Fraction(13, 25), crf=0)
    with av.open(str(tmp_path / "b.mp4")) as film:
        assert all(display_matrix(frame) == found[0].orientation.matrix for frame in film.decode(video=0))
    colour(source, tmp_path / "b.gif")
    assert not any("turns" in said for said in caplog.messages)


def test_a_turn_that_the_first_frame_alone_tells_holds_where_a_job_goes_on(tmp_path: Path) -> None:
    path = str(turned_at_key_frames(tmp_path / "a.mkv", 80, 10, first_alone=True))

    def begun() -> tuple[FrameSource, Frame | None]:
        source = FrameSource(
            lambda: open_as_asked(path, Options()), DecodeSettings(name=path), 10, threading.Event()
        )
        return source, source.first()

    source, first = begun()
    frames = list(source.span(75))[:75]
    source.close()
    place = Place(
        frames=75, last=frames[-1].pts, lumas=tuple(luma_check(frame) for frame in frames[-8:]), seconds=3.0,
        lost=0, damaged=0, ticks=0, state=None,
    )  # fmt: skip
    source, first = begun()
    source.go_to(1, place)
    following = next(source.span(5))
    source.close()
    assert following.pts > place.last
    assert first is not None
    assert following.orientation == first.orientation != Orientation()


@pytest.mark.parametrize("name", ["b.mp4", "b_%d.jpg", "b_%d.png"])
def test_a_picture_that_turns_in_mid_stream_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    for number, turn in enumerate((6, 6, 1), 1):
        exif = Image.Exif()
        exif[0x112] = turn
        Image.new("L", (64, 48), 90).save(tmp_path / f"a_{number}.jpg", exif=exif)
    colour(tmp_path / "a_%d.jpg", tmp_path / name)
    assert sum("turns in mid-stream" in said for said in caplog.messages) == (not name.endswith("png"))


class Starved:
    """A stream whose decoder gets no memory with the n-th packet, or no threads to begin with."""

    def __init__(self, stream: VideoStream, packets: int, error: av.FFmpegError) -> None:
        self._stream, self._left, self._error = stream, packets, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def decode(self, packet: Any) -> list[av.VideoFrame]:
        """As the stream's own."""
        self._left -= 1
        if self._left == 0:
            raise self._error
        return self._stream.decode(packet)


@pytest.mark.parametrize(
    ("packets", "error"),
    [
        (5, av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory")),
        (1, av.error.BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")),
    ],
)
def test_a_decoder_that_gets_no_memory_or_threads_is_no_loss_of_frames(
    packets: int, error: av.FFmpegError, tmp_path: Path
) -> None:
    with av.open(str(make_film(tmp_path / "in.mkv", codec="ffv1"))) as container:
        stream, report = container.streams.video[0], DecodeReport()
        starved = Starved(stream, packets, error)
        with pytest.raises(InputError, match=r"decoding stopped \((Cannot allocate|Resource temp)"):
            list(decode(container, starved, DecodeSettings(), report))  # type: ignore[arg-type]
        assert report.lost == 0
