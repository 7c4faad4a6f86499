"""Renoise: predict x0, noise it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from workbench.diffusion.process import NoiseProcess, Prediction, Timestep
from workbench.diffusion.samplers.base import Denoise, Sampler


@dataclass(frozen=True)
class Renoise(Sampler):
    """x' = alpha' x0 + sigma' (sqrt(1 - c^2) eps + c z), with c the stochasticity.

    c = 1 is multistep consistency sampling (LCM, DMD2), where noise correction changes nothing; c = 0 is DDIM.
    Reference: Song et al. 2023, arXiv 2303.01469, algorithm 1.

    Raises:
        ValueError: unless 0 <= stochasticity <= 1.
    """

    stochasticity: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.stochasticity <= 1:
            raise ValueError(f"Renoise stochasticity must be between 0 and 1, got {self.stochasticity}.")

    @property
    def stochastic(self) -> bool:
        return self.stochasticity > 0

    def correction_is_inert(self, process: NoiseProcess) -> bool:
        """Also where everything is renoised: nothing of eps is kept."""
        return super().correction_is_inert(process) or (self.noise_correction and self.stochasticity == 1)

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
        eps = (1 - self.stochasticity**2) ** 0.5 * pred.eps
        if self.stochastic:
            eps = eps + self.stochasticity * noise()
        return process.add_noise(pred.x0, eps, t_next)
