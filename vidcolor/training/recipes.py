"""The recipes: each a choice of generator, adversary and losses; the loop is the same for all."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from vidcolor.networks.base import ColourNetwork
from vidcolor.networks.cyclegan import CycleGenerator
from vidcolor.networks.discriminators import MultiScale, PatchGAN, Projected
from vidcolor.networks.encoder_unet import EncoderUNet
from vidcolor.networks.pix2pix import Pix2PixUNet
from vidcolor.networks.pix2pixhd import Pix2PixHD
from vidcolor.networks.unet import LiteUNet


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of a run with its own losses and rates.

    Attributes:
        share: of the budget.
        rate: peak learning rate of the generator, ``encoder_factor`` times that for a pretrained encoder.
        adversary_rate: of the discriminators.
        betas: of Adam.
        decay: ``cosine`` down to a hundredth, or ``late``: constant, then straight down over the last half.
        weight_decay: of AdamW (0 makes it Adam).
        pixel: which pixel loss, ``l1`` or ``huber``; ``chroma_weight`` see :func:`.losses.huber`.
        weights: factor of each loss: pixel, gan, matching, perceptual, consistency, cycle, identity.
        keep_norms: leave the generator's BatchNorm statistics as they are when the stage begins. With a
            consistency loss that asks the generator as it is going to be used, and others that ask it with
            each batch's statistics, two different networks would be taught.
    """

    share: float
    rate: float
    weights: dict[str, float]
    encoder_factor: float = 1.0
    adversary_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    decay: str = "late"
    weight_decay: float = 0.0
    pixel: str = "l1"
    chroma_weight: float = 0.0
    keep_norms: bool = False

    @property
    def adversarial(self) -> bool:
        """Whether discriminators take part."""
        return self.weights.get("gan", 0.0) > 0.0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train one member of the family.

    Attributes:
        source: where the recipe comes from.
        generator: its class.
        arguments: what its constructor is told beside its own defaults.
        adversary: makes the discriminator; takes the channels of the feature network's maps, if there is one.
        sees: what the discriminator judges: ``lab`` (L* and ab at ab's size, ±1) or ``rgb``.
        gan: form of the adversarial loss, a key of :data:`.losses.ADVERSARIAL`.
        clip: largest norm of a network's gradient; infinite where the recipe's source clips none.
        unpaired: grey and colour pictures are different ones.
        mixing: vary the crops' size, turn pictures, and set parts of others into them (:mod:`.mixing`).
        block_dropout: share of the encoder's last residual blocks that is left out by chance (:mod:`.depth`).
    """

    source: str
    generator: type[ColourNetwork]
    adversary: Callable[[tuple[int, ...] | None], nn.Module]
    sees: str
    gan: str
    stages: tuple[Stage, ...]
    clip: float = 5.0
    unpaired: bool = False
    mixing: bool = False
    block_dropout: float = 0.0
    arguments: dict[str, Any] = field(default_factory=dict)


def _patches(_: tuple[int, ...] | None) -> nn.Module:
    return PatchGAN()


def _many_patches(_: tuple[int, ...] | None) -> nn.Module:
    return MultiScale(2)


def _instance_patches(_: tuple[int, ...] | None) -> nn.Module:
    return PatchGAN(norm="instance")


def _projected(channels: tuple[int, ...] | None) -> nn.Module:
    """Heads on pretrained features; without these, patches at three scales."""
    return MultiScale(3, n_layers=2, norm="spectral") if channels is None else Projected(channels)


_PIX2PIX = {"pixel": 100.0, "gan": 1.0}

RECIPES: dict[str, Recipe] = {
    "default": Recipe(
        source="U-Net on EfficientNet-Lite, after Sauer et al., 'Projected GANs' (NeurIPS 2021)",
        generator=LiteUNet,
        arguments={"auto_exposure": 0.7, "less_violet": 0.8, "less_cyan": 0.8},
        mixing=True,
        block_dropout=0.1,
        adversary=_projected,
        sees="rgb",
        gan="hinge",
        stages=(
            Stage(
                share=0.6,
                rate=1e-3,
                encoder_factor=0.25,
                betas=(0.9, 0.99),
                decay="cosine",
                weight_decay=1e-2,
                pixel="huber",
                chroma_weight=0.25,
                weights={"pixel": 1.0},
            ),
            Stage(
                share=0.4,
                rate=3e-4,
                encoder_factor=0.5,
                adversary_rate=4e-4,
                betas=(0.5, 0.99),
                decay="cosine",
                pixel="huber",
                chroma_weight=1.0,
                weights={"pixel": 0.2, "perceptual": 6.0, "gan": 0.3, "consistency": 1.5},
                keep_norms=True,
            ),
        ),
    ),
    "pix2pix": Recipe(
        source="Isola et al., 'Image-to-Image Translation with Conditional Adversarial Networks' (CVPR 2017)",
        generator=Pix2PixUNet,
        adversary=_patches,
        sees="lab",
        gan="bce",
        clip=math.inf,
        stages=(Stage(share=1.0, rate=2e-4, weights=_PIX2PIX),),
    ),
    "resnet": Recipe(
        source="U-Net on an ImageNet encoder, L1 alone first, then as pix2pix",
        generator=EncoderUNet,
        adversary=_patches,
        sees="lab",
        gan="bce",
        stages=(
            Stage(share=0.5, rate=1e-4, betas=(0.9, 0.999), weights={"pixel": 100.0}),
            Stage(share=0.5, rate=2e-4, weights=_PIX2PIX),
        ),
    ),
    "pix2pixhd": Recipe(
        source="Wang et al., 'High-Resolution Image Synthesis with Conditional GANs' (CVPR 2018)",
        generator=Pix2PixHD,
        adversary=_many_patches,
        sees="lab",
        gan="lsgan",
        clip=math.inf,
        # the authors add the GAN loss over two scales and 10 x matching over four layers; ours are means
        stages=(Stage(share=1.0, rate=2e-4, weights={"gan": 1.0, "matching": 20.0, "perceptual": 10.0}),),
    ),
    "cyclegan": Recipe(
        source="Zhu et al., 'Unpaired Image-to-Image Translation' (ICCV 2017)",
        generator=CycleGenerator,
        adversary=_instance_patches,
        sees="lab",
        gan="lsgan",
        clip=math.inf,
        unpaired=True,
        stages=(Stage(share=1.0, rate=2e-4, weights={"gan": 1.0, "cycle": 10.0, "identity": 5.0}),),
    ),
}
