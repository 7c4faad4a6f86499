"""Squared error."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from workbench.diffusion import NoiseProcess
from workbench.distill.distances.base import Distance


@dataclass(frozen=True)
class MSE(Distance):
    """mean (x0 - target)^2, the paper's distance."""

    def __call__(self, x0: Tensor, target: Tensor, t: Tensor, process: NoiseProcess) -> Tensor:
        return (x0 - target).square().flatten(1).mean(1)
