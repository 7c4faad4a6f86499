"""The unbiased kernel distance (squared maximum mean discrepancy) of two sets of features."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from workbench.metrics.frechet_solver import check_features


def kernel_distance(
    x: Tensor, y: Tensor, *, num_subsets: int = 0, subset_size: int = 1000, seed: int = 0, chunk: int = 2048
) -> float:
    """Unbiased MMD^2 with the polynomial kernel k(a, b) = (a.b / d + 1)^3; may be slightly negative.

    x: (N, d), y: (M, d). num_subsets = 0 uses every pair, which is deterministic and has the least variance.
    num_subsets > 0 averages over subsets of `subset_size` drawn without replacement from `seed`, the habit of the
    published implementations; a set smaller than that is used whole.
    chunk: rows of a kernel matrix held at once. Raises ValueError for fewer than 2 images, d < 2, or NaN.
    Reference: Binkowski et al. 2018, arXiv 1801.01401 (KID, with Inception features).
    """
    x, y = check_features(x, "kernel_distance"), check_features(y, "kernel_distance")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"kernel_distance: features of {x.shape[1]} and {y.shape[1]} dimensions cannot be compared.")
    if num_subsets == 0:
        return _unbiased(x, y, chunk)
    m = min(len(x), len(y), subset_size)
    if m < 2:
        raise ValueError(f"kernel_distance subset_size must be at least 2, but got {subset_size}.")
    rng = np.random.Generator(np.random.Philox(seed))
    total = 0.0
    for _ in range(num_subsets):
        xs = x[torch.from_numpy(rng.choice(len(x), m, replace=False))]
        ys = y[torch.from_numpy(rng.choice(len(y), m, replace=False))]
        total += _unbiased(xs, ys, chunk)
    return total / num_subsets


def _unbiased(x: Tensor, y: Tensor, chunk: int) -> float:
    n, m = len(x), len(y)
    xx = _kernel_sum(x, x, chunk) - float(_kernel_diagonal(x).sum())
    yy = _kernel_sum(y, y, chunk) - float(_kernel_diagonal(y).sum())
    return xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * _kernel_sum(x, y, chunk) / (n * m)


def _kernel_sum(x: Tensor, y: Tensor, chunk: int) -> float:
    d = x.shape[1]
    return sum(float((part @ y.T / d + 1).pow(3).sum()) for part in x.split(chunk))


def _kernel_diagonal(x: Tensor) -> Tensor:
    return (x.square().sum(1) / x.shape[1] + 1).pow(3)
