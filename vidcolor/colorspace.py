"""Colour arithmetic between luma, CIELAB and Y'CbCr, on torch tensors of any device and on numpy arrays.

Notation: ``y`` is luma Y' with 0 black and 1 white; ``cb`` and ``cr`` lie in ±0.5; R'G'B' are
gamma-coded and R, G, B linear, 0 to 1; L* is 0 to 100 and a, b about ±110 (D65 white).

Sources: ITU-R BT.709-6, BT.2020-2 (primaries), IEC 61966-2-1 (sRGB transfer), CIE 015 (L*a*b*).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidcolor.matrices import A, Matrix

_DELTA = 6.0 / 29.0
_LOWEST, _HIGHEST = -50.0, 150.0
_BISECTIONS = 16
"""Halvings of the range in which L* is sought; 200 / 2**16 is far below one 12-bit code."""

_RGB709_TO_XYZ = (
    (0.4123908, 0.3575843, 0.1804808),
    (0.2126390, 0.7151687, 0.0721923),
    (0.0193308, 0.1191948, 0.9505322),
)
_RGB2020_TO_XYZ = (
    (0.6369580, 0.1446169, 0.1688810),
    (0.2627002, 0.6779981, 0.0593017),
    (0.0000000, 0.0280727, 1.0609851),
)
_WHITE_D65 = (0.9504559, 1.0, 1.0890578)


def luma_from_rgb(rgb: A, matrix: Matrix) -> A:
    """Y' ``(N, 1, h, w)`` of R'G'B' ``(N, 3, h, w)``."""
    y: A = matrix.luma(rgb[:, 0:1], rgb[:, 1:2], rgb[:, 2:3])
    return y


def lightness_from_luma(y: A) -> A:
    """L* of the grey whose R' = G' = B' = ``y``; what the generator sees, in training and in use.

    Values outside 0 to 1 (footroom and headroom) are clipped first. Any shape.
    """
    lightness: A = 116.0 * _lab_f(_linear(y.clip(0.0, 1.0))) - 16.0
    return lightness


def ab_from_rgb(rgb: A, *, wide: bool = False) -> A:
    """CIELAB ab ``(N, 2, h, w)`` of R'G'B' ``(N, 3, h, w)``, sRGB transfer."""
    xyz = _apply(_RGB2020_TO_XYZ if wide else _RGB709_TO_XYZ, _linear(rgb))
    fx, fy, fz = (_lab_f(xyz[:, i : i + 1] / _WHITE_D65[i]) for i in range(3))
    ab: A = _of(rgb).concatenate((500.0 * (fx - fy), 200.0 * (fy - fz)), 1)
    return ab


def rgb_from_lab(lightness: A, ab: A, *, wide: bool = False) -> A:
    """R'G'B' ``(N, 3, h, w)`` of L* ``(N, 1, h, w)`` and ab ``(N, 2, h, w)``; may leave 0 to 1."""
    fy = (lightness + 16.0) / 116.0
    f = _of(ab).concatenate((fy + ab[:, 0:1] / 500.0, fy, fy - ab[:, 1:2] / 200.0), 1)
    inverse = np.linalg.inv(_RGB2020_TO_XYZ if wide else _RGB709_TO_XYZ)
    rows = (inverse * np.array(_WHITE_D65)).tolist()
    rgb: A = _coded(_apply(rows, _lab_f_inverse(f)))
    return rgb


def bt709_from_bt2020(rgb: A) -> A:
    """R'G'B' ``(N, 3, h, w)`` with BT.709's primaries of the same with BT.2020's, sRGB transfer.

    What BT.709 cannot show is clipped to 0 to 1. Floating point.
    """
    rows = np.linalg.solve(_RGB709_TO_XYZ, _RGB2020_TO_XYZ).tolist()
    narrow: A = _coded(_apply(rows, _linear(rgb))).clip(0.0, 1.0)
    return narrow


def bt709_codes(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """:func:`bt709_from_bt2020` of a picture of 8 bits ``(h, w, 3)``."""
    planes = np.moveaxis(rgb, -1, 0)[None].astype(np.float32) / np.float32(255.0)
    codes = np.rint(bt709_from_bt2020(planes)[0] * np.float32(255.0)).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(codes, 0, -1))


def ycbcr_from_rgb(rgb: A, matrix: Matrix) -> A:
    """Y'CbCr ``(N, 3, h, w)`` of R'G'B' ``(N, 3, h, w)``."""
    y = luma_from_rgb(rgb, matrix)
    cb = (rgb[:, 2:3] - y) / (2.0 * (1.0 - matrix.kb))
    cr = (rgb[:, 0:1] - y) / (2.0 * (1.0 - matrix.kr))
    planes: A = _of(rgb).concatenate((y, cb, cr), 1)
    return planes


def rgb_from_ycbcr(y: A, cbcr: A, matrix: Matrix) -> A:
    """R'G'B' ``(N, 3, h, w)`` of Y' ``(N, 1, h, w)`` and CbCr ``(N, 2, h, w)``; not clipped."""
    r = y + 2.0 * (1.0 - matrix.kr) * cbcr[:, 1:2]
    b = y + 2.0 * (1.0 - matrix.kb) * cbcr[:, 0:1]
    g = (y - matrix.kr * r - matrix.kb * b) / matrix.kg
    rgb: A = _of(y).concatenate((r, g, b), 1)
    return rgb


def unbounded_chroma_from_ab(y: A, ab: A, matrix: Matrix) -> A:
    """CbCr ``(N, 2, h, w)`` that gives the pixel the chromaticness ``ab`` at exactly the luma ``y``.

    Colour of equal L* has not quite the luma of the grey, so the L* is sought (by bisection) at which
    the colour (L*, a, b) has the luma ``y``. What leads out of the R'G'B' cube is left so, which is smooth
    and thus tabulated. Pictures go through :class:`vidcolor.chromatable.ChromaTable`, which fits the gamut.

    Args:
        y: luma ``(N, 1, h, w)``; codes below black or above white may leave 0 to 1.
        ab: CIELAB ab ``(N, 2, h, w)``.
        matrix: the luma matrix of the picture.
    """
    low, where = _of(y).full_like(y, _LOWEST), _of(y).where
    step = (_HIGHEST - _LOWEST) / 2.0
    for _ in range(_BISECTIONS):
        reached = luma_from_rgb(rgb_from_lab(low + step, ab, wide=matrix.wide), matrix)
        low = where(reached < y, low + step, low)
        step /= 2.0
    rgb = rgb_from_lab(low + step, ab, wide=matrix.wide)
    cbcr: A = ycbcr_from_rgb(rgb, matrix)[:, 1:3]
    return cbcr


def _of(planes: Any) -> Any:
    """numpy for its arrays, torch for its tensors."""
    return np if isinstance(planes, np.ndarray) else sys.modules["torch"]


def _linear(coded: A) -> A:
    """Inverse sRGB transfer, continued as an odd function outside 0 to 1."""
    magnitude = abs(coded)
    curve = ((magnitude + 0.055) / 1.055) ** 2.4
    linear: A = _of(coded).where(magnitude <= 0.04045, magnitude / 12.92, curve) * _of(coded).sign(coded)
    return linear


def _coded(linear: A) -> A:
    """SRGB transfer, continued as an odd function outside 0 to 1."""
    magnitude = abs(linear)
    curve = 1.055 * magnitude.clip(min=0.0031308) ** (1.0 / 2.4) - 0.055
    coded: A = _of(linear).where(magnitude <= 0.0031308, magnitude * 12.92, curve) * _of(linear).sign(linear)
    return coded


def _lab_f(t: A) -> A:
    root = t.clip(min=_DELTA**3) ** (1.0 / 3.0)
    f: A = _of(t).where(t > _DELTA**3, root, t / (3.0 * _DELTA**2) + 4.0 / 29.0)
    return f


def _lab_f_inverse(f: A) -> A:
    t: A = _of(f).where(f > _DELTA, f * f * f, 3.0 * _DELTA**2 * (f - 4.0 / 29.0))
    return t


def _apply(rows: Sequence[Sequence[float]], planes: A) -> A:
    x, y, z = planes[:, 0:1], planes[:, 1:2], planes[:, 2:3]
    made: A = _of(planes).concatenate([r[0] * x + r[1] * y + r[2] * z for r in rows], 1)
    return made
