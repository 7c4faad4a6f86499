"""Counter-based randomness: a draw is a function of (seed, stream, step, sample index) and of nothing else.

So a resumed run needs no generator state, and a result does not depend on batch split, world size, workers or device.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_SHARED = 2**64 - 1  # the index of draws that belong to a step, not to a sample


@dataclass(frozen=True)
class Draws:
    """Every random number of a run.

    Sample i of step n of a stream has its own generator, Philox with key = hash(seed, stream) and counter = (n, i):
    generators of different keys or counters never overlap. Numbers are made on the CPU, hence equal on every device.
    Reference: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Philox).
    """

    seed: int  # any integer

    def normal(
        self,
        stream: str,
        step: int,
        indices: Sequence[int] | Tensor,
        shape: Sequence[int],
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Standard normal noise, (len(indices), *shape) float32; row j depends on indices[j] alone."""
        rows = np.empty((len(indices), math.prod(shape)), dtype=np.float32)
        for row, index in zip(rows, _ints(indices), strict=True):
            self._generator(stream, step, index).standard_normal(dtype=np.float32, out=row)
        return torch.from_numpy(rows).view(len(indices), *shape).to(device or "cpu")

    def uniform(self, stream: str, step: int, indices: Sequence[int] | Tensor) -> Tensor:
        """Uniform in [0, 1), (n,) float64 on the CPU."""
        return torch.tensor([self._generator(stream, step, i).random() for i in _ints(indices)], dtype=torch.float64)

    def integers(self, stream: str, step: int, low: int, high: int, indices: Sequence[int] | Tensor) -> Tensor:
        """Uniform integers in low..high - 1, (n,) long on the CPU. ValueError unless low < high."""
        if low >= high:
            raise ValueError(f"Draws.integers: low must be below high, got {low} and {high}.")
        drawn = [int(self._generator(stream, step, i).integers(low, high)) for i in _ints(indices)]
        return torch.tensor(drawn, dtype=torch.long)

    def one(self, stream: str, step: int) -> np.random.Generator:
        """The generator of a step as a whole, the same on every rank: for what a batch shares (t, N, permutations)."""
        return self._generator(stream, step, _SHARED)

    def _generator(self, stream: str, step: int, index: int) -> np.random.Generator:
        assert step >= 0 and 0 <= index <= _SHARED, (step, index)
        digest = hashlib.sha256(f"{self.seed}/{stream}".encode()).digest()
        # Philox counts in the low words; step and index sit in the high ones, so no two streams can meet.
        counter = np.array([0, 0, index, step], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=np.frombuffer(digest[:16], dtype=np.uint64), counter=counter))


def _ints(indices: Sequence[int] | Tensor) -> list[int]:
    return [int(i) for i in (indices.tolist() if isinstance(indices, Tensor) else indices)]
