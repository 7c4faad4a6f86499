"""The trajectory of the student's average."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.distill.copies import AverageKind, CopyKind
from workbench.distill.trajectories.backward import Backward
from workbench.distill.trajectories.base import Start, States, Trajectory


@dataclass(frozen=True)
class AveragedBackward(Trajectory):
    """Backward distillation whose rollout is that of an average of the student, avg <- decay avg + (1 - decay) student
    after every update: the states change more slowly than the student does, and with model.ema's decay they are those
    of the average that is sampled with. One of the student's times is drawn, as with Backward.

    METHOD.md section 4, EMA in the rollout; the paper does not say. ValueError unless 0 <= decay < 1.
    """

    decay: float = 0.95

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise ValueError(f"AveragedBackward decay must be at least 0 and below 1, but got {self.decay}.")

    @property
    def copies(self) -> Sequence[CopyKind]:
        return (AverageKind(self.decay),)

    def walk(self, start: Start) -> States:
        average = start.copies[AverageKind(self.decay)].bind(start.cond)
        yield from Backward().walk(dataclasses.replace(start, denoise=average))
