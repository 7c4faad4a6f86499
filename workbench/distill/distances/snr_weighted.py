"""Another distance, weighted by the signal-to-noise ratio."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from workbench.diffusion import NoiseProcess
from workbench.distill.distances.base import Distance
from workbench.distill.distances.mse import MSE


@dataclass(frozen=True)
class SNRWeighted(Distance):
    """min(alpha_t^2 / sigma_t^2, maximum) distance: for MSE, and below the maximum, the squared error in eps.

    An x0-space error weights eps errors by sigma^2 / alpha^2, 213 : 8.5 : 0.9 at T, 2T/3 and T/3 of Stable Diffusion's
    schedule; this weight takes that back. Reference: Hang et al. 2023, arXiv 2303.09556 (min-SNR).
    ValueError unless maximum > 0.
    """

    distance: Distance = field(default_factory=MSE)
    maximum: float = 5.0

    def __post_init__(self) -> None:
        if not self.maximum > 0:
            raise ValueError(f"SNRWeighted maximum must be above 0, but got {self.maximum}.")

    @property
    def weighs_times(self) -> bool:
        return True

    def prepare(self, teacher: Any) -> SNRWeighted:
        return dataclasses.replace(self, distance=self.distance.prepare(teacher))

    def __call__(self, x0: Tensor, target: Tensor, t: Tensor, process: NoiseProcess) -> Tensor:
        snr = (process.alpha(t, x0) / process.sigma(t, x0)).square().flatten()
        return snr.clamp(max=self.maximum) * self.distance(x0, target, t, process)
