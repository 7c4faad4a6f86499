"""gamma drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from workbench.diffusion import NoiseProcess, Timestep
from workbench.distill.shifts.base import ShiftSchedule
from workbench.distill.state import State


@dataclass(frozen=True)
class RandomShift(ShiftSchedule):
    """gamma uniform in [low T, high T], whatever t: score distillation draws the teacher's level, for each sample or
    one a batch (ADD: Sauer et al. 2023, arXiv 2311.17042; DMD: Yin et al. 2024, arXiv 2405.14867).

    Where a single number is asked for, as a function of t, it is the middle of the range.
    ValueError unless 0 <= low <= high <= 1 and high > 0.
    """

    low: float = 0.02  # of T; a level that rounds to 0 becomes 1
    high: float = 0.98
    per: Literal["sample", "batch"] = "sample"

    def __post_init__(self) -> None:
        if not (0 <= self.low <= self.high <= 1 and self.high > 0):
            raise ValueError(
                f"RandomShift needs 0 <= low <= high <= 1 (of T), high above 0, but got {self.low} and {self.high}."
            )

    def level(self, t: int, process: NoiseProcess, timesteps: Sequence[int]) -> float:
        return max(1.0, (self.low + self.high) / 2 * process.num_train_timesteps)

    def at(self, state: State, process: NoiseProcess) -> Timestep:
        T = process.num_train_timesteps
        if self.per == "batch":
            share = self.low + (self.high - self.low) * state.random.one("shift").random()
            return max(1, round(share * T))
        shares = self.low + (self.high - self.low) * state.random.uniform("shift")  # (B,)
        return (shares * T).round().long().clamp(min=1).to(state.x_t.device)

    def bounds(self, t: int, process: NoiseProcess, timesteps: Sequence[int]) -> tuple[int, int]:
        T = process.num_train_timesteps
        return max(1, round(self.low * T)), max(1, round(self.high * T))
