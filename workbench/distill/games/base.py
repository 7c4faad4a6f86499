"""Game: what critic and student each minimise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor


@dataclass(frozen=True)
class Game(ABC):
    """The two losses of an adversarial game over logits of any shape; high means "real".

    Class attributes:
        relative: real and fake logits are compared pair by pair, of one caption and one noise level each: the student's
            side is given `real` too, as constants.
    """

    relative: ClassVar[bool] = False

    @abstractmethod
    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """(), minimised by the critic."""

    def accuracy(self, real: Tensor, fake: Tensor) -> Tensor:
        """(), the share of logits on their side of 0; of pairs in the right order where the game is relative."""
        if self.relative:
            return (real > fake).float().mean()
        return ((real > 0).float().mean() + (fake < 0).float().mean()) / 2

    @abstractmethod
    def student(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """(), minimised by the student. `real` is given where the game is relative."""
