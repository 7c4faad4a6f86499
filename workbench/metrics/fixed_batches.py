"""Every call with the same number of images, so that how they were split leaves no trace."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def in_fixed_batches(function: Callable[[Tensor], Tensor], images: Tensor, size: int) -> Tensor:
    """`function` (B, 3, H, W) -> (B, width) over all images, `size` at a time, the last part filled up with copies.

    A library may choose another algorithm, or another order of summation, for another batch: row i would then depend in
    its last bits on how the images were split over batches and ranks. images: at least 1. Result on the CPU.
    """
    rows = []
    for part in images.split(size):
        n = len(part)
        if n < size:
            part = torch.cat([part, part[-1:].expand(size - n, -1, -1, -1)])
        rows.append(function(part)[:n].cpu())
    return torch.cat(rows)
