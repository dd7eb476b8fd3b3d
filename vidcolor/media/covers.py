"""Cover pictures, which Matroska keeps as attached files."""

from __future__ import annotations

import logging
from collections.abc import Callable

from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from vidcolor.media.containers import describe, live_metadata

log = logging.getLogger(__name__)


class CoverAttachment:
    """A cover picture on its way into Matroska, which keeps it as an attached file in its header.

    ``started`` tells whether the header is written; a picture that arrives later cannot be kept.
    """

    def __init__(self, output: OutputContainer, source: Stream, started: Callable[[], bool]) -> None:
        self._output = output
        self._source = source
        self._started = started
        self._kept = False

    def write(self, packet: Packet[Stream]) -> None:
        """Attach the picture that ``packet`` holds."""
        if self._kept or self._started():
            return
        kind = (self._source.name or "jpeg").replace("mjpeg", "jpeg")
        tags = {"filename": f"cover.{kind.replace('jpeg', 'jpg')}", "mimetype": f"image/{kind}"}
        tags |= live_metadata(self._source.metadata)
        self._output.add_attachment(tags["filename"], tags["mimetype"], bytes(packet)).metadata.update(tags)
        self._kept = True

    def finish(self) -> None:
        """Say so if the picture never arrived, or arrived too late."""
        if not self._kept:
            log.warning("%s is left out: it came after the file had begun", describe(self._source))
