"""Closed-form stand-ins: a teacher that knows E[x0 | x_t], and states to look at. No file, no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from workbench.diffusion import Draws, NoiseProcess, Prediction
from workbench.distill import Keyed, State
from workbench.distill.targets.base import GuidanceScale
from workbench.models import GaussianDenoiser, GuidedDenoiser

T = 1000
SHAPE = (2, 3, 3)
B = 4


def sd_process() -> NoiseProcess:
    """Stable Diffusion's schedule, scaled-linear betas; alpha_T = .0683."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, T, dtype=torch.float64) ** 2
    cumprod = torch.cat([torch.ones(1, dtype=torch.float64), (1 - betas).cumprod(0)])
    return NoiseProcess(cumprod.sqrt(), (1 - cumprod).sqrt(), "vp")


def zero_snr_process() -> NoiseProcess:
    """A VP schedule with alpha_T = 0."""
    angle = torch.linspace(0, torch.pi / 2, T + 1, dtype=torch.float64)
    alphas = angle.cos()
    alphas[-1] = 0
    return NoiseProcess(alphas, angle.sin(), "vp")


def flow_process() -> NoiseProcess:
    """alpha = 1 - t/T, sigma = t/T."""
    sigmas = torch.arange(T + 1, dtype=torch.float64) / T
    return NoiseProcess(1 - sigmas, sigmas, "flow")


PROCESSES = {"sd": sd_process, "zero_snr": zero_snr_process, "flow": flow_process}


@dataclass
class AnalyticTeacher:
    """A denoiser dressed as a teacher."""

    denoiser: Any
    guidance_scale: float = 1.0

    @property
    def process(self) -> NoiseProcess:
        return self.denoiser.process

    def guided(self, guidance_scale: GuidanceScale | None = None) -> GuidedDenoiser:
        scale = self.guidance_scale if guidance_scale is None else guidance_scale
        return GuidedDenoiser(self.denoiser, torch.zeros(3, 5, dtype=torch.float64), scale)


def gaussian(
    process: NoiseProcess, mean: float = 0.4, std: float = 0.8, kind: str = "v_prediction"
) -> GaussianDenoiser:
    return GaussianDenoiser(process, mean, std, kind)


def keyed(tick: int = 0, batch: int = B, seed: int = 0) -> Keyed:
    return Keyed(Draws(seed), tick, tuple(range(batch)))


def state_at(
    process: NoiseProcess,
    t: int,
    timesteps: Sequence[int] = (1000, 667, 333),
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> State:
    """A random state at t, and a random condition."""
    random = keyed(seed=seed)
    noise = random.normal("x", SHAPE).to(dtype)
    clean = 0.5 * random.normal("clean", SHAPE).to(dtype)
    x_t = process.add_noise(clean, noise, t)
    return State(
        x_t=x_t,
        t=process.as_batch(t, x_t),
        timestep=t,
        cond=random.normal("cond", (3, 5)).to(dtype),
        noise=noise,
        timesteps=tuple(timesteps),
        index=list(timesteps).index(t),
        random=random.within("state"),
    )


def predict(denoiser: Any, state: State) -> Prediction:
    return denoiser(state.x_t, state.t, state.cond).detach()
