"""Between squared and absolute error."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from workbench.diffusion import NoiseProcess
from workbench.distill.distances.base import Distance


@dataclass(frozen=True)
class PseudoHuber(Distance):
    """mean (sqrt((x0 - target)^2 + c^2) - c): |error| far from 0, error^2 / 2c near it.

    Element by element; not to be confused with the variant over the norm of the whole image (Song & Dhariwal 2023).
    ValueError unless c > 0.
    """

    c: float = 0.1  # in units of the latents, whose standard deviation is about 1

    def __post_init__(self) -> None:
        if not self.c > 0:
            raise ValueError(f"PseudoHuber c must be above 0, but got {self.c}. Use L1 for c = 0.")

    def __call__(self, x0: Tensor, target: Tensor, t: Tensor, process: NoiseProcess) -> Tensor:
        squared = (x0 - target).square()
        # squared / (sqrt + c) is sqrt - c without the cancellation near 0
        return (squared / ((squared + self.c**2).sqrt() + self.c)).flatten(1).mean(1)
