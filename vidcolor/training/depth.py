"""Stochastic depth: residual blocks left out by chance, against learning pictures by heart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from vidcolor.networks.efficientnet import EfficientNetLite, MBConv
from vidcolor.training.randomness import uniforms


class BlockDropout:
    """Leaves out residual blocks of an encoder, other ones in each step.

    Huang et al., "Deep Networks with Stochastic Depth" (ECCV 2016): the probability rises linearly from
    the first block to ``share`` at the last, and what is kept counts the more. Which ones are left out is a
    function of seed and step, the same for all pictures and processes. Only passes with gradients are
    concerned, those in evaluation mode too, in which pretrained encoders are trained, and those within
    :meth:`without_gradients`.

    Args:
        share: from 0, none, to below 1.
    """

    def __init__(self, encoder: EfficientNetLite, share: float, seed: int) -> None:
        blocks = [block for stage in encoder.stages for block in stage.children()]
        self._seed = seed
        self._shares = [share * (index + 1) / len(blocks) for index in range(len(blocks))]
        self._factors = [1.0] * len(blocks)
        self._always = False
        for index, block in enumerate(blocks):
            if isinstance(block, MBConv) and block.residual:
                block.layers.register_forward_hook(partial(self._scale, index))

    def begin(self, step: int) -> None:
        """Draw for a step."""
        draws = uniforms("blocks", self._seed, step, first=0, rows=1, columns=len(self._shares))[0]
        self._factors = [
            0.0 if draw < share else 1.0 / (1.0 - share)
            for draw, share in zip(draws, self._shares, strict=True)
        ]

    @contextmanager
    def without_gradients(self) -> Iterator[None]:
        """Leave out the step's blocks without gradients, too."""
        self._always = True
        try:
            yield
        finally:
            self._always = False

    def _scale(self, index: int, module: nn.Module, arguments: Any, maps: Tensor) -> Tensor:
        return maps * self._factors[index] if self._always or torch.is_grad_enabled() else maps
