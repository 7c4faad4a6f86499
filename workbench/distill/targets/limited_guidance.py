"""TeacherTarget whose guidance acts at some noise levels alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.distill.state import State
from workbench.distill.targets.base import TeacherLike
from workbench.distill.targets.teacher import TeacherTarget


@dataclass(frozen=True)
class LimitedGuidanceTarget(TeacherTarget):
    """TeacherTarget under classifier-free guidance at the teacher's times within `interval` (shares of T, both ends
    included), and without it, at scale 1, at all others. What counts is where the teacher looks: gamma, and below it.

    Reference: Kynkaanniemi et al. 2024, arXiv 2404.07724, who limit guidance to the middle of sampling.

    Raises:
        ValueError: as TeacherTarget; an interval that is not 0 <= low <= high <= 1.
    """

    interval: tuple[float, float] = (0.2, 0.7)

    def __post_init__(self) -> None:
        super().__post_init__()
        interval = tuple(self.interval)
        if len(interval) != 2 or not 0 <= interval[0] <= interval[1] <= 1:
            raise ValueError(
                f"LimitedGuidanceTarget interval must be 0 <= low <= high <= 1 (of T), but got {list(interval)}."
            )
        object.__setattr__(self, "interval", interval)

    def scale(self, state: State, teacher: TeacherLike) -> Callable[[Tensor], Tensor]:
        given = super().scale(state, teacher)
        x = state.x_t
        inside = torch.as_tensor(teacher.guidance_scale if given is None else given, dtype=x.dtype, device=x.device)
        low, high = (share * teacher.process.num_train_timesteps for share in self.interval)
        return lambda t: torch.where((low <= t) & (t <= high), inside, 1.0)
