"""The few collectives that distillation needs besides the gradients of the student, which are DDP's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Number of processes; 1 without torch.distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def mean_over_ranks(value: Tensor) -> Tensor:
    """The mean over the processes, detached; with equal shares the mean over the global batch."""
    value = value.detach()
    if world_size() == 1:
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total / world_size()


def max_over_ranks(value: Tensor) -> Tensor:
    """The elementwise maximum over the processes, detached."""
    value = value.detach()
    if world_size() == 1:
        return value
    largest = value.clone()
    dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    return largest


def average_gradients(gradients: Sequence[Tensor]) -> list[Tensor]:
    """Gradients averaged over the processes in one collective; for networks that DDP does not know."""
    if world_size() == 1:
        return list(gradients)
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    flat /= world_size()
    return [part.view_as(g) for part, g in zip(flat.split([g.numel() for g in gradients]), gradients, strict=True)]
