"""ShiftSchedule: gamma(t), the noise level at which the teacher looks at the student's prediction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workbench.diffusion import NoiseProcess, Timestep
from workbench.distill.state import State

Measure = Callable[[int, int], float]  # (t, gamma) -> std(target) / std(teacher at 25 steps)


@dataclass(frozen=True)
class ShiftSchedule(ABC):
    """gamma: a student time t in 1..T -> the teacher's time, an integer in 1..T.

    Reference: Kohler et al. 2024, arXiv 2405.05224, shifted reconstruction loss; the paper leaves gamma free.
    """

    def __call__(self, t: int, process: NoiseProcess, timesteps: Sequence[int]) -> int:
        """gamma(t), rounded to the teacher's discrete times; levels above T become T.

        Args:
            t: one of `timesteps`.
            timesteps: the student's grid, noisiest first, without 0.

        Raises:
            ValueError: gamma(t) rounds to 0 or less. There the target is the student's own x0: a loss of zero.
        """
        T = process.num_train_timesteps
        gamma = round(self.level(t, process, timesteps))
        if gamma < 1:
            raise ValueError(
                f"{self!r} puts the teacher at gamma({t}) = {gamma}, where the target is the student's own x0 and the "
                f"loss is zero. Choose a shift with gamma(t) >= 1 at every student time {list(timesteps)}."
            )
        return min(gamma, T)

    def at(self, state: State, process: NoiseProcess) -> Timestep:
        """gamma at a state: a number for the batch, or (B,) long, one a sample; for a schedule that draws (from
        `state.random`, so that every part which asks at one state gets the same answer)."""
        return self(state.timestep, process, state.timesteps)

    def bounds(self, t: int, process: NoiseProcess, timesteps: Sequence[int]) -> tuple[int, int]:
        """The lowest and the highest gamma that :meth:`at` can give at t."""
        gamma = self(t, process, timesteps)
        return gamma, gamma

    @abstractmethod
    def level(self, t: int, process: NoiseProcess, timesteps: Sequence[int]) -> float:
        """gamma(t) before rounding, in times 0..T; never falling in t."""

    @property
    def needs_calibration(self) -> bool:
        """Whether :meth:`calibrate` must be called before the first use."""
        return False

    def calibrate(self, measure: Measure, process: NoiseProcess, times: Sequence[int]) -> ShiftSchedule:
        """The schedule to train with, from measurements at the student's `times`; schedules without measurements are
        it."""
        return self
