"""Classifier-free guidance: one batch, closed form, and exactly the conditional network at scale 1."""

from __future__ import annotations

import pytest
import torch

from tests.diffusion.processes import PROCESSES, sd_process, served_types
from workbench.diffusion import DDIM, solve
from workbench.models import GaussianDenoiser, GuidedDenoiser

X = torch.randn(3, 1, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
T = torch.tensor([1000, 600, 20])
COND = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64).view(3, 1, 1).expand(3, 4, 6)
UNCOND = torch.zeros(4, 6, dtype=torch.float64)


class Batches(GaussianDenoiser):
    """Remembers the batch size of each call."""

    def forward(self, x_t, t, cond=None):
        self.__dict__.setdefault("batches", []).append(len(x_t))
        return super().forward(x_t, t, cond)


def test_scale_one_is_the_conditional_network_in_one_undoubled_call():
    # METHOD.md section 5, 10
    denoiser = Batches(sd_process(), 0.3, 0.5)
    pred = GuidedDenoiser(denoiser, UNCOND, 1.0)(X, T, COND)
    assert denoiser.__dict__["batches"] == [3]
    expected = denoiser(X, T, COND)
    assert torch.equal(pred.x0, expected.x0) and torch.equal(pred.eps, expected.eps)
    answers = [
        solve(sd_process(), bound, X, 700, 4, DDIM()).x0
        for bound in (GuidedDenoiser(denoiser, UNCOND, 1).bind(COND), denoiser.bind(COND))
    ]
    assert torch.equal(*answers)


@pytest.mark.parametrize("scale", [0.0, 1.5, 7.5, torch.tensor([0.0, 1.0, 7.5]), lambda t: t / 100])
def test_guidance_extrapolates_from_uncond_to_cond_in_one_call(scale):
    denoiser = Batches(sd_process(), 0.3, 0.5, "epsilon")
    pred = GuidedDenoiser(denoiser, UNCOND, scale)(X, T, COND)
    assert denoiser.__dict__["batches"] == [6]
    value = scale(T) if callable(scale) else torch.as_tensor(scale)
    value = value.double().expand(3).view(3, 1, 1, 1)
    cond, uncond = denoiser(X, T, COND), denoiser(X, T, UNCOND.expand(3, -1, -1))
    for name in ("x0", "eps"):
        u, c = getattr(uncond, name), getattr(cond, name)
        torch.testing.assert_close(getattr(pred, name), u + value * (c - u), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(sd_process().add_noise(pred.x0, pred.eps, T), X, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", PROCESSES)
def test_guiding_a_gaussian_moves_its_mean_by_the_scale(name):
    # The posterior of N(m + c, s^2) is affine in c: guidance with scale w is the denoiser conditioned on w c.
    process = PROCESSES[name]
    for kind in served_types(process):
        denoiser = GaussianDenoiser(process, 0.3, 0.5, kind)
        guided, stretched = GuidedDenoiser(denoiser, UNCOND, 3.0)(X, T, COND), denoiser(X, T, 3.0 * COND)
        torch.testing.assert_close(guided.x0, stretched.x0, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(guided.eps, stretched.eps, rtol=1e-10, atol=1e-10)


def test_the_uncond_embedding_is_one_and_unbatched():
    with pytest.raises(ValueError, match=r"must be one embedding \(L, D\), got \(1, 4, 6\)"):
        GuidedDenoiser(GaussianDenoiser(sd_process()), UNCOND[None], 2.0)


def test_the_guided_network_stays_where_it_is_registered():
    denoiser = GaussianDenoiser(sd_process(), learnable=True)
    assert not isinstance(GuidedDenoiser(denoiser, UNCOND, 2.0), torch.nn.Module)
    assert GuidedDenoiser(denoiser, UNCOND, 2.0).process is denoiser.process
