import numpy as np
import pytest
import torch
from torch import Tensor

from workbench.metrics import Moments, frechet_distance


def features_with(stds: Tensor, mean: Tensor, basis: Tensor, n: int, seed: int) -> Tensor:
    """n features whose *sample* mean and covariance are exactly `mean` and basis diag(stds^2) basis^T."""
    rng = np.random.default_rng(seed)
    raw = torch.from_numpy(rng.standard_normal((n, len(stds))))
    q, _ = torch.linalg.qr(raw - raw.mean(0))  # orthonormal columns that sum to zero
    q = q - q.mean(0)
    return (n - 1) ** 0.5 * (q * stds) @ basis.T + mean


def closed_form(d: int, rank: int, n: int, m: int) -> tuple[Tensor, Tensor, float]:
    """Commuting covariances: the distance is |mean difference|^2 + sum (std_x - std_y)^2."""
    rng = np.random.default_rng(d + n + m)
    basis, _ = torch.linalg.qr(torch.from_numpy(rng.standard_normal((d, rank))))
    a, b = (torch.from_numpy(rng.uniform(0.1, 1.0, rank)) for _ in range(2))
    shift = torch.from_numpy(rng.standard_normal(d)) / d**0.5
    x = features_with(a, torch.zeros(d, dtype=torch.float64), basis, n, 1)
    y = features_with(b, shift, basis, m, 2)
    return x, y, float(shift.square().sum() + (a - b).square().sum())


@pytest.mark.parametrize(("n", "m"), [(20, 20), (100, 100), (500, 500), (100, 500)])
def test_closed_form_with_fewer_images_than_dimensions(n: int, m: int) -> None:
    x, y, truth = closed_form(2048, min(n, m) - 1, n, m)
    assert frechet_distance(x, y) == pytest.approx(truth, abs=1e-9)


@pytest.mark.parametrize(("n", "m"), [(65, 65), (500, 2000), (2000, 500)])
def test_closed_form_with_more_images_than_dimensions(n: int, m: int) -> None:
    x, y, truth = closed_form(64, 64, n, m)
    assert frechet_distance(x, y) == pytest.approx(truth, abs=1e-9)
    assert frechet_distance(x, y, Moments.of(y)) == pytest.approx(truth, abs=1e-9)


def test_the_two_ways_agree_where_both_apply() -> None:
    # N = d + 1 takes the covariance way; the nuclear norm of the same data is the other one.
    rng = np.random.default_rng(3)
    x, y = (torch.from_numpy(rng.standard_normal((33, 32)) * s) for s in (1.0, 0.7))
    a, b = ((z - z.mean(0)) / 32**0.5 for z in (x, y))
    nuclear = (x.mean(0) - y.mean(0)).square().sum() + a.square().sum() + b.square().sum()
    nuclear = nuclear - 2 * torch.linalg.matrix_norm(a @ b.T, ord="nuc")
    assert frechet_distance(x, y) == pytest.approx(float(nuclear), rel=1e-9)


@pytest.mark.parametrize("n", [20, 300])
def test_identical_sets_have_distance_zero(n: int) -> None:
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((n, 64)))
    assert 0 <= frechet_distance(x, x.clone()) <= 1e-10


def test_features_far_from_zero_lose_no_digits() -> None:
    # One-pass sums in float32 would be wrong by more than the distance itself.
    x, y, truth = closed_form(32, 32, 400, 400)
    assert frechet_distance(x + 1e3, y + 1e3) == pytest.approx(truth, abs=1e-8)


@pytest.mark.parametrize(("n", "d"), [(600, 64), (1500, 300)])
def test_agrees_with_clean_fid_on_the_same_features(n: int, d: int) -> None:
    from cleanfid.fid import frechet_distance as peer

    rng = np.random.default_rng(1)
    x = rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) / d**0.5
    y = rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) / d**0.5 + 0.1
    theirs = peer(x.mean(0), np.cov(x, rowvar=False), y.mean(0), np.cov(y, rowvar=False))
    assert frechet_distance(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(float(theirs), rel=1e-6)


def test_agrees_with_torchmetrics_on_the_same_features() -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Flat(torch.nn.Module):
        num_features = 48

        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1).double() / 255

    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (300, 3, 4, 4), generator=generator, dtype=torch.uint8)
    y = torch.randint(0, 200, (400, 3, 4, 4), generator=generator, dtype=torch.uint8)
    peer = FrechetInceptionDistance(feature=Flat(), input_img_size=(3, 4, 4)).set_dtype(torch.float64)
    peer.update(x, real=False)
    peer.update(y, real=True)
    ours = frechet_distance(x.flatten(1).double() / 255, y.flatten(1).double() / 255)
    assert ours == pytest.approx(float(peer.compute()), rel=1e-6)


def test_too_few_images_nan_and_flattened_features_are_refused() -> None:
    x = torch.randn(10, 4)
    with pytest.raises(ValueError, match="at least 2 images, but got 1"):
        frechet_distance(x[:1], x)
    with pytest.raises(ValueError, match="d >= 2"):
        frechet_distance(x.flatten(), x)
    with pytest.raises(ValueError, match="4 and 3 dimensions"):
        frechet_distance(x, x[:, :3])
    x[7, 2] = float("nan")
    with pytest.raises(ValueError, match="1 images, the first is image 7"):
        frechet_distance(x, x)
