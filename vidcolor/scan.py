"""The scan before colouring: a source is read once for the shots that come back in it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

from av.container import InputContainer
from av.video.stream import VideoStream

from vidcolor.frames import Floats, Frame
from vidcolor.hearing import hushed
from vidcolor.matching import ShotTable, scan_shots
from vidcolor.media.opening import pick_video
from vidcolor.media.repair import DecodeReport
from vidcolor.stages.decode import DecodeSettings, decode
from vidcolor.stages.luminance import rendered
from vidcolor.stages.predict import Predictor
from vidcolor.temporal import Key

log = logging.getLogger(__name__)


def scan_source(
    open_it: Callable[[], InputContainer],
    settings: DecodeSettings,
    render_size: int,
    predictor: Predictor,
    cancel: threading.Event,
) -> ShotTable:
    """Read a source through and make its shot table; one line says what was found and what it cost.

    Args:
        open_it: opens the source anew.
        settings: as for the colouring, so that both see the same pictures.
        render_size: the same.
        predictor: for the colours of the ends of the shots that come back.
        cancel: set it, and the scan ends early.
    """
    began = time.monotonic()
    with hushed(), open_it() as container:  # what is odd is said when it is coloured
        stream = pick_video(container, settings.name)
        stream.thread_type = "AUTO"
        table = scan_shots(_greys(container, stream, settings, render_size, cancel), predictor)
    log.info(
        "%s: %d of %d shots come back; the scan took %.1f s",
        settings.name,
        len(table.anchors),
        table.shots,
        time.monotonic() - began,
    )
    return table


def _greys(
    container: InputContainer,
    stream: VideoStream,
    settings: DecodeSettings,
    render_size: int,
    cancel: threading.Event,
) -> Iterator[tuple[Key, Floats]]:
    for item in decode(container, stream, settings, DecodeReport(video_index=stream.index)):
        if cancel.is_set():
            return
        if isinstance(item, Frame):
            for number, luma in enumerate(item.in_time(list(item.pictures()))):
                yield (item.pts, number), rendered(item, luma, render_size)
