"""DDIM: the deterministic step of the method, and its stochastic family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from workbench.diffusion.process import NoiseProcess, Prediction, Timestep
from workbench.diffusion.samplers.base import Denoise, Sampler


@dataclass(frozen=True)
class DDIM(Sampler):
    """x' = alpha' x0 + sqrt(sigma'^2 - s^2) eps + s z, order 1. eta = 0 is Euler on the probability-flow ODE.

    s = eta sigma' sqrt(1 - SNR_t / SNR_t'), for VP the reference's eq. 16; eta = 1 is ancestral (DDPM) sampling.
    Not to be confused with Renoise, whose share of fresh noise is the same at every step.
    Reference: Song et al. 2021, arXiv 2010.02502, eq. 12 and 16.

    Raises:
        ValueError: unless 0 <= eta <= 1.
    """

    eta: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ValueError(f"DDIM eta must be between 0 (deterministic) and 1 (ancestral), got {self.eta}.")

    @property
    def stochastic(self) -> bool:
        return self.eta > 0

    def _move(
        self,
        process: NoiseProcess,
        x_t: Tensor,
        t: Timestep,
        t_next: Timestep,
        pred: Prediction,
        denoise: Denoise,
        memory: dict[str, Any],
        noise: Callable[[], Tensor],
    ) -> Tensor:
        alpha_next, sigma_next = process.alpha(t_next, x_t), process.sigma(t_next, x_t)
        if not self.stochastic:
            return alpha_next * pred.x0 + sigma_next * pred.eps
        alpha, sigma = process.alpha(t, x_t), process.sigma(t, x_t)
        # SNR_t / SNR_t' as one quotient of products: finite at alpha_t = 0 and at sigma' = 0.
        fresh = self.eta * sigma_next * (1 - (alpha * sigma_next / (alpha_next * sigma)) ** 2).clamp(min=0).sqrt()
        kept = (sigma_next**2 - fresh**2).clamp(min=0).sqrt()
        return alpha_next * pred.x0 + kept * pred.eps + fresh * noise()
