"""What all generators have in common."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

AB_SCALE = 110.0
"""A generator's tanh times this is CIELAB ab."""


class ColourNetwork(nn.Module):
    """A generator: L* of a grey picture to CIELAB ab.

    Attributes:
        architecture: its name in weights files.
        multiple: height and width of the input must be multiples of this.
        config: constructor arguments that build the same network again; JSON keeps them as they are.
    """

    architecture: ClassVar[str]
    multiple: int
    config: dict[str, Any]

    def forward(self, luminance: Tensor) -> Tensor:
        """Predict chroma.

        Args:
            luminance: L* of the grey picture, ``(N, 1, h, w)``, 0..100, float32.

        Returns:
            CIELAB ab, ``(N, 2, h/k, w/k)`` with k of 1 or 2, in Lab units within ±110, float32 whatever
            the precision of the weights.
        """
        raise NotImplementedError


def scale_lightness(luminance: Tensor) -> Tensor:
    """L* ``(N, 1, h, w)`` in 0..100 to ±1."""
    return luminance / 50.0 - 1.0


def scale_lab(luminance: Tensor, ab: Tensor) -> Tensor:
    """L* ``(N, 1, h, w)`` and ab ``(N, 2, h, w)`` to scaled Lab ``(N, 3, h, w)`` in ±1."""
    return torch.cat((scale_lightness(luminance), ab / AB_SCALE), 1)


def bounded_ab(x: Tensor) -> Tensor:
    """The last layer's ``(N, 2, h, w)`` to CIELAB ab within ±110, float32."""
    return torch.tanh(x.float()) * AB_SCALE


def require_between(name: str, value: int, low: int, high: int) -> None:
    """Refuse a size that no network has: it may come from a foreign weights file.

    Raises:
        ValueError: ``value`` is no integer from ``low`` to ``high``.
    """
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name} must be an integer from {low} to {high}, not {value!r}")


def require_share(name: str, value: float) -> None:
    """Refuse a strength that is none: it may come from a foreign weights file.

    Raises:
        ValueError: ``value`` is no number from 0 to 1.
    """
    if type(value) not in (int, float) or not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must be a number from 0 to 1, not {value!r}")
