"""Noise correction on every sampler: the paper's first step, and nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.diffusion.processes import PROCESSES, sd_process, served_types
from tests.diffusion.samplers import (
    CORRECTED,
    PROCESS,
    TIMES,
    mixture,
    move_noise,
    normal,
    one_step,
)
from workbench.diffusion import (
    DDIM,
    DPMSolverPP,
    NoiseProcess,
    Prediction,
    Renoise,
    sample,
)
from workbench.models import GaussianDenoiser


@pytest.mark.parametrize("sampler", [DDIM(noise_correction=True), DPMSolverPP(noise_correction=True)], ids=repr)
def test_the_corrected_first_step_is_the_papers(sampler):
    process, x_T = sd_process(), normal(4, 2, 2, 2)
    x0 = mixture(process)(x_T, torch.full((4,), 1000)).x0
    expected = process.add_noise(x0, x_T, 667)  # alpha' x0hat + sigma' x_T
    torch.testing.assert_close(one_step(sampler, process, x_T, 1000, 667), expected, rtol=1e-12, atol=1e-12)
    assert not torch.allclose(expected, one_step(DDIM(), process, x_T, 1000, 667), rtol=1e-3)


@pytest.mark.parametrize("corrected", CORRECTED, ids=repr)
@PROCESS
def test_correction_equals_a_network_that_predicts_the_noise_exactly_at_T(corrected, name):
    # eps is replaced and x0 stays: what any sampler would do with a prediction that says so itself.
    process = PROCESSES[name]
    plain = type(corrected)(**{**vars(corrected), "noise_correction": False})

    def exact(x_t: Tensor, t: Tensor) -> Prediction:
        pred = mixture(process)(x_t, t)
        return Prediction(pred.x0, x_t) if int(t[0]) == 1000 else pred

    x_T = normal(4, 2, 2, 2)
    ours = sample(process, mixture(process).bind(), x_T, TIMES, corrected, noise=move_noise)
    torch.testing.assert_close(ours, sample(process, exact, x_T, TIMES, plain, noise=move_noise), rtol=0, atol=0)


@pytest.mark.parametrize("corrected", CORRECTED, ids=repr)
def test_correction_touches_only_steps_from_T(corrected):
    process, x = sd_process(), normal(4, 2, 2, 2)
    plain = type(corrected)(**{**vars(corrected), "noise_correction": False})
    denoise = mixture(process).bind()
    below = [sample(process, denoise, x, [999, 500], s, noise=move_noise) for s in (corrected, plain)]
    assert torch.equal(*below)
    at_T = [sample(process, denoise, x, TIMES, s, noise=move_noise) for s in (corrected, plain)]
    assert torch.equal(*at_T) == corrected.correction_is_inert(process) == (corrected == Renoise(noise_correction=True))
    assert not plain.correction_is_inert(process)


@pytest.mark.parametrize("corrected", CORRECTED, ids=repr)
@pytest.mark.parametrize("name", ["zero_snr", "flow"])
def test_correction_is_inert_without_signal_at_T(corrected, name):
    # METHOD.md section 5, 2: the implied noise already is x_T, bit for bit since alpha_T = 0 and sigma_T = 1 exactly.
    process = PROCESSES[name]
    plain = type(corrected)(**{**vars(corrected), "noise_correction": False})
    assert corrected.correction_is_inert(process) and not plain.correction_is_inert(process)
    for kind in served_types(process):
        denoise = mixture(process, kind).bind()
        for times in ([1000], TIMES):
            both = [
                sample(process, denoise, normal(4, 2, 2, 2), times, s, noise=move_noise) for s in (corrected, plain)
            ]
            assert torch.equal(*both)


@pytest.mark.parametrize("corrected", CORRECTED, ids=repr)
def test_correction_does_nothing_for_one_step(corrected):
    # METHOD.md section 5, 5: sigma' = 0 at the only move.
    process = sd_process()
    plain = type(corrected)(**{**vars(corrected), "noise_correction": False})
    denoise = mixture(process, "epsilon").bind()
    both = [sample(process, denoise, normal(4, 2, 2, 2), [1000], s, noise=move_noise) for s in (corrected, plain)]
    assert torch.equal(*both)


@pytest.mark.parametrize(
    ("alphas_cumprod", "without", "corrected", "true"),
    [(0.3, 0.7348, 0.8206, 0.8216), (0.5, 0.9869, 1.0594, 1.0607), (0.8, 1.2942, 1.3401, 1.3416)],
)
def test_correction_removes_the_bias_of_the_first_step(alphas_cumprod, without, corrected, true):
    # METHOD.md section 5, 2: data N(1.5, .25), two times, the optimal network. The step is linear in x_T ~ N(0, 1), so
    # its mean is its value at x_T = 0.
    mu, variance, alpha_T = 1.5, 0.25, 0.0683
    alphas = torch.tensor([1.0, alphas_cumprod**0.5, alpha_T], dtype=torch.float64)
    process = NoiseProcess(alphas, (1 - alphas**2).sqrt(), "vp")
    denoise = GaussianDenoiser(process, mu, variance**0.5, "epsilon").bind()
    zero = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    for sampler, expected in ((DDIM(), without), (DDIM(noise_correction=True), corrected)):
        assert one_step(sampler, process, zero, 2, 1, denoise).item() == pytest.approx(expected, abs=5e-5)
    alpha, sigma = float(alphas[1]), float(process.sigmas[1])
    assert alpha * mu == pytest.approx(true, abs=5e-5)
    sigma_T = float(process.sigmas[2])
    bias = sigma * sigma_T * alpha_T * mu / (alpha_T**2 * variance + sigma_T**2)
    assert corrected - without == pytest.approx(bias, abs=1e-4)
