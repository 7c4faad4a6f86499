"""gamma(t) = t."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.diffusion import NoiseProcess
from workbench.distill.shifts.base import ShiftSchedule


@dataclass(frozen=True)
class IdentityShift(ShiftSchedule):
    """gamma(t) = t: no shift. With the student's own noise this is plain backward (or forward) distillation."""

    def level(self, t: int, process: NoiseProcess, timesteps: Sequence[int]) -> float:
        return t
