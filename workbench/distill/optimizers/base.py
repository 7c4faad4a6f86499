"""OptimizerKind: how the student's parameters move."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class OptimizerKind(ABC):
    """Makes an optimiser; the learning rate is set before every step by the schedule."""

    @abstractmethod
    def make(self, parameters: Iterable[nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
        """A torch optimiser over the student's trainable parameters."""
