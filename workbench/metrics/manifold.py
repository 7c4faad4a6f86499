"""Precision and recall of two sets of features, from balls around nearest neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.metrics.frechet_solver import check_features


@dataclass(frozen=True)
class PrecisionRecall:
    """Shares in [0, 1] of images inside the other set's manifold.

    precision: of the samples, inside the real manifold (quality). recall: of the real images, inside the samples'
    manifold (diversity). coverage: of the real images whose own ball holds a sample; unlike recall it is not raised by
    outliers among the samples.
    """

    precision: float
    recall: float
    coverage: float


def precision_recall(samples: Tensor, real: Tensor, k: int = 3, chunk: int = 2048) -> PrecisionRecall:
    """The manifold of a set is the union of the balls that reach from each point to its k-th neighbour in the same set.

    samples: (N, d), real: (M, d). The values depend on N and M, so compare equal numbers only. Memory is
    chunk x max(N, M) float64. Raises ValueError unless N, M > k >= 1, or for NaN.
    Reference: Kynkaanniemi et al. 2019, arXiv 1904.06991 (k = 3); coverage: Naeem et al. 2020, arXiv 2002.09797.
    """
    if k < 1:
        raise ValueError(f"precision_recall k must be at least 1, but got {k}.")
    x = check_features(samples, "precision_recall", least=k + 1)
    y = check_features(real, "precision_recall", least=k + 1)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"precision_recall: features of {x.shape[1]} and {y.shape[1]} dimensions cannot be compared.")
    x_radius, y_radius = _neighbour_distance(x, k, chunk), _neighbour_distance(y, k, chunk)
    in_real, in_samples = torch.zeros(len(x), dtype=torch.bool), torch.zeros(len(y), dtype=torch.bool)
    nearest = torch.full((len(y),), torch.inf, dtype=torch.float64)
    for rows in torch.arange(len(x)).split(chunk):
        d = squared_distances(x[rows], y)
        in_real[rows] = (d <= y_radius).any(1)
        in_samples |= (d <= x_radius[rows, None]).any(0)
        nearest = torch.minimum(nearest, d.min(0).values)
    covered = nearest <= y_radius
    return PrecisionRecall(*(float(b.double().mean()) for b in (in_real, in_samples, covered)))


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """(N, M) squared Euclidean distances, at least 0. float64, since the expanded square cancels for near points."""
    assert x.dtype == y.dtype == torch.float64
    return (x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T).clamp(min=0)


def _neighbour_distance(x: Tensor, k: int, chunk: int) -> Tensor:
    """(N,) squared distance of each point to its k-th neighbour, itself not counted."""
    radii = []
    for rows in torch.arange(len(x)).split(chunk):
        d = squared_distances(x[rows], x)
        d[torch.arange(len(rows)), rows] = torch.inf  # by position: a duplicate is a neighbour, the point itself is not
        radii.append(d.kthvalue(k, dim=1).values)
    return torch.cat(radii)
