"""gamma measured so that the target has the teacher's spread."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.diffusion import NoiseProcess
from workbench.distill.shifts.base import Measure, ShiftSchedule
from workbench.distill.shifts.table import TableShift


@dataclass(frozen=True)
class CalibratedShift(ShiftSchedule):
    """The gamma(t) in [lowest t, t] at which std(target) / std(teacher at 25 steps) = 1, measured before training
    starts.

    A shift changes the spread of the target (METHOD.md section 6: a gain above 1 for gamma below t, while a coarse
    teacher shrinks it); this one removes that effect, so that what remains is the shift's own. Levels are tried from t
    downwards until the ratio passes 1, and the crossing is interpolated. Where there is none the level with the ratio
    nearest to 1 is taken, with a warning. The ratio is that of a student which has learnt its target
    (`Diagnostics.spread`).

    Raises:
        ValueError: unless 0 < lowest < 1 and points >= 2; or if it is used before it was calibrated.
    """

    lowest: float = 0.2  # of t
    points: int = 7  # measured levels a student time

    def __post_init__(self) -> None:
        if not 0 < self.lowest < 1 or self.points < 2:
            raise ValueError(
                f"CalibratedShift needs 0 < lowest < 1 and points >= 2, but got {self.lowest} and {self.points}."
            )

    @property
    def needs_calibration(self) -> bool:
        return True

    def level(self, t: int, process: NoiseProcess, timesteps: Sequence[int]) -> float:
        raise ValueError("CalibratedShift has no levels before it was calibrated with the teacher (calibrate()).")

    def calibrate(self, measure: Measure, process: NoiseProcess, times: Sequence[int]) -> TableShift:
        """The measured table. `times` in any order; a level never lies below that of a smaller time."""
        rising = sorted(set(times))
        levels: list[int] = []
        for t in rising:
            candidates = sorted({max(1, round(t * f)) for f in np.linspace(self.lowest, 1, self.points)}, reverse=True)
            levels.append(max([_crossing(t, candidates, measure), *levels]))
        return TableShift(times=tuple(rising), levels=tuple(levels))


def _crossing(t: int, candidates: list[int], measure: Measure) -> int:
    """The level, from t downwards, at which the ratio first passes 1; the nearest to 1 if it never does."""
    ratios: dict[int, float] = {}
    above, before = candidates[0], 1.0
    for gamma in candidates:
        ratios[gamma] = ratio = measure(t, gamma)
        if not math.isfinite(ratio):
            raise ValueError(f"CalibratedShift: the target's spread at t = {t} is not finite ({ratio}).")
        if len(ratios) > 1 and (before - 1) * (ratio - 1) <= 0:
            return round(above + (gamma - above) * (1 - before) / (ratio - before))
        above, before = gamma, ratio
    nearest = min(ratios, key=lambda gamma: abs(ratios[gamma] - 1))
    warnings.warn(
        f"CalibratedShift: std(target) / std(teacher at 25 steps) never passes 1 at t = {t}; gamma = {nearest} has the "
        f"nearest, {ratios[nearest]:.3f}.",
        stacklevel=3,
    )
    return nearest
