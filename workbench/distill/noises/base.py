"""TargetNoise: the noise in chi = alpha_gamma x0S + sigma_gamma noise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from workbench.diffusion import Prediction
from workbench.distill.state import State


@dataclass(frozen=True)
class TargetNoise(ABC):
    """What the student's prediction is noised with before the teacher looks at it."""

    @abstractmethod
    def __call__(self, state: State, pred: Prediction) -> Tensor:
        """(B, C, H, W), unit variance where the student's noise has it; `pred` is detached, before noise correction."""

    @property
    def forgets_the_state(self) -> bool:
        """True if the noise is independent of the state and of the prediction. Then chi at alpha_gamma = 0 knows
        neither."""
        return False
