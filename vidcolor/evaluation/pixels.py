"""Scores of one picture against another, pixel by pixel, at the picture's own size."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vidcolor.colorspace import ab_from_rgb
from vidcolor.frames import Rgb

_WINDOW = 11
_SIGMA = 1.5


def psnr(one: Rgb, other: Rgb) -> float:
    """Peak signal-to-noise ratio of 8-bit pictures in dB; 100 where they are equal."""
    error = float(((one.astype(np.float32) - other.astype(np.float32)) ** 2).mean(dtype=np.float64))
    return 100.0 if error == 0.0 else 10.0 * math.log10(255.0**2 / error)


def ab_error(one: Rgb, other: Rgb) -> float:
    """Mean distance of the pixels of two pictures in the CIELAB ab plane."""
    a, b = (ab_from_rgb(planes(rgb)) for rgb in (one, other))
    return float((a - b).norm(dim=1).mean())


def colourfulness(rgb: Rgb, *, magnitudes: bool = False) -> float:
    """Hasler and Süsstrunk, "Measuring colourfulness in natural images" (SPIE 2003), metric M3.

    Args:
        rgb: ``(h, w, 3)``.
        magnitudes: take |R-G| and |(R+G)/2-B| instead of the differences with their signs, as the published
            tables of DDColor and its like do. The numbers of the two forms cannot be compared.
    """
    r, g, b = (rgb[..., i].astype(np.float64) for i in range(3))
    rg, yb = r - g, (r + g) / 2.0 - b
    if magnitudes:
        rg, yb = np.abs(rg), np.abs(yb)
    spread = math.hypot(float(rg.std()), float(yb.std()))
    return spread + 0.3 * math.hypot(float(rg.mean()), float(yb.mean()))


def ssim(one: Rgb, other: Rgb) -> float:
    """Structural similarity (Wang et al. 2004), mean of R', G' and B'; NaN for sides under 11 pixels.

    Gaussian window of 11 pixels and sigma 1.5, K1 = 0.01, K2 = 0.03; where the window would leave the
    picture there is no value.
    """
    if min(one.shape[:2]) < _WINDOW:
        return math.nan
    x, y = one.astype(np.float32), other.astype(np.float32)
    mean_x, mean_y = _blur(x), _blur(y)
    var_x, var_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    both = _blur(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255.0) ** 2, (0.03 * 255.0) ** 2
    above = (2.0 * mean_x * mean_y + c1) * (2.0 * both + c2)
    below = (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    edge = _WINDOW // 2
    inside = slice(edge, -edge)
    return float((above / below)[inside, inside].mean())


def planes(rgb: Rgb) -> torch.Tensor:
    """R'G'B' ``(1, 3, h, w)``, 0 to 1, of 8 bits ``(h, w, 3)``."""
    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float() / 255.0


def _blur(plane: NDArray[np.float32]) -> NDArray[np.float64]:
    # variances are differences of large numbers: single precision would leave noise in flat areas
    return np.asarray(cv2.GaussianBlur(plane.astype(np.float64), (_WINDOW, _WINDOW), _SIGMA), np.float64)
