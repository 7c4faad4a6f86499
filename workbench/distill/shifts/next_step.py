"""gamma(t) = the student's next time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.diffusion import NoiseProcess
from workbench.distill.shifts.base import ShiftSchedule


@dataclass(frozen=True)
class NextStepShift(ShiftSchedule):
    """gamma(tau_n) = tau_(n-1): the teacher looks where the student will stand next.

    The next time of the last step is 0, where the loss would be zero; there gamma is `last` times t.
    ValueError unless 0 < last <= 1.
    """

    last: float = 0.5  # of t, at the student's last step

    def __post_init__(self) -> None:
        if not 0 < self.last <= 1:
            raise ValueError(f"NextStepShift last must be above 0 and at most 1, but got {self.last}.")

    def level(self, t: int, process: NoiseProcess, timesteps: Sequence[int]) -> float:
        below = [time for time in timesteps if time < t]
        return max(below) if below else self.last * t
