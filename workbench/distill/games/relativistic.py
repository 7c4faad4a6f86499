"""The relativistic game."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import softplus

from workbench.distill.games.base import Game


@dataclass(frozen=True)
class Relativistic(Game):
    """Critic: E softplus(fake - real); student: E softplus(real - fake), pair by pair: only differences count.

    Reference: Jolicoeur-Martineau 2018, arXiv 1807.00734; with a gradient penalty it is the loss of R3GAN, Huang et al.
    2024, arXiv 2501.05441.
    """

    relative: ClassVar[bool] = True

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(fake - real).mean()

    def student(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        if real is None:
            raise ValueError("Relativistic compares: the student's loss needs the logits of the real side too.")
        return softplus(real - fake).mean()
