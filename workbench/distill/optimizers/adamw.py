"""AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from workbench.distill.optimizers.base import OptimizerKind


@dataclass(frozen=True)
class AdamW(OptimizerKind):
    """Adam with decoupled weight decay. Reference: Loshchilov & Hutter 2019, arXiv 1711.05101."""

    betas: tuple[float, float] = (0.9, 0.99)  # .99, not .999: runs are a few hundred updates long
    eps: float = 1e-8
    weight_decay: float = 0.0

    def make(self, parameters: Iterable[nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
        first, second = self.betas
        return torch.optim.AdamW(
            parameters, lr=learning_rate, betas=(first, second), eps=self.eps, weight_decay=self.weight_decay
        )
