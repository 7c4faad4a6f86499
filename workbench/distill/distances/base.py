"""Distance: how far the student's x0 is from the target, a sample at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from workbench.diffusion import NoiseProcess


@dataclass(frozen=True)
class Distance(ABC):
    """(x0, target) -> one number >= 0 a sample, 0 where they are equal; means over the elements, in float32."""

    @property
    def weighs_times(self) -> bool:
        """Whether the distance is nothing but another one, times a factor that depends on t."""
        return False

    def prepare(self, teacher: Any) -> Distance:
        """The distance with what it needs of a teacher, on its device; asked for once, before training.

        Raises:
            ValueError: a file that it needs is not there, or is another one.
        """
        return self

    @abstractmethod
    def __call__(self, x0: Tensor, target: Tensor, t: Tensor, process: NoiseProcess) -> Tensor:
        """x0, target: (B, C, H, W), float32; t: (B,) long. Returns (B,)."""
