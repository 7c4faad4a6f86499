"""gamma(t) = T (t / T)^p."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.diffusion import NoiseProcess
from workbench.distill.shifts.base import ShiftSchedule


@dataclass(frozen=True)
class PowerShift(ShiftSchedule):
    """gamma(t) = T (t / T)^p: p > 1 looks below the student's level, least at T; p < 1 above. gamma(T) = T for every p.

    ValueError unless p > 0.
    """

    exponent: float = 1.5  # p

    def __post_init__(self) -> None:
        if not self.exponent > 0:
            raise ValueError(f"PowerShift exponent must be above 0, but got {self.exponent}.")

    def level(self, t: int, process: NoiseProcess, timesteps: Sequence[int]) -> float:
        T = process.num_train_timesteps
        return T * (t / T) ** self.exponent
