"""The noise that the state came from."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from workbench.diffusion import Prediction
from workbench.distill.noises.base import TargetNoise
from workbench.distill.state import State


@dataclass(frozen=True)
class InitialNoise(TargetNoise):
    """x_T of the rollout (of a noised real image: the eps it was noised with)."""

    def __call__(self, state: State, pred: Prediction) -> Tensor:
        return state.noise
