"""TeacherTarget with ADD's weight."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from workbench.diffusion import NoiseProcess
from workbench.distill.state import State
from workbench.distill.targets.teacher import TeacherTarget


@dataclass(frozen=True)
class AlphaWeightedTarget(TeacherTarget):
    """TeacherTarget whose distance counts alpha_gamma: levels with more noise count less, as they tell less about x0S.

    Reference: Sauer et al. 2023 (ADD), arXiv 2311.17042, section 3 (its exponential weighting).
    """

    def weights(self, state: State, process: NoiseProcess) -> Tensor:
        return process.alpha(self.shift.at(state, process), state.x_t).flatten()
