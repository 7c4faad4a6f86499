"""gamma(t) = c t."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.diffusion import NoiseProcess
from workbench.distill.shifts.base import ShiftSchedule


@dataclass(frozen=True)
class ScaleShift(ShiftSchedule):
    """gamma(t) = c t: the teacher looks a little below the student's own noise level.

    Not to be confused with OffsetShift, gamma(t) = t + d T. ValueError unless 0 < c <= 1.
    """

    factor: float = 0.7  # c

    def __post_init__(self) -> None:
        if not 0 < self.factor <= 1:
            raise ValueError(
                f"ScaleShift factor must be above 0 and at most 1, but got {self.factor}: gamma(T) would leave the "
                "schedule. For a teacher above t use OffsetShift."
            )

    def level(self, t: int, process: NoiseProcess, timesteps: Sequence[int]) -> float:
        return self.factor * t
