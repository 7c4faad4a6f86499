"""log-SNR(gamma(t)) = log-SNR(t) + delta."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from workbench.diffusion import NoiseProcess
from workbench.distill.shifts.base import ShiftSchedule


@dataclass(frozen=True)
class LogSNRShift(ShiftSchedule):
    """The time whose log(alpha^2 / sigma^2) is that of t plus delta: delta > 0 looks below the student's level.

    The nearest time of the schedule is taken. Where alpha_T = 0 the log-SNR of T is -inf and is counted from T - 1, as
    in LogSNRGrid. ValueError for a delta that is not finite.
    """

    delta: float = 1.5  # nats of log(alpha^2 / sigma^2)

    def __post_init__(self) -> None:
        if not abs(self.delta) < float("inf"):
            raise ValueError(f"LogSNRShift delta must be a finite number, but got {self.delta}.")

    def level(self, t: int, process: NoiseProcess, timesteps: Sequence[int]) -> float:
        log_snr = process.log_snr(torch.arange(1, process.num_train_timesteps + 1))  # (T,), falling; log_snr[t - 1]
        if not log_snr[-1].isfinite():
            log_snr[-1] = log_snr[-2]
        return int((log_snr - (log_snr[t - 1] + self.delta)).abs().argmin()) + 1
