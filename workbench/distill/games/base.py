"""Game: what critic and student each minimise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Game(ABC):
    """The two losses of an adversarial game over logits of any shape; high means "real"."""

    @abstractmethod
    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """(), minimised by the critic."""

    @abstractmethod
    def student(self, fake: Tensor) -> Tensor:
        """(), minimised by the student."""
