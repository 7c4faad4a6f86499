"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from workbench.distill.optimizers.base import OptimizerKind


@dataclass(frozen=True)
class SGD(OptimizerKind):
    """theta <- theta - lr (momentum-averaged) gradient: linear in the gradient, for comparisons of gradients."""

    momentum: float = 0.0

    def make(self, parameters: Iterable[nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=learning_rate, momentum=self.momentum)
