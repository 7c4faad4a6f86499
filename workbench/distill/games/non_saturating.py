"""The non-saturating game."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import softplus

from workbench.distill.games.base import Game


@dataclass(frozen=True)
class NonSaturating(Game):
    """Critic: E softplus(-real) + E softplus(fake); student: E softplus(-fake).

    Reference: Goodfellow et al. 2014, arXiv 1406.2661, section 3.
    """

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(-real).mean() + softplus(fake).mean()

    def student(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return softplus(-fake).mean()
