"""Stage 5, recolor: ab at render size becomes chroma planes that fit the full-size luma."""

from __future__ import annotations

import cv2
import numpy as np

from vidcolor.chromatable import ChromaTable
from vidcolor.colorspace import Matrix
from vidcolor.frames import Codes, Floats, Frame, Picture

_RADIUS = 4
_EPSILON = 2e-4
"""Regularisation of the guided filter, in squared luma: edges of 0.014 and more steer the colour."""


class Recolorer:
    """Turns ab into the chroma planes of a frame.

    Args:
        subsampling: ``420``, ``422`` or ``444``, of the planes to make.
        saturation: factor on ab.
    """

    def __init__(self, subsampling: str, saturation: float = 1.0) -> None:
        self._subsampling = subsampling
        self._saturation = np.float32(saturation)
        self._tables: dict[Matrix, ChromaTable] = {}

    def __call__(self, frame: Frame, pictures: list[Picture], abs_: list[Floats]) -> tuple[Codes, Codes]:
        """Cb and Cr planes of ``frame`` at the subsampling's size.

        Args:
            frame: gives luma, signal and orientation.
            pictures: what the generator saw of the frame, one for each field.
            abs_: their ab ``(h, w, 2)``, upright, at render size.
        """
        if frame.fields == 1:
            codes = self._field(frame, frame.luma, pictures[0], abs_[0])
            return codes[..., 0], codes[..., 1]
        fields = [self._field(frame, *one) for one in zip(frame.pictures(), pictures, abs_, strict=True)]
        rows = frame.luma.shape[0]
        height = (rows + 1) // 2 if self._subsampling == "420" else rows
        woven = np.empty((height, *fields[0].shape[1:]), fields[0].dtype)
        for parity, field in enumerate(fields):
            lines = woven[parity :: len(fields)]
            lines[:] = field[: len(lines)]  # a field of odd height rounds its chroma up
        return woven[..., 0], woven[..., 1]

    def _field(self, frame: Frame, luma: Codes, picture: Picture, ab: Floats) -> Codes:
        matrix = frame.signal.matrix
        if matrix not in self._tables:
            self._tables[matrix] = ChromaTable(matrix)
        y = frame.signal.expand(chroma_site_luma(luma, self._subsampling))
        stored_ab = np.ascontiguousarray(frame.orientation.stored(ab)) * self._saturation
        if stored_ab.shape[:2] != y.shape:
            guide = np.ascontiguousarray(frame.orientation.stored(picture.grey))
            stored_ab = guided_upsample(stored_ab, guide, y)
        return frame.signal.chroma_codes(self._tables[matrix](y, stored_ab))


def chroma_site_luma(luma: Codes, subsampling: str) -> Floats:
    """Luma ``(h, w)`` averaged to where chroma samples sit, as float codes.

    Horizontally they sit on every other luma sample (H.264's default for 4:2:0 and 4:2:2), vertically,
    in 4:2:0, between two lines. Odd sizes are rounded up.
    """
    plane = luma.astype(np.float32)
    if subsampling == "444":
        return plane
    if subsampling == "420":
        if plane.shape[0] % 2:
            plane = np.concatenate((plane, plane[-1:]))
        plane = (plane[0::2] + plane[1::2]) * np.float32(0.5)
    if plane.shape[1] % 2:
        plane = np.concatenate((plane, plane[:, -1:]), 1)
    even, odd = plane[:, 0::2], plane[:, 1::2]
    before = np.concatenate((odd[:, :1] if odd.shape[1] == 1 else even[:, :1], odd[:, :-1]), 1)
    return np.asarray(even * np.float32(0.5) + (odd + before) * np.float32(0.25), np.float32)


def guided_upsample(ab: Floats, guide: Floats, y: Floats) -> Floats:
    """Bring ab to the size of ``y`` with its edges on those of luma: the fast guided filter.

    He and Sun, "Fast Guided Filter" (2015): ab is locally linear in luma; the coefficients are found at
    low resolution and applied to luma at high resolution.

    Args:
        ab: ``(h, w, 2)``.
        guide: luma of the same size ``(h, w)``, 0 to 1.
        y: luma ``(H, W)``, 0 to 1.

    Returns:
        ab ``(H, W, 2)``.
    """
    window = (2 * _RADIUS + 1, 2 * _RADIUS + 1)
    mean_y, mean_ab = cv2.blur(guide, window), cv2.blur(ab, window)
    variance = cv2.blur(guide * guide, window) - mean_y * mean_y
    covariance = cv2.blur(ab * guide[..., None], window) - mean_ab * mean_y[..., None]
    slope = covariance / (variance + np.float32(_EPSILON))[..., None]
    offset = mean_ab - slope * mean_y[..., None]
    both = cv2.blur(np.concatenate((slope, offset), 2), window)
    large = cv2.resize(both, (y.shape[1], y.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large[..., :2] * np.clip(y, 0.0, 1.0)[..., None] + large[..., 2:], np.float32)
