"""Deinterlacing by FFmpeg's filter."""

from __future__ import annotations

from collections.abc import Iterator

import av
from av.video.stream import VideoStream


class Deinterlacer:
    """FFmpeg's bwdif (a motion-adaptive deinterlacer), a frame for a frame."""

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream
        self._graph: av.filter.Graph | None = None

    def push(self, frames: list[av.VideoFrame], last: bool) -> Iterator[av.VideoFrame]:
        for video in frames:
            if self._graph is None:
                self._graph = self._build(video)
            self._graph.push(video)
            yield from self._pull()
        if last and self._graph is not None:
            self._graph.push(None)
            yield from self._pull()

    def _build(self, video: av.VideoFrame) -> av.filter.Graph:
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=video.width, height=video.height, format=video.format, time_base=self._stream.time_base
        )
        deinterlacer = graph.add("bwdif", "mode=send_frame:deint=all")
        sink = graph.add("buffersink")
        source.link_to(deinterlacer)
        deinterlacer.link_to(sink)
        graph.configure()
        return graph

    def _pull(self) -> Iterator[av.VideoFrame]:
        assert self._graph is not None
        while True:
            try:
                video = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            if isinstance(video, av.VideoFrame):
                yield video
