"""gamma measured so that the target has the teacher's spread."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.diffusion import NoiseProcess
from workbench.distill.shifts.base import Measure, ShiftSchedule
from workbench.distill.shifts.table import TableShift


@dataclass(frozen=True)
class CalibratedShift(ShiftSchedule):
    """The gamma(t) in [lowest t, t] at which std(target) / std(teacher at 25 steps) = 1, measured before training starts.

    A shift changes the spread of the target (method.md section 6: a gain above 1 for gamma below t, while a coarse teacher
    shrinks it); this one removes that effect, so that what remains is the shift's own. The ratio is measured with the
    untrained student (the teacher) at `points` levels a student time, and the crossing nearest to t is interpolated. Where
    there is none the level with the ratio nearest to 1 is taken, with a warning.

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
            ratios = [measure(t, gamma) for gamma in candidates]
            levels.append(max([_crossing(t, candidates, ratios), *levels]))
        return TableShift(times=tuple(rising), levels=tuple(levels))


def _crossing(t: int, levels: list[int], ratios: list[float]) -> int:
    """The level, from t downwards, at which the ratio first passes 1; the nearest to 1 if it never does."""
    if not np.isfinite(ratios).all():
        raise ValueError(
            f"CalibratedShift: the target's spread at t = {t} is not finite: {ratios}. Is the teacher sound?"
        )
    for (g0, r0), (g1, r1) in zip(
        zip(levels, ratios, strict=True), zip(levels[1:], ratios[1:], strict=True), strict=False
    ):
        if r0 == 1:
            return g0
        if (r0 - 1) * (r1 - 1) <= 0:
            return round(g0 + (g1 - g0) * (1 - r0) / (r1 - r0))
    nearest = int(np.argmin(np.abs(np.array(ratios) - 1)))
    warnings.warn(
        f"CalibratedShift: std(target) / std(teacher at 25 steps) never passes 1 at t = {t}; gamma = {levels[nearest]} "
        f"has the nearest, {ratios[nearest]:.3f}.",
        stacklevel=3,
    )
    return levels[nearest]
