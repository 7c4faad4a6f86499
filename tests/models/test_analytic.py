"""The closed-form teachers against definitions: Bayes by numerical integration, Tweedie by autograd."""

from __future__ import annotations

import pytest
import torch

from tests.diffusion.processes import PROCESSES, sd_process, served_types
from workbench.models import AnalyticDenoiser, GaussianDenoiser, GaussianMixtureDenoiser

TIMES = [1, 50, 400, 900, 1000]


def mixture_1d(process, prediction_type="v_prediction"):
    means = torch.tensor([-1.0, 0.5, 2.0]).view(3, 1, 1, 1)
    weights, stds = torch.tensor([2.0, 5.0, 3.0]), torch.tensor([0.3, 0.2, 0.6])
    return GaussianMixtureDenoiser(process, weights, means, stds, prediction_type)


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("t", TIMES)
def test_the_posterior_mean_is_bayes_rule(name, t):
    # E[x0 | x] = sum x0 p(x0) N(x; alpha x0, sigma^2) / sum ..., on a fine grid of x0.
    process = PROCESSES[name]
    grid = torch.linspace(-6, 8, 400_001, dtype=torch.float64)
    weights, means, stds = torch.tensor([0.2, 0.5, 0.3]), torch.tensor([-1.0, 0.5, 2.0]), torch.tensor([0.3, 0.2, 0.6])
    prior = sum(
        w / s * torch.exp(-((grid - m) ** 2) / (2 * s**2))
        for w, m, s in zip(weights.double(), means.double(), stds.double(), strict=True)
    )
    a, s = float(process.alphas[t]), float(process.sigmas[t])
    for x in (-1.3, 0.4, 2.2):
        log_likelihood = -((x - a * grid) ** 2) / (2 * s**2)
        joint = prior * torch.exp(log_likelihood - log_likelihood.max())
        expected = float((grid * joint).sum() / joint.sum())
        actual = mixture_1d(process)(torch.full((1, 1, 1, 1), x, dtype=torch.float64), torch.tensor([t])).x0.item()
        assert actual == pytest.approx(expected, rel=2e-5, abs=1e-6)  # float32 parameters in the prior


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("t", TIMES)
def test_eps_is_the_score(name, t):
    # Tweedie: grad log p_t(x) = -E[eps | x] / sigma_t, in several dimensions.
    process = PROCESSES[name]
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(3, 2, 2, 2, dtype=torch.float64, generator=generator)
    denoiser = GaussianMixtureDenoiser(process, torch.tensor([0.5, 0.3, 0.2]), means, torch.tensor([0.3, 0.1, 0.5]))
    x = torch.randn(4, 2, 2, 2, dtype=torch.float64, generator=generator).requires_grad_()
    batch = torch.full((4,), t)
    (score,) = torch.autograd.grad(denoiser.log_prob(x, batch).sum(), x)
    expected = -denoiser(x, batch).eps / float(process.sigmas[t])
    torch.testing.assert_close(score, expected.detach(), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("t", TIMES)
def test_a_gaussian_is_a_mixture_of_one(t):
    process = sd_process()
    mean = torch.randn(2, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    one = GaussianMixtureDenoiser(process, torch.ones(1), mean[None], torch.tensor([0.4], dtype=torch.float64))
    x, batch = torch.randn(3, 2, 2, 2, dtype=torch.float64), torch.full((3,), t)
    a, b = GaussianDenoiser(process, mean, 0.4)(x, batch), one(x, batch)
    torch.testing.assert_close(a.x0, b.x0, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(a.eps, b.eps, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", PROCESSES)
def test_dressed_as_any_network_it_says_the_same(name):
    process = PROCESSES[name]
    x, t = torch.randn(5, 1, 1, 1, dtype=torch.float64), torch.tensor(TIMES)
    preds = [mixture_1d(process, kind)(x, t) for kind in served_types(process)]
    for pred in preds[1:]:
        torch.testing.assert_close(pred.x0, preds[0].x0, rtol=1e-10, atol=1e-10)


def test_a_condition_moves_the_data():
    # p(x0 | c) is p(x0) shifted by c: so is its denoiser, in x0; eps is as before at the shifted state.
    process, t = sd_process(), torch.tensor([300, 700])
    x = torch.randn(2, 1, 1, 1, dtype=torch.float64)
    cond = torch.tensor([0.7, -1.2], dtype=torch.float64).view(2, 1, 1).expand(2, 3, 5)
    alpha = process.alpha(t, x)
    shift = cond[:, 0, 0].view(2, 1, 1, 1)
    for denoiser in (mixture_1d(process), GaussianDenoiser(process, 0.3, 0.5)):
        moved, plain = denoiser(x + alpha * shift, t, cond), denoiser(x, t)
        torch.testing.assert_close(moved.x0, plain.x0 + shift, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(moved.eps, plain.eps, rtol=1e-10, atol=1e-10)


def test_only_a_learnable_one_has_gradients():
    process, x, t = sd_process(), torch.randn(2, 1, 1, 1), torch.tensor([300, 700])
    assert not GaussianDenoiser(process)(x, t).x0.requires_grad
    student = GaussianDenoiser(process, 0.1, 0.9, learnable=True)
    student(x, t).x0.sum().backward()
    assert all(p.grad is not None and p.grad.abs() > 0 for p in student.parameters())


def test_mixtures_that_do_not_fit_are_refused():
    process, means = sd_process(), torch.zeros(2, 1, 1, 1)
    with pytest.raises(ValueError, match=r"needs weights \(K,\), means \(K, C, H, W\) and stds \(K,\), got \(3,\)"):
        GaussianMixtureDenoiser(process, torch.ones(3), means, torch.ones(2))
    with pytest.raises(ValueError, match="weights must be positive"):
        GaussianMixtureDenoiser(process, torch.tensor([1.0, 0.0]), means, torch.ones(2))


def test_epsilon_without_signal_at_T_is_refused_at_construction():
    # METHOD.md section 5, 3
    with pytest.raises(ValueError, match="alpha_T = 0"):
        GaussianDenoiser(PROCESSES["zero_snr"], prediction_type="epsilon")


def test_the_base_is_not_usable_alone():
    with pytest.raises(NotImplementedError):
        AnalyticDenoiser(sd_process(), "sample")(torch.zeros(1, 1, 1, 1), torch.tensor([5]))
