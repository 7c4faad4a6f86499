"""Absolute error."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from workbench.diffusion import NoiseProcess
from workbench.distill.distances.base import Distance


@dataclass(frozen=True)
class L1(Distance):
    """mean |x0 - target|."""

    def __call__(self, x0: Tensor, target: Tensor, t: Tensor, process: NoiseProcess) -> Tensor:
        return (x0 - target).abs().flatten(1).mean(1)
