"""Losses of the recipes, each a mean over the batch, so that the parts of a split batch average to the whole.

Discriminator outputs are lists (one a scale) of feature maps whose last is the logits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vidcolor.networks.base import AB_SCALE

_HUBER_DELTA = 10.0
_LEAST_CHROMA = 2.0
_CHROMA_LIMIT, _CHROMA_UNIT = 60.0, 20.0

Maps = Sequence[Sequence[Tensor]]


def l1(ab: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of two ab pictures ``(N, 2, h, w)``, both scaled to ±1."""
    return F.l1_loss(ab, target) / AB_SCALE


def huber(ab: Tensor, target: Tensor, chroma_weight: float = 0.0) -> Tensor:
    """Huber loss (δ = 10 Lab units) on ab ``(N, 2, h, w)``, scaled to slope 1 beyond δ.

    Args:
        chroma_weight: a pixel counts ``1 + chroma_weight · C / 20`` times, C being its true chroma (at
            most 60), against the pull of the many nearly grey pixels.
    """
    errors = F.huber_loss(ab, target, reduction="none", delta=_HUBER_DELTA) / _HUBER_DELTA
    chroma = target.norm(dim=1, keepdim=True).clamp_max(_CHROMA_LIMIT)
    weight: Tensor = 1.0 + chroma_weight * chroma / _CHROMA_UNIT
    return (weight * errors).mean()


def relative_distance(one: Tensor, other: Tensor, inside: Tensor) -> Tensor:
    """Mean over pictures of how far two ab pictures ``(N, 2, h, w)`` lie apart, over their mean chroma.

    That is the mean distance of their pixels and, once more, that of their tints (means of ab), which is what
    moves most from frame to frame. Paler colours do not make it smaller, so it does not drain them as a plain
    distance does.

    Args:
        inside: the pixels that count, ``(N, h, w)``, bool; some of each picture.
    """
    counts = inside.float()
    counts = counts / counts.sum((1, 2), keepdim=True)

    def mean(planes: Tensor) -> Tensor:  # (..., h, w) to (...)
        weights = counts if planes.dim() == 3 else counts[:, None]
        return (planes * weights).sum((-2, -1))

    difference = one - other
    apart = mean(difference.norm(dim=1)) + mean(difference).norm(dim=1)
    chroma = 0.5 * mean(one.norm(dim=1) + other.norm(dim=1))
    relative: Tensor = apart / (chroma + _LEAST_CHROMA)
    return relative.mean()


def _bce(logits: Tensor, true: bool) -> Tensor:
    loss: Tensor = F.softplus(-logits if true else logits)
    return loss.mean()


def _least_squares(logits: Tensor, true: bool) -> Tensor:
    return torch.square(logits - float(true)).mean()


def _hinge(logits: Tensor, true: bool) -> Tensor:
    return F.relu(1.0 - logits if true else 1.0 + logits).mean()


def _generator_hinge(logits: Tensor, true: bool) -> Tensor:
    return -logits.mean()


Judge = Callable[[Tensor, bool], Tensor]
ADVERSARIAL: dict[str, tuple[Judge, Judge]] = {
    "bce": (_bce, _bce),  # Goodfellow et al., "Generative Adversarial Nets" (NIPS 2014), non-saturating
    "lsgan": (_least_squares, _least_squares),  # Mao et al., "Least Squares GANs" (ICCV 2017)
    "hinge": (_hinge, _generator_hinge),  # Lim and Ye, "Geometric GAN" (2017)
}
"""For each form of the adversarial loss: the discriminator's, the generator's."""


def _over_scales(judge: Judge, maps: Maps, true: bool) -> Tensor:
    return torch.stack([judge(scale[-1].float(), true) for scale in maps]).mean()


def adversary_loss(form: str, on_true: Maps, on_made: Maps) -> Tensor:
    """What the discriminator minimises: true pictures are to be called true, made ones made."""
    judge = ADVERSARIAL[form][0]
    return 0.5 * (_over_scales(judge, on_true, True) + _over_scales(judge, on_made, False))


def deception_loss(form: str, on_made: Maps) -> Tensor:
    """What the generator minimises: its pictures are to be called true."""
    return _over_scales(ADVERSARIAL[form][1], on_made, True)


def matching_loss(on_true: Maps, on_made: Maps) -> Tensor:
    """L1 between the discriminator's maps before the logits (Wang et al., "pix2pixHD", CVPR 2018)."""
    pairs = [
        (t, m) for ts, ms in zip(on_true, on_made, strict=True) for t, m in zip(ts[:-1], ms[:-1], strict=True)
    ]
    return torch.stack([F.l1_loss(m.float(), t.detach().float()) for t, m in pairs]).mean()


def perceptual_loss(of_true: Sequence[Tensor], of_made: Sequence[Tensor]) -> Tensor:
    """Mean over maps of the squared distance of features of unit length at each place.

    As LPIPS (Zhang et al., CVPR 2018) with all channels weighted alike.
    """
    distances = [
        (_unit(m) - _unit(t.detach())).square().sum(1).mean() for t, m in zip(of_true, of_made, strict=True)
    ]
    return torch.stack(distances).mean()


def _unit(features: Tensor) -> Tensor:
    return F.normalize(features.float(), dim=1, eps=1e-6)
