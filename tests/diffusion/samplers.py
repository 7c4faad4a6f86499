"""The samplers that the tests of this folder run over, and small helpers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.diffusion.processes import PROCESSES
from workbench.diffusion import (
    DDIM,
    DPMSolverPP,
    Heun,
    NoiseProcess,
    Prediction,
    Renoise,
    Sampler,
)
from workbench.models import GaussianMixtureDenoiser

# Every setting that behaves differently. A new sampler joins by standing here (test_every_sampler_is_tested asks).
SAMPLERS: list[Sampler] = [
    DDIM(),
    DDIM(eta=0.5),
    DDIM(eta=1.0),
    Renoise(),
    Renoise(stochasticity=0.5),
    Renoise(stochasticity=0.0),
    DPMSolverPP(),
    DPMSolverPP(order=1),
    Heun(),
]
CORRECTED = [type(s)(**{**vars(s), "noise_correction": True}) for s in SAMPLERS]
DETERMINISTIC = [s for s in SAMPLERS if not s.stochastic]
EVERY = pytest.mark.parametrize("sampler", SAMPLERS + CORRECTED, ids=repr)
PROCESS = pytest.mark.parametrize("name", PROCESSES)
TIMES = [1000, 667, 333]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def move_noise(index: int) -> Tensor:
    return normal(4, 2, 2, 2, seed=100 + index)


def mixture(process: NoiseProcess, prediction_type: str = "v_prediction") -> GaussianMixtureDenoiser:
    weights, stds = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.3, 0.1, 0.5])
    return GaussianMixtureDenoiser(process, weights, normal(3, 2, 2, 2, seed=1), stds, prediction_type)


class Counting:
    """A denoiser that remembers its calls."""

    def __init__(self, denoise: Callable[[Tensor, Tensor], Prediction]) -> None:
        self.denoise, self.times = denoise, []  # type: ignore[var-annotated]

    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        self.times.append(int(t[0]))
        return self.denoise(x_t, t)


def one_step(sampler: Sampler, process: NoiseProcess, x: Tensor, t: Any, t_next: Any, denoise: Any = None) -> Tensor:
    """A first step."""
    denoise = denoise or mixture(process).bind()
    pred = denoise(x, process.as_batch(t, x))
    return sampler.step(
        process, x, t, t_next, pred, denoise=denoise, memory={}, noise=lambda: move_noise(0)[: len(x)].to(x)
    )
