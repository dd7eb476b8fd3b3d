"""Between recolor and reencode, if asked for: the film before and after in one picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from vidcolor.frames import Codes, Floats, Frame

_PERIOD_SECONDS = 6.0
_REACH = 0.46
"""How far from the middle the moving border goes, as a part of the width."""
_LABEL_HEIGHT = 1 / 22
"""Of the letters, as a part of the picture's height."""
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True, kw_only=True)
class _Label:
    """A word on the picture: rows and columns of its box, how much of that is shade, and ink, 0 to 1."""

    before: bool
    box: tuple[slice, slice]
    shade: Floats
    ink: Floats


class Comparison:
    """Puts grey and colour into one frame.

    Args:
        layout: ``side``: both whole, beside each other; ``split``: the left half before, the right after;
            ``wipe``: the border between them moves, once to and fro in six seconds.
        subsampling: ``420``, ``422`` or ``444``, of the chroma planes.
    """

    def __init__(self, layout: str, subsampling: str) -> None:
        self._layout = layout
        self._subsampling = subsampling
        self._labels: dict[tuple[int, int], list[_Label]] = {}

    def outline(self, frame: Frame) -> Frame:
        """The frame with luma of the size that comes out, and nothing in it."""
        upright = frame.orientation.upright(frame.luma)
        height, width = upright.shape
        if self._layout == "side":
            ratio = self._ratio(frame)
            width = 2 * ratio * math.ceil(width / ratio)
        empty = np.zeros((height, width), frame.luma.dtype)
        return replace(frame, luma=np.ascontiguousarray(frame.orientation.stored(empty)))

    def _ratio(self, frame: Frame) -> int:
        """Luma samples a chroma sample, along the width of the upright picture."""
        halved = {"420": (True, True), "422": (True, False), "444": (False, False)}[self._subsampling]
        return 2 if halved[frame.orientation.transpose] else 1

    def __call__(self, frame: Frame, cb: Codes, cr: Codes) -> tuple[Frame, Codes, Codes]:
        """A frame that shows both, and its chroma planes; arguments are left as they are."""
        turn = frame.orientation
        ratio = self._ratio(frame)
        luma = turn.upright(frame.luma)
        planes = [turn.upright(cb), turn.upright(cr)]
        if self._layout == "side":
            luma = np.pad(luma, ((0, 0), (0, -luma.shape[1] % ratio)), "edge")
            luma = np.concatenate((luma, luma), 1)
            planes = [np.concatenate((np.full_like(p, frame.signal.neutral), p), 1) for p in planes]
            border = luma.shape[1] // 2
        else:
            luma, planes = luma.copy(), [plane.copy() for plane in planes]
            border = self._border(frame, luma.shape[1]) // ratio * ratio
            for plane in planes:
                plane[:, : border // ratio] = frame.signal.neutral
            self._draw_border(frame, luma, planes, border, ratio)
        self._write(frame, luma, planes, border)
        stored = [np.ascontiguousarray(turn.stored(plane)) for plane in (luma, *planes)]
        return replace(frame, luma=stored[0]), stored[1], stored[2]

    def _border(self, frame: Frame, width: int) -> int:
        if self._layout == "split":
            return width // 2
        phase = 2.0 * math.pi * float(frame.seconds) / _PERIOD_SECONDS
        return round(width * (0.5 - _REACH * math.cos(phase)))

    def _draw_border(self, frame: Frame, luma: Codes, planes: list[Codes], border: int, ratio: int) -> None:
        thickness = max(2, luma.shape[1] // 480) // 2 * 2
        luma[:, border : border + thickness] = frame.signal.ends[1]
        for plane in planes:
            plane[:, border // ratio : (border + thickness) // ratio] = frame.signal.neutral

    def _write(self, frame: Frame, luma: Codes, planes: list[Codes], border: int) -> None:
        shape = luma.shape[0], luma.shape[1]
        if shape not in self._labels:
            self._labels[shape] = _labels(*shape, second=shape[1] // 2 if self._layout == "side" else None)
        black, white = frame.signal.ends
        for label in self._labels[shape]:
            rows, columns = label.box
            if not (columns.stop <= border if label.before else columns.start >= border):
                continue
            box = luma[rows, columns]
            shaded = box + (black - box.astype(np.float32)) * label.shade
            box[:] = np.rint(shaded + (white - shaded) * label.ink)
            for plane in planes:
                _wash(plane, luma.shape, label, frame.signal.neutral)


def _wash(plane: Codes, shape: tuple[int, ...], label: _Label, neutral: int) -> None:
    """Take the colour out of what lies under a label's letters."""
    down, across = math.ceil(shape[0] / plane.shape[0]), math.ceil(shape[1] / plane.shape[1])
    rows, columns = label.box
    box = plane[rows.start // down : rows.stop // down, columns.start // across : columns.stop // across]
    covered = cv2.resize(np.maximum(label.ink, label.shade), box.shape[::-1], interpolation=cv2.INTER_AREA)
    box[:] = np.rint(box + (neutral - box.astype(np.float32)) * covered)


def _labels(height: int, width: int, *, second: int | None) -> list[_Label]:
    """``before`` at the upper left, ``after`` at the upper right; or, side by side, each at its own left.

    None where they would hardly fit.
    """
    made = []
    for word in ("before", "after"):
        ink = _word(word, height)
        tall, wide = ink.shape
        margin = tall // 2
        if tall + margin > height // 2 or wide + margin > width // 2:
            continue
        left = margin
        if word == "after":
            left = width - wide - margin if second is None else second + margin
        shade = np.asarray(cv2.dilate(ink, np.ones((3, 3), np.uint8), iterations=max(1, height // 360)))
        box = slice(margin, margin + tall), slice(left, left + wide)
        made.append(_Label(before=word == "before", box=box, shade=shade, ink=ink))
    return made


def _word(word: str, height: int) -> Floats:
    """Coverage of a box of pixels by a word's letters, 0 to 1."""
    size = max(6.0, height * _LABEL_HEIGHT)
    scale, thickness = size / 22.0, max(1, round(size / 11.0))
    (across, up), below = cv2.getTextSize(word, _FONT, scale, thickness)
    edge = thickness + 2
    box = np.zeros((up + below + 2 * edge, across + 2 * edge), np.uint8)
    cv2.putText(box, word, (edge, up + edge), _FONT, scale, 255, thickness, cv2.LINE_AA)
    coverage: Floats = box.astype(np.float32) / np.float32(255.0)
    return coverage
