"""What every critic does alike: one step of its own optimiser, the same on every process."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from workbench.distill.ranks import average_gradients


def critic_step(loss: Tensor, parameters: Sequence[nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
    """Step `optimizer` down the gradient of `loss`, (), averaged over the processes.

    DDP knows the student alone, and a critic learns within the student's tick: its gradients are taken apart from the
    student's, and none is left behind.
    """
    gradients = torch.autograd.grad(loss, list(parameters))
    for parameter, gradient in zip(parameters, average_gradients(gradients), strict=True):
        parameter.grad = gradient
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
