"""The hinge game."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from workbench.distill.games.base import Game


@dataclass(frozen=True)
class Hinge(Game):
    """Critic: E relu(1 - real) + E relu(1 + fake); student: -E fake. Reference: Lim & Ye 2017, arXiv 1705.02894."""

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        return (1 - real).relu().mean() + (1 + fake).relu().mean()

    def student(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake.mean()
