"""State: what a loss is computed at, with the random numbers that belong to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from workbench.diffusion import Draws
from workbench.distill.copies import Copy, CopyKind


@dataclass(frozen=True)
class Keyed:
    """The draws of one tick for one share of its batch: seed, step and sample indices are filled in, a name is asked
    for.

    Fields:
        draws: the run's randomness.
        step: the tick, >= 0.
        indices: global sample indices of this process' rows; row j of a draw depends on indices[j] alone.
        device: where the numbers go.
        prefix: put before every stream name, so that two states of one tick draw different numbers.
    """

    draws: Draws
    step: int
    indices: tuple[int, ...]
    device: torch.device | str = "cpu"
    prefix: str = ""

    def within(self, name: str) -> Keyed:
        """The same key under a longer prefix."""
        return dataclasses.replace(self, prefix=f"{self.prefix}{name}/")

    def normal(self, stream: str, shape: Sequence[int]) -> Tensor:
        """(B, *shape) float32, standard normal."""
        return self.draws.normal(self.prefix + stream, self.step, self.indices, shape, self.device)

    def uniform(self, stream: str) -> Tensor:
        """(B,) float64 in [0, 1) on the CPU."""
        return self.draws.uniform(self.prefix + stream, self.step, self.indices)

    def one(self, stream: str) -> np.random.Generator:
        """The generator of the tick as a whole, the same on every rank."""
        return self.draws.one(self.prefix + stream, self.step)


@dataclass(frozen=True)
class State:
    """A point of a trajectory at which the student is trained. The whole batch has one t, the same on every rank.

    Fields:
        x_t: (B, C, H, W), carries no gradient.
        t: (B,) long; `timestep` is the same as a number, so that nobody needs to read it back from the device.
        cond: (B, L, D), the text embedding.
        noise: (B, C, H, W), the noise that the state came from: x_T of a rollout, eps of a noised image.
        timesteps: the student's grid of this tick, noisiest first.
        index: position of timestep in timesteps.
        random: draws of this state.
        copies: of the student, those that the targets of this run ask for (Target.copies).
    """

    x_t: Tensor
    t: Tensor
    timestep: int
    cond: Tensor | None
    noise: Tensor
    timesteps: tuple[int, ...]
    index: int
    random: Keyed
    copies: Mapping[CopyKind, Copy] = field(default_factory=dict)
