"""gamma(t) = t + d T."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.diffusion import NoiseProcess
from workbench.distill.shifts.base import ShiftSchedule


@dataclass(frozen=True)
class OffsetShift(ShiftSchedule):
    """gamma(t) = t + d T, cut at T: d > 0 looks above the student's level ("up"), d < 0 below ("down").

    Not to be confused with ScaleShift, gamma(t) = c t. ValueError unless -1 < d < 1; and, when used, if t + d T < 1.
    """

    offset: float = -0.1  # d, of T

    def __post_init__(self) -> None:
        if not -1 < self.offset < 1:
            raise ValueError(f"OffsetShift offset is a fraction of T, between -1 and 1, but got {self.offset}.")

    def level(self, t: int, process: NoiseProcess, timesteps: Sequence[int]) -> float:
        return t + self.offset * process.num_train_timesteps
