"""The student's noise with fresh noise mixed in."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from workbench.diffusion import Prediction
from workbench.distill.noises.base import TargetNoise
from workbench.distill.state import State


@dataclass(frozen=True)
class MixedNoise(TargetNoise):
    """sqrt(1 - rho^2) epshat + rho fresh: rho = 0 is StudentNoise, rho = 1 is FreshNoise. ValueError unless 0 <= rho <=
    1."""

    rho: float = 0.3

    def __post_init__(self) -> None:
        if not 0 <= self.rho <= 1:
            raise ValueError(f"MixedNoise rho must be between 0 and 1, but got {self.rho}.")

    def __call__(self, state: State, pred: Prediction) -> Tensor:
        if self.rho == 0:
            return pred.eps
        fresh = state.random.normal("chi", state.x_t.shape[1:]).to(pred.eps.dtype)
        return (1 - self.rho**2) ** 0.5 * pred.eps + self.rho * fresh

    @property
    def forgets_the_state(self) -> bool:
        return self.rho == 1
