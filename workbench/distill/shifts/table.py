"""gamma as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.diffusion import NoiseProcess
from workbench.distill.shifts.base import ShiftSchedule


@dataclass(frozen=True)
class TableShift(ShiftSchedule):
    """gamma(times[i]) = levels[i], linear in between, from (0, 0) to (T, levels[-1]).

    ValueError unless both have the same length, times rise, and levels never fall and are at least 1; when it is asked,
    for times or levels above T.
    """

    times: tuple[int, ...] = (1000,)  # student times in 1..T
    levels: tuple[int, ...] = (700,)  # gamma at those times, in 1..T

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", tuple(self.times))  # YAML gives lists
        object.__setattr__(self, "levels", tuple(self.levels))
        if not self.times or len(self.times) != len(self.levels):
            raise ValueError(
                f"TableShift needs as many levels as times, at least one, but got {len(self.times)} and "
                f"{len(self.levels)}."
            )
        if any(a >= b for a, b in zip((0, *self.times), self.times, strict=False)):
            raise ValueError(f"TableShift times must rise from at least 1, but got {list(self.times)}.")
        if self.levels[0] < 1 or any(a > b for a, b in zip(self.levels, self.levels[1:], strict=False)):
            raise ValueError(f"TableShift levels must be at least 1 and never fall, but got {list(self.levels)}.")

    def level(self, t: int, process: NoiseProcess, timesteps: Sequence[int]) -> float:
        T = process.num_train_timesteps
        if self.times[-1] > T or self.levels[-1] > T:
            raise ValueError(
                f"TableShift: times and levels must be at most the schedule's T = {T}, but got {list(self.times)} and "
                f"{list(self.levels)}."
            )
        return float(np.interp(t, (0, *self.times), (0, *self.levels)))
