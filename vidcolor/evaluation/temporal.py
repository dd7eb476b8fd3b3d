"""How still colours hold in a film, by numbers.

Sources: warp error: Lai et al., "Learning Blind Video Temporal Consistency" (ECCV 2018); CDC: Yang et al.,
"Temporally Consistent Video Colorization" (TCVC, 2021). Drift, ghosting and flicker removal are this
project's own, defined at their functions.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcolor.evaluation.motion import Mask, Motion
from vidcolor.frames import Floats

CDC_DISTANCES = (1, 2, 4)
GHOST_REACH = 8
"""Pixels around an occlusion's boundary in which ghosts are looked for."""
_STILL, _MOVING = 0.25, 1.0
_BINS = 256
_CORNERS = 200
_TRACK_HOME = 1.0


def warp_error(first: Floats, second: Floats, motion: Motion) -> float:
    """Mean squared difference of two frames where motion explains the one by the other.

    Args:
        first, second: frames ``(h, w, c)``, such as R'G'B' in 0 to 1 or ab in Lab units.
        motion: from the first to the second, found on their grey.

    Returns:
        Sum over channels of the squared difference, mean over the pixels that are neither hidden nor at an
        edge of the motion, in squared units of the frames; NaN where there is no such pixel.
    """
    sure = ~motion.unsure
    if not sure.any():
        return math.nan
    return float(((motion.fetch(second) - first) ** 2).sum(-1)[sure].mean())


def histogram_divergence(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Jensen-Shannon divergence (natural logarithm) of 256-bin histograms, mean over the channels.

    Args:
        one, other: R'G'B' ``(h, w, 3)``, 8 bits.
    """
    return float(np.mean([_divergence(_histogram(one[..., c]), _histogram(other[..., c])) for c in range(3)]))


def cdc(frames: Sequence[NDArray[np.uint8]]) -> float:
    """Colour distribution consistency: divergence of frames 1, 2 and 4 apart, mean of the three means.

    Grey films score well on it: read it beside colourfulness and the value of the true film. NaN for
    fewer than five frames.
    """
    if len(frames) <= max(CDC_DISTANCES):
        return math.nan
    means = []
    for distance in CDC_DISTANCES:
        pairs = zip(frames, frames[distance:], strict=False)
        means.append(np.mean([histogram_divergence(one, other) for one, other in pairs]))
    return float(np.mean(means))


def follow_corners(greys: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Track corners through pictures by Lucas-Kanade, there and back.

    Args:
        greys: Y' ``(h, w)``, 0 to 1, of successive pictures of one shot.

    Returns:
        Places ``(n, 2)`` (right, down) in the first and in the last picture of the corners that were
        followed the whole way; at each step the way back had to lead home within a pixel.
    """
    pictures = [np.asarray(np.rint(np.clip(g, 0, 1) * 255), np.uint8) for g in greys]
    found = cv2.goodFeaturesToTrack(pictures[0], _CORNERS, 0.01, 7)
    if found is None:
        return np.empty((0, 2), np.float32), np.empty((0, 2), np.float32)
    start = np.asarray(found, np.float32).reshape(-1, 2)
    now = start
    for before, after in itertools.pairwise(pictures):
        if not len(now):
            break
        there, ok, _ = cv2.calcOpticalFlowPyrLK(before, after, now[:, None], None)
        back, ok_back, _ = cv2.calcOpticalFlowPyrLK(after, before, there, None)
        home = np.linalg.norm(back[:, 0] - now, axis=-1) < _TRACK_HOME
        kept = home & (ok[:, 0] == 1) & (ok_back[:, 0] == 1)
        start, now = start[kept], np.asarray(there[kept, 0], np.float32)
    return start, now


def drift(first: Floats, last: Floats, places: tuple[Floats, Floats]) -> Floats:
    """Distance of ab at the two ends of each track: long-range drift.

    Args:
        first, last: ab ``(h, w, 2)`` of the pictures at the ends.
        places: of the tracks, see :func:`follow_corners`.

    Returns:
        ``(n,)`` distances in Lab units, each of ab averaged over 5×5 pixels.
    """
    ends = []
    for ab, place in zip((first, last), places, strict=True):
        soft = cv2.blur(ab, (5, 5))
        row = np.clip(np.rint(place[:, 1]).astype(int), 0, ab.shape[0] - 1)
        column = np.clip(np.rint(place[:, 0]).astype(int), 0, ab.shape[1] - 1)
        ends.append(soft[row, column])
    return np.asarray(np.linalg.norm(ends[1] - ends[0], axis=-1), np.float32)


def ghost_region(hidden: Mask) -> Mask:
    """Where ghosts would be: pixels ``(h, w)`` within 8 of the boundary of ``hidden``.

    Args:
        hidden: ``(h, w)``, pixels that were not to be seen in the picture before.
    """
    seen = np.asarray(hidden, np.uint8)
    boundary = cv2.morphologyEx(seen, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    reach = np.ones((2 * GHOST_REACH + 1, 2 * GHOST_REACH + 1), np.uint8)
    return np.asarray(cv2.dilate(boundary, reach)) > 0


def synthetic_flicker(count: int, shape: tuple[int, int], sigma: float, seed: int) -> list[Floats]:
    """Flicker to be added to true ab: a shift of the whole frame and soft noise, new in each frame.

    Args:
        count: frames.
        shape: height and width.
        sigma: standard deviation of the sum, in Lab units; each part has half of the variance.
        seed: of the noise.

    Returns:
        ``count`` arrays ``(h, w, 2)``.
    """
    rng = np.random.default_rng(seed)
    part = sigma / math.sqrt(2.0)
    cells = (max(2, shape[0] // 32 + 1), max(2, shape[1] // 32 + 1), 2)
    found = []
    for _ in range(count):
        coarse = rng.standard_normal(cells).astype(np.float32)
        soft = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
        soft *= part / max(float(soft.std()), 1e-6)
        found.append(np.asarray(soft + part * rng.standard_normal(2).astype(np.float32), np.float32))
    return found


def speed_regions(flow: Floats) -> tuple[Mask, Mask]:
    """Pixels that stand still (under a quarter pixel a frame) and those that move (over one)."""
    speed = np.linalg.norm(flow, axis=-1)
    return speed < _STILL, speed > _MOVING


class RegionVariance:
    """Variance over time, pixel by pixel, of what is added while the pixel belongs to a region."""

    def __init__(self) -> None:
        self._count: Floats | None = None
        self._sum: NDArray[np.float64]
        self._squares: NDArray[np.float64]

    def add(self, values: Floats, region: Mask) -> None:
        """Values ``(h, w, 2)`` of a frame, counted where ``region`` ``(h, w)`` is true."""
        if self._count is None:
            self._count = np.zeros(region.shape, np.float32)
            self._sum = np.zeros(values.shape)
            self._squares = np.zeros(values.shape)
        weight = region[..., None]
        self._count += region
        self._sum += np.where(weight, values, 0.0)
        self._squares += np.where(weight, values.astype(np.float64) ** 2, 0.0)

    def value(self, least: int = 8) -> float:
        """Mean variance of the pixels that were counted ``least`` times; NaN where none was."""
        if self._count is None or not (self._count >= least).any():
            return math.nan
        often = self._count >= least
        count = self._count[often][:, None].astype(np.float64)
        mean = self._sum[often] / count
        return float(((self._squares[often] / count - mean**2) * count / (count - 1)).mean())


def _histogram(channel: NDArray[np.uint8]) -> NDArray[np.float64]:
    counts = np.bincount(channel.ravel(), minlength=_BINS).astype(np.float64)
    return np.asarray(counts / counts.sum())


def _divergence(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    middle = (p + q) / 2.0
    return (_relative(p, middle) + _relative(q, middle)) / 2.0


def _relative(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    held = p > 0.0
    return float((p[held] * np.log(p[held] / q[held])).sum())
