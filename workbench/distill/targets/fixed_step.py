"""TeacherTarget whose solver steps have one size."""

from __future__ import annotations

import math
from dataclasses import dataclass

from workbench.diffusion import NoiseProcess
from workbench.distill.state import State
from workbench.distill.targets.teacher import TeacherTarget


@dataclass(frozen=True)
class FixedStepTarget(TeacherTarget):
    """TeacherTarget with as many equal steps from gamma(t) down as keep each at most `size` of T:

        k = min(steps, ceil(gamma(t) / (size T)))

    where k of TeacherTarget is the same at every t. The teacher's calls go where its path is long, near T; a state at
    low noise costs one or two. Where gamma differs between samples, the largest that the shift can give decides for the
    batch.
    METHOD.md section 4: "fixed step size", one of the readings that Kohler et al. 2024, arXiv 2405.05224, leave open.

    Raises:
        ValueError: as TeacherTarget; a size outside (0, 1].
    """

    steps: int = 25  # the most of them
    size: float = 0.2  # of T

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.size <= 1:
            raise ValueError(f"FixedStepTarget size must be above 0 and at most 1 (of T), but got {self.size}.")

    def steps_at(self, state: State, process: NoiseProcess) -> int:
        _, gamma = self.shift.bounds(state.timestep, process, state.timesteps)
        # 9 digits: 0.6 T / (0.2 T) is 3, and not the 3.0000000000000004 that rounds up to 4
        return min(self.steps, math.ceil(round(gamma / (self.size * process.num_train_timesteps), 9)))
