"""Deinterlacing by FFmpeg's filter."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import av
from av.video.stream import VideoStream

from vidcolor.errors import UsageError

log = logging.getLogger(__name__)


class Deinterlacer:
    """FFmpeg's bwdif (a motion-adaptive deinterlacer), a frame for a frame.

    With ``again`` nothing is said of a film that begins with a frame that is not interlaced.
    """

    def __init__(self, stream: VideoStream, *, again: bool = False) -> None:
        self._said = again
        self._stream = stream
        self._graph: av.filter.Graph | None = None
        self._shape: tuple[int, int, str] | None = None

    def push(self, frames: list[av.VideoFrame], last: bool) -> Iterator[av.VideoFrame]:
        """Give frames to the filter, and get those that are ready; with ``last`` all that are left.

        Raises:
            UsageError: the pictures are too small for the filter.
        """
        for video in frames:
            shape = (video.width, video.height, video.format.name)
            if not (self._said or video.interlaced_frame):
                log.warning("the film begins without interlacing; --deinterlace changes it all the same")
            self._said = True
            if shape != self._shape:
                yield from self._finish()
                self._graph, self._shape = self._build(video), shape
            assert self._graph is not None
            self._graph.push(video)
            yield from self._pull()
        if last:
            yield from self._finish()

    def _finish(self) -> Iterator[av.VideoFrame]:
        if self._graph is not None:
            self._graph.push(None)
            yield from self._pull()
            self._graph = None

    def _build(self, video: av.VideoFrame) -> av.filter.Graph:
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=video.width, height=video.height, format=video.format, time_base=self._stream.time_base
        )
        deinterlacer = graph.add("bwdif", "mode=send_frame:deint=all")
        sink = graph.add("buffersink")
        source.link_to(deinterlacer)
        deinterlacer.link_to(sink)
        try:
            graph.configure()
        except av.error.ArgumentError as error:
            raise UsageError(
                f"--deinterlace: pictures of {video.width}×{video.height} are too small for it"
            ) from error
        return graph

    def _pull(self) -> Iterator[av.VideoFrame]:
        assert self._graph is not None
        while True:
            try:
                video = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            if isinstance(video, av.VideoFrame):
                yield self._retimed(video)

    def _retimed(self, video: av.VideoFrame) -> av.VideoFrame:
        """Bring the time back to the stream's ticks: the filter halves them."""
        base = self._stream.time_base
        if base is not None and video.time_base is not None and video.pts is not None:
            factor = video.time_base / base
            video.pts, video.duration = round(video.pts * factor), round((video.duration or 0) * factor)
            video.time_base = base
        return video
