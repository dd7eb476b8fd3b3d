"""Stage 6, reencode: luma and new chroma become one closed stream of compressed video."""

from __future__ import annotations

import re
from fractions import Fraction

import av
import numpy as np
from av.codec.context import Flags
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from vidcolor.errors import OutputError, UsageError
from vidcolor.frames import Codes, Frame
from vidcolor.matrices import BT470BG
from vidcolor.media.encoders import EncoderPlan
from vidcolor.media.fieldorder import PROGRESSIVE, is_bottom_first
from vidcolor.media.parameters import refused_option
from vidcolor.media.pixels import depth_of, is_rgb, plane_array
from vidcolor.media.priority import ordinary_priority
from vidcolor.media.sidedata import RGB, profile_of

_UNSPECIFIED = (0, 2)
_RGB_MATRIX = 0
_LIMITED, _FULL = 1, 2
_HARDWARE = re.compile("_(nvenc|qsv|vaapi|amf|videotoolbox|vulkan|v4l2m2m|mf)$")
# primaries and transfer that go with a matrix, where the source names none (ITU-T H.273)
_COMPANIONS = {1: (1, 1), 4: (4, 4), 5: (5, 6), 6: (6, 6), 7: (7, 7), 9: (9, 14)}
_ACCURATE = 0x4 | 0x2000 | 0x40000
"""Of swscale: bicubic, chroma at every pixel, exact rounding; else R'G'B' of 4:2:0 is 1 to 2 codes darker."""
_LONGEST_DELAY = 3600  # seconds between dts and pts; beyond it dts is garbage
UNWOVEN = frozenset([
    "amv", "flv", "h263p", "mjpeg", "mpeg1video", "msmpeg4", "msmpeg4v2", "rv10", "rv20", "speedhq", "wmv1",
    "wmv2",
])  # fmt: skip
"""Encoders that refuse to code fields."""
_OF_DNXHD = (
    "DNxHD has a few sizes, rates and bit rates (b=120M) alone; --encoder-option profile=dnxhr_hqx (10 bits) "
    "or dnxhr_hq with --pix-fmt yuv422p takes whole frames from 256×120 on"
)


def color_tags(frame: Frame, plan: EncoderPlan) -> dict[str, int]:
    """Matrix, primaries, transfer and range to write, as code points of ITU-T H.273."""
    tags = _source_tags(frame)
    if is_rgb(av.VideoFormat(plan.pix_fmt)):
        tags |= {"colorspace": _RGB_MATRIX, "color_range": _FULL}
    elif plan.is_jfif:
        tags |= {"colorspace": BT470BG.code, "color_range": _FULL}
    elif plan.pix_fmt.startswith("yuvj"):
        tags["color_range"] = _FULL
    return tags


def _source_tags(frame: Frame) -> dict[str, int]:
    video, matrix = frame.video, frame.signal.matrix
    primaries, transfer = _COMPANIONS[matrix.code]
    if int(video.color_primaries) not in _UNSPECIFIED:
        primaries = int(video.color_primaries)
    if int(video.color_trc) not in _UNSPECIFIED:
        transfer = int(video.color_trc)
    return {
        "colorspace": matrix.code,
        "color_primaries": primaries,
        "color_trc": transfer,
        "color_range": _FULL if frame.signal.full_range else _LIMITED,
    }


def ticks_of(pts: int, time_base: Fraction, tick: Fraction, last: int | None) -> int:
    """A frame's pts in the encoder's time base, which may be coarser than its own, after ``last``."""
    ticks = round(pts * time_base / tick)
    return ticks if last is None else max(ticks, last + 1)


def is_interlaced(first: Frame, field_order: int) -> bool:
    """Whether to encode as fields: the first frame has them, or the container says so (AVFieldOrder)."""
    return first.fields == 2 or field_order > PROGRESSIVE


def add_video_stream(
    output: OutputContainer,
    first: Frame,
    plan: EncoderPlan,
    settings: dict[str, str],
    *,
    rate: Fraction,
    time_base: Fraction,
    field_order: int = 0,
) -> VideoStream:
    """Add the stream of the coloured picture, its encoder opened.

    Raises:
        UsageError: the encoder refuses its settings.
    """
    settings = dict(settings) | ({"field_order": str(field_order)} if field_order else {})
    interlaced = is_interlaced(first, field_order)
    if interlaced and plan.codec == "libx264":
        extra = ["bff=1" if is_bottom_first(field_order) else "tff=1"]
        if settings.get("qp") == "0":
            extra.append("keyint=1")  # predicted fields come back with a few samples off by one
        settings["x264-params"] = ":".join(filter(None, (settings.get("x264-params"), *extra)))
    if plan.codec == "libsvtav1":
        settings |= _lossless_av1(settings, plan)
    stream = output.add_stream(plan.codec, rate=rate, options=settings | _siting(plan))
    assert isinstance(stream, VideoStream)
    context = stream.codec_context
    height, width = (first.orientation.upright(first.luma) if plan.upright else first.luma).shape
    context.width, context.height = width, height
    context.pix_fmt = plan.pix_fmt
    context.time_base = stream.time_base = time_base
    context.sample_aspect_ratio = first.aspect
    context.thread_type = "FRAME"
    context.flags |= Flags.frame_duration  # durations come with the frames
    if interlaced and plan.codec not in UNWOVEN:
        context.flags |= Flags.interlaced_dct | Flags.interlaced_me
    for name, value in color_tags(first, plan).items():
        setattr(context, name, value)
    try:
        with ordinary_priority():
            context.open(strict=False)
    except (av.FFmpegError, ValueError) as error:
        told = refused_option(plan.codec, settings, width, height, plan.pix_fmt)
        if told:
            raise UsageError(f"{plan.codec} refuses {told}") from error
        given = ", ".join(f"{key} {value}" for key, value in settings.items())
        advice = "Another --codec or container may take them"
        if _HARDWARE.search(plan.codec):
            advice = "Is its hardware there, with its driver?"
        if plan.codec == "dnxhd":
            advice = _OF_DNXHD
        raise UsageError(
            f"{plan.codec} refuses its settings ({width}×{height} {plan.pix_fmt}, {float(rate):.6g} frames a "
            f"second{', ' * bool(given)}{given}): {getattr(error, 'strerror', error)}. {advice}"
        ) from error
    return stream


def _lossless_av1(settings: dict[str, str], plan: EncoderPlan) -> dict[str, str]:
    """What else SVT-AV1 needs to be lossless: above 8 bits predicted frames are up to four codes off."""
    parameters = settings.get("svtav1-params", "")
    if depth_of(av.VideoFormat(plan.pix_fmt)) == 8 or "lossless=1" not in parameters.split(":"):
        return {}
    return {"svtav1-params": f"{parameters}:keyint=1"}


def _siting(plan: EncoderPlan) -> dict[str, str]:
    """The encoder's option for where 4:2:0 chroma lies: it is made for the left; JPEG's is centred."""
    made = plan.subsampling == "420" and not plan.is_jfif and not is_rgb(av.VideoFormat(plan.pix_fmt))
    return {"chroma_sample_location": "left"} if made else {}


class Reencoder:
    """Puts luma and chroma together and encodes; packets are in the order of decoding.

    Args:
        shift: added to every pts, in the time base of the frames.
        field_order: of the source, as its container tells (AVFieldOrder).

    Attributes:
        tick: the encoder's time base.
        last: pts of the last frame, in ticks; the next one comes after it.
    """

    def __init__(
        self, stream: VideoStream, plan: EncoderPlan, shift: int, last: int | None, field_order: int
    ) -> None:
        self._shift = shift
        self._stream = stream
        self._field_order = field_order
        self._plan = plan
        self.tick = stream.codec_context.time_base or Fraction(1, 1000)
        self.last = last
        self._graph: av.filter.Graph | None = None
        self._reformatter = VideoReformatter()  # one for all: that of a frame is set up for it alone

    def encode(self, frame: Frame, cb: Codes, cr: Codes) -> list[Packet[Stream]]:
        """Encode one frame.

        Args:
            frame: source of luma, time and side data.
            cb, cr: chroma planes at the plan's subsampling and the frame's depth.

        Raises:
            OutputError: the encoder fails.
        """
        video = with_chroma(frame, cb, cr, self._plan, self._reformatter)
        if mark := self._mark(frame):
            video = self._filtered(video, mark)
        self.last = self._ticks(frame)
        video.pts, video.time_base = self.last, self.tick
        video.duration = round(frame.duration * frame.time_base / self.tick)
        video.pict_type = 0  # the source's choice of I, P and B is not ours
        return self._noted(self._encoded(video))

    def _mark(self, frame: Frame) -> str | None:
        """FFmpeg's filter that marks a frame as PyAV cannot.

        FFV1 writes the aspect ratio of the source's codec, not the container's. H.264 and others write of
        unmarked frames that their lower field is first. A profile for grey or CMYK does not fit R'G'B'.
        """
        if self._plan.codec == "ffv1":
            aspect = self._stream.codec_context.sample_aspect_ratio or Fraction(1)
            return f"setsar={aspect.numerator}/{aspect.denominator}"
        if profile_of(frame.video) not in (None, RGB):
            return "sidedata=mode=delete:type=ICC_PROFILE"
        if self._field_order <= PROGRESSIVE or frame.video.interlaced_frame:
            return None
        return "setfield=bff" if is_bottom_first(self._field_order) else "setfield=tff"

    def _filtered(self, video: av.VideoFrame, mark: str) -> av.VideoFrame:
        if self._graph is None:
            self._graph = av.filter.Graph()
            source = self._graph.add_buffer(
                width=video.width, height=video.height, format=video.format, time_base=self.tick
            )
            sink = self._graph.add("buffersink")
            self._graph.link_nodes(source, self._graph.add(*mark.split("=", 1)), sink).configure()
        self._graph.push(video)
        marked = self._graph.pull()
        assert isinstance(marked, av.VideoFrame)
        return marked

    def _ticks(self, frame: Frame) -> int:
        return ticks_of(frame.pts + self._shift, frame.time_base, self.tick, self.last)

    def late(self, frame: Frame) -> Fraction:
        """Seconds by which a frame, were it the next, would come after its time, as its tick is taken."""
        return self._ticks(frame) * self.tick - (frame.pts + self._shift) * frame.time_base

    def flush(self) -> list[Packet[Stream]]:
        """The packets that the encoder still holds.

        Raises:
            OutputError: the encoder fails.
        """
        return self._noted(self._encoded(None))

    def _encoded(self, video: av.VideoFrame | None) -> list[Packet[Stream]]:
        try:
            return list(self._stream.encode(video))
        except av.FFmpegError as error:
            fault = f"{self._plan.codec} cannot encode the picture ({error}); try another --codec"
            raise OutputError(fault) from error

    def _noted(self, packets: list[Packet[Stream]]) -> list[Packet[Stream]]:
        for packet in packets:
            # of films shorter than its delay, x265 leaves dts undefined; so short, nothing is reordered
            if packet.pts is not None and (
                packet.dts is None or not 0 <= (packet.pts - packet.dts) * self.tick < _LONGEST_DELAY
            ):
                packet.dts = packet.pts
        return packets


def with_chroma(
    frame: Frame, cb: Codes, cr: Codes, plan: EncoderPlan, reformatter: VideoReformatter
) -> av.VideoFrame:
    """A frame with the source's luma codes, the given chroma and the source's properties and side data."""
    luma = frame.luma.copy()  # the view dies when the frame gets planes of its own
    frame.luma = luma
    tags = _source_tags(frame)
    same = tags["color_range"]
    planes: list[Codes] = [luma, cb, cr]
    if plan.upright:
        planes = [frame.orientation.upright(plane) for plane in planes]
        video = av.VideoFrame(planes[0].shape[1], planes[0].shape[0], plan.native)
    else:
        height, width = luma.shape
        video = reformatter.reformat(
            frame.video, width, height, plan.native, src_color_range=same, dst_color_range=same
        )
        video.make_writable()
    for index, plane in enumerate(planes):
        target = plane_array(video.planes[index], plan.native, plane.shape[1], plane.shape[0])
        np.copyto(target, plane)
    for name, value in tags.items():
        setattr(video, name, value)
    return video if plan.pix_fmt == plan.native else _convert(video, plan, color_tags(frame, plan))


def _convert(video: av.VideoFrame, plan: EncoderPlan, tags: dict[str, int]) -> av.VideoFrame:
    """Bring a finished frame to the pixel format that was asked for or that the encoder needs."""
    matrix = int(video.colorspace)
    converted = video.reformat(
        format=plan.pix_fmt,
        src_colorspace=matrix,
        dst_colorspace=tags["colorspace"] or matrix,
        src_color_range=video.color_range,
        dst_color_range=tags["color_range"],
        interpolation=_ACCURATE,
    )
    for name, value in tags.items():
        setattr(converted, name, value)
    return converted
