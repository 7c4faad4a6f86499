import itertools

import numpy as np
import pytest
import torch

from workbench.metrics import kernel_distance


def double_loop(x: np.ndarray, y: np.ndarray) -> float:
    """The estimator as its paper writes it, pair by pair."""
    d = x.shape[1]

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / d + 1) ** 3

    xx = np.mean([k(a, b) for a, b in itertools.permutations(x, 2)])
    yy = np.mean([k(a, b) for a, b in itertools.permutations(y, 2)])
    return float(xx + yy - 2 * np.mean([k(a, b) for a in x for b in y]))


def two_sets(n: int, m: int, d: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(n)
    return torch.from_numpy(rng.standard_normal((n, d))), torch.from_numpy(rng.standard_normal((m, d)) + 0.2)


def test_equals_the_sum_over_pairs_for_any_chunk() -> None:
    x, y = two_sets(13, 9, 4)
    truth = double_loop(x.numpy(), y.numpy())
    for chunk in (1, 4, 100):
        assert kernel_distance(x, y, chunk=chunk) == pytest.approx(truth, rel=1e-12)


def test_is_unbiased() -> None:
    # Same distribution: the mean over many draws is zero within 4 standard errors, and single draws go below zero.
    rng = np.random.default_rng(0)
    draws = [kernel_distance(*(torch.from_numpy(rng.standard_normal((20, 3))) for _ in range(2))) for _ in range(400)]
    assert abs(np.mean(draws)) < 4 * np.std(draws) / 20
    assert min(draws) < 0


def test_agrees_with_clean_fid_on_one_whole_subset() -> None:
    from cleanfid.fid import kernel_distance as peer

    x, y = two_sets(200, 200, 16)
    assert kernel_distance(x, y) == pytest.approx(peer(x.numpy(), y.numpy(), num_subsets=1), rel=1e-6)


def test_subsets_are_seeded_and_scatter_around_the_whole() -> None:
    x, y = two_sets(400, 400, 8)
    one, same, other = (kernel_distance(x, y, num_subsets=40, subset_size=100, seed=s) for s in (1, 1, 2))
    assert one == same != other
    assert one == pytest.approx(kernel_distance(x, y), rel=0.2)


def test_one_image_is_refused() -> None:
    x, y = two_sets(5, 5, 4)
    with pytest.raises(ValueError, match="at least 2 images, but got 1"):
        kernel_distance(x[:1], y)
    with pytest.raises(ValueError, match="subset_size must be at least 2"):
        kernel_distance(x, y, num_subsets=3, subset_size=1)
