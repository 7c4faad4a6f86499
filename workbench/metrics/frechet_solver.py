"""The Frechet distance of two Gaussians fitted to features, without a general matrix square root."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def check_features(features: Tensor, name: str, least: int = 2) -> Tensor:
    """Features as (N, d) float64 on the CPU. Raises ValueError unless N >= least, d >= 2 and all is finite.

    d = 1 is refused because it is nearly always an accident: flattened features give a tiny, meaningless distance.
    """
    if features.ndim != 2 or features.shape[1] < 2:
        raise ValueError(f"{name} must be features (N, d) with d >= 2, but got shape {tuple(features.shape)}.")
    if len(features) < least:
        raise ValueError(f"{name} needs at least {least} images, but got {len(features)}. Raise num_images.")
    if not features.isfinite().all():
        bad = (~features.isfinite()).any(1).nonzero().flatten()
        raise ValueError(
            f"{name}: NaN or infinity in the features of {len(bad)} images, the first is image {int(bad[0])}."
        )
    return features.detach().to("cpu", torch.float64)


@dataclass(frozen=True)
class Moments:
    """Mean (d,) and unbiased covariance (d, d) of n features, float64, with the covariance's square root for reuse."""

    n: int
    mean: Tensor
    covariance: Tensor
    root: Tensor  # symmetric positive semi-definite, root @ root = covariance up to rounding

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        """features: (N, d), N >= 2. Two passes: sums of squares would cancel for features far from zero."""
        x = check_features(features, "Moments")
        mean = x.mean(0)
        a = (x - mean) / (len(x) - 1) ** 0.5
        covariance = a.T @ a
        return cls(len(x), mean, covariance, symmetric_root(covariance))


def symmetric_root(matrix: Tensor) -> Tensor:
    """Square root of a symmetric positive semi-definite matrix; eigenvalues below 0 are rounding, and become 0."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def frechet_distance(x: Tensor, y: Tensor, y_moments: Moments | None = None) -> float:
    """|mu_x - mu_y|^2 + tr(S_x + S_y - 2 (S_x S_y)^(1/2)), the squared 2-Wasserstein distance of the fitted Gaussians.

    x: (N, d), y: (M, d) features; the covariances divide by N - 1. y_moments: `Moments.of(y)` if already known (one
    reference, many arms). At least 0; the trace term is computed in one of two ways, both without `sqrtm`:

    - min(N, M) <= d: with S = A^T A, tr (S_x S_y)^(1/2) is the nuclear norm of A B^T, an N x M matrix. Squaring the
      singular values, as any method on the covariances does, would cost half of the digits of the rank-deficient S.
    - else: the square roots of the eigenvalues of the symmetric S_y^(1/2) S_x S_y^(1/2).

    Raises ValueError for fewer than 2 images, d < 2, different d, or NaN.
    Reference: Heusel et al. 2017, arXiv 1706.08500, eq. 6; Dowson and Landau 1982 for the closed form.
    """
    x, y = check_features(x, "frechet_distance"), check_features(y, "frechet_distance")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"frechet_distance: features of {x.shape[1]} and {y.shape[1]} dimensions cannot be compared.")
    if min(len(x), len(y)) <= x.shape[1]:
        mu_x, mu_y = x.mean(0), y.mean(0)
        a, b = (x - mu_x) / (len(x) - 1) ** 0.5, (y - mu_y) / (len(y) - 1) ** 0.5
        cross = torch.linalg.svdvals(a @ b.T).sum()
        total = a.square().sum() + b.square().sum()
    else:
        moments = y_moments if y_moments is not None else Moments.of(y)
        mu_x, mu_y = x.mean(0), moments.mean
        a = (x - mu_x) / (len(x) - 1) ** 0.5
        a_root = a @ moments.root  # (N, d); its Gram matrix is root S_x root
        cross = torch.linalg.eigvalsh(a_root.T @ a_root).clamp(min=0).sqrt().sum()
        total = a.square().sum() + moments.covariance.trace()
    return max(0.0, float((mu_x - mu_y).square().sum() + total - 2 * cross))
