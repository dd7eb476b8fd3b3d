"""Distances between two sets of feature vectors: FID and KID.

The arithmetic is here and not a library's because it runs on stored features and on halves of them, and
because libraries take the square root of a 2048 x 2048 product where a far smaller matrix will do. The
tests hold both against independent implementations. It runs on one thread: these are thousands of small
products, between which the threads of NumPy's BLAS wait for each other, spinning, most of the time.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidcolor.torchthreads import torch_threads

Features = NDArray[np.floating]
_KID_SUBSETS = 100


@torch_threads(1)
def frechet(one: Features, other: Features) -> float:
    """Fréchet distance of the normal distributions fitted to two sets ``(N, D)`` and ``(M, D)``.

    |m1 - m2|² + tr(S1 + S2 - 2 (S1 S2)^½) with unbiased covariances (Heusel et al. 2017). With S = A'A the
    last trace is the sum of the singular values of A1 A2', so no matrix is larger than the smaller of the
    number of vectors and their length. Each set needs two vectors.
    """
    mean_one, root_one = _normal(one)
    mean_other, root_other = _normal(other)
    shared = float(torch.linalg.svdvals(root_one @ root_other.T).sum())
    apart = float((mean_one - mean_other).square().sum())
    spread = float(root_one.square().sum()) + float(root_other.square().sum())
    return max(0.0, apart + spread - 2.0 * shared)


def _normal(features: Features) -> tuple[Tensor, Tensor]:
    """Mean, and a matrix whose product with its transpose (transpose first) is the covariance; float64."""
    x = torch.from_numpy(features.astype(np.float64))
    mean = x.mean(0)
    root = (x - mean) / math.sqrt(len(x) - 1)
    if len(root) > root.shape[1]:
        root = torch.linalg.qr(root, mode="r").R
    return mean, root


@torch_threads(1)
def kernel_distance(
    one: Features, other: Features, subset: int, seed: int = 0, *, paired: bool = False
) -> tuple[float, float]:
    """KID (Bińkowski et al. 2018): mean and standard deviation over 100 random pairs of subsets.

    The unbiased estimate of the squared MMD with the kernel (x·y / D + 1)³; it can be below zero.

    Args:
        one, other: ``(N, D)`` and ``(M, D)``, of at least ``subset`` vectors each.
        subset: vectors in a subset, 2 or more.
        seed: of the subsets.
        paired: the sets are of the same pictures, in the same order. No picture is then compared with its
            own other, as none is with itself: such pairs are no independent draws, and by them a set would
            be nearer to itself than to one like it, the more the fewer pictures there are.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(_KID_SUBSETS):
        i, j = (rng.choice(len(features), subset, replace=False) for features in (one, other))
        counts = i[:, None] != j if paired else np.full((subset, subset), True)
        x, y = (torch.from_numpy(features[k].astype(np.float64)) for features, k in ((one, i), (other, j)))
        found.append(_mmd(x, y, torch.from_numpy(counts)))
    return float(np.mean(found)), float(np.std(found))


def _mmd(x: Tensor, y: Tensor, counts: Tensor) -> float:
    within = sum(float(k.sum() - k.trace()) for k in (_kernel(x, x), _kernel(y, y)))
    count = len(x)
    return within / (count * (count - 1)) - 2.0 * float(_kernel(x, y)[counts].mean())


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    kernel: Tensor = (x @ y.T / x.shape[1] + 1.0) ** 3
    return kernel
