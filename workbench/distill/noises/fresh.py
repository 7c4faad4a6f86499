"""New noise."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from workbench.diffusion import Prediction
from workbench.distill.noises.base import TargetNoise
from workbench.distill.state import State


@dataclass(frozen=True)
class FreshNoise(TargetNoise):
    """Independent standard normal noise: score distillation, which loses diversity unless something puts it back
    (METHOD.md section 6)."""

    def __call__(self, state: State, pred: Prediction) -> Tensor:
        return state.random.normal("chi", state.x_t.shape[1:])

    @property
    def forgets_the_state(self) -> bool:
        return True
