"""Timesteps: the student's grid tau_N = T > ... > tau_1, and the teacher's sub-steps below a given time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction

import torch

from workbench.diffusion.process import NoiseProcess


@dataclass(frozen=True)
class StudentGrid(ABC):
    """The times at which the student is called. tau_0 = 0 is not part of the list: it needs no network."""

    def timesteps(self, process: NoiseProcess, num_steps: int) -> list[int]:
        """num_steps distinct times in 1..T, noisiest first, beginning with T.

        Raises:
            ValueError: num_steps is not between 1 and T, or the grid has no such number of steps.
        """
        if not 1 <= num_steps <= process.num_train_timesteps:
            raise ValueError(
                f"num_steps must be between 1 and {process.num_train_timesteps} (the schedule's T), got {num_steps}."
            )
        return self._timesteps(process, num_steps)

    @abstractmethod
    def _timesteps(self, process: NoiseProcess, num_steps: int) -> list[int]: ...


@dataclass(frozen=True)
class TrailingGrid(StudentGrid):
    """Equal steps in t that end at T: {T, 2T/3, T/3} for three. diffusers' `timestep_spacing: trailing`, plus one.

    Reference: Lin et al. 2024, arXiv 2305.08891, table 2.
    """

    def _timesteps(self, process: NoiseProcess, num_steps: int) -> list[int]:
        return teacher_timesteps(process, process.num_train_timesteps, num_steps)


@dataclass(frozen=True)
class LogSNRGrid(StudentGrid):
    """Equal steps in log-SNR between T and t = 1, rounded to the nearest times, kept distinct.

    Where alpha_T = 0 the log-SNR of T is -inf: T is kept, and the spacing is counted from T - 1.
    Reference: Lu et al. 2022, arXiv 2206.00927, section 3.4 (their "logSNR" steps).
    """

    def _timesteps(self, process: NoiseProcess, num_steps: int) -> list[int]:
        T = process.num_train_timesteps
        log_snr = process.log_snr(torch.arange(1, T + 1))  # (T,), falling; log_snr[t - 1]
        noisiest = log_snr[-1] if log_snr[-1].isfinite() else log_snr[-2]
        cleanest = log_snr[0]
        times = [T]
        for i in range(1, num_steps):
            wanted = noisiest + (cleanest - noisiest) * i / num_steps
            nearest = int((log_snr - wanted).abs().argmin()) + 1
            # Distinct, and low enough a time left for every step still to come.
            times.append(max(min(nearest, times[-1] - 1), num_steps - i))
        return times


@dataclass(frozen=True)
class ExplicitGrid(StudentGrid):
    """Any list of times, noisiest first: ExplicitGrid(times=(1000, 750, 250)) serves num_steps = 3 and no other.

    Raises:
        ValueError: at construction if the times do not fall to at least 1; in `timesteps` if the list does not begin
            with T or num_steps is not its length.
    """

    times: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", tuple(int(t) for t in self.times))  # YAML gives a list
        if not self.times or any(a <= b for a, b in zip(self.times, (*self.times[1:], 0), strict=True)):
            raise ValueError(f"ExplicitGrid times must fall from the noisiest to at least 1, got {list(self.times)}.")

    def _timesteps(self, process: NoiseProcess, num_steps: int) -> list[int]:
        if self.times[0] != process.num_train_timesteps:
            raise ValueError(
                f"ExplicitGrid must begin at the noisiest step, T = {process.num_train_timesteps}, got {self.times[0]}."
            )
        if num_steps != len(self.times):
            raise ValueError(
                f"ExplicitGrid {list(self.times)} has {len(self.times)} steps, but {num_steps} were asked for. "
                f"Use num_steps: {len(self.times)}, or TrailingGrid."
            )
        return list(self.times)


def teacher_timesteps(process: NoiseProcess, start: int, steps: int) -> list[int]:
    """[0, start] in `steps` equal intervals, rounded to the schedule: start > ... > 0, without the 0.

    Distinct and falling: where start < steps, times that round to the same value, or to 0, are dropped.
    This is the "t/k" of METHOD.md section 2: the solver makes len - 1 moves and predicts x_0 at the last time.

    Raises:
        ValueError: start is not in 1..T, or steps < 1.
    """
    if not 1 <= start <= process.num_train_timesteps:
        raise ValueError(f"The teacher must start in 1..{process.num_train_timesteps}, got t = {start}.")
    if steps < 1:
        raise ValueError(f"The teacher needs at least 1 step, got {steps}.")
    # Fractions: halves round to even exactly, whatever start and steps are.
    times = {round(Fraction(start * j, steps)) for j in range(1, steps + 1)}
    return sorted(times - {0}, reverse=True)
