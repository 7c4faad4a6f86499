"""gamma(t) = c T."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.diffusion import NoiseProcess
from workbench.distill.shifts.base import ShiftSchedule


@dataclass(frozen=True)
class ConstantShift(ShiftSchedule):
    """gamma(t) = c T: the teacher always looks at the same level, whatever the student's.

    ValueError unless 0 < c <= 1.
    """

    fraction: float = 0.5  # c, of T

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise ValueError(f"ConstantShift fraction must be above 0 and at most 1 (of T), but got {self.fraction}.")

    def level(self, t: int, process: NoiseProcess, timesteps: Sequence[int]) -> float:
        return self.fraction * process.num_train_timesteps
