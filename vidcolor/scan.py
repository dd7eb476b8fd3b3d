"""The scan before colouring: a source is read once for the shots that come back in it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

from av.container import InputContainer

from vidcolor.frames import Floats, Frame
from vidcolor.logs import silenced
from vidcolor.matching import ShotTable, scan_shots
from vidcolor.reading import Reading
from vidcolor.stages.decode import DecodeSettings
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
    with silenced(), open_it() as container:  # what is odd is said when it is coloured
        table = scan_shots(_greys(Reading(container, settings), render_size, cancel), predictor)
    if not cancel.is_set():
        log.info(
            "%s: %d of %d shots come back; the scan took %.1f s",
            settings.name,
            len(table.anchors),
            table.shots,
            time.monotonic() - began,
        )
    return table


def _greys(reading: Reading, render_size: int, cancel: threading.Event) -> Iterator[tuple[Key, Floats]]:
    for item in reading.items:
        if cancel.is_set():
            return
        if isinstance(item, Frame):
            for number, luma in enumerate(item.in_time(list(item.pictures()))):
                yield (item.pts, number), rendered(item, luma, render_size)
