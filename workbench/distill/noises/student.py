"""The student's own noise."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from workbench.diffusion import Prediction
from workbench.distill.noises.base import TargetNoise
from workbench.distill.state import State


@dataclass(frozen=True)
class StudentNoise(TargetNoise):
    """epshat of the student: at gamma(t) = t, chi is x_t again. It cannot forget x_T, hence cannot collapse."""

    def __call__(self, state: State, pred: Prediction) -> Tensor:
        return pred.eps
