"""Trajectory: where the student is trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from workbench.diffusion import Denoise, NoiseProcess, Prediction, Sampler
from workbench.distill.copies import Copy, CopyKind
from workbench.distill.state import Keyed, State

States = Generator[State, Prediction | None, None]


LARGEST_POWER = 20.0  # (2/3)^20 is 0.0003: beyond it, one time alone


def check_power(power: float, name: str) -> None:
    """ValueError for a power that :meth:`Start.draw_index` has no use for."""
    if not -LARGEST_POWER <= power <= LARGEST_POWER:
        raise ValueError(f"{name} power must be between {-LARGEST_POWER:g} and {LARGEST_POWER:g}, but got {power}.")


@dataclass(frozen=True)
class Start:
    """What a trajectory begins with: one tick of training.

    Fields:
        process: alpha and sigma.
        denoise: the student, bound to its condition, called without gradient.
        cond: (B, L, D) text embedding, or None.
        shape: (C, H, W) of a latent.
        timesteps: the student's grid of this tick, noisiest first.
        sampler: the sampler of inference, noise correction included.
        latents: (B, C, H, W) of real images; None unless the trajectory needs them.
        random: the draws of this tick.
        progress: share of the student updates that are done, 0 <= progress < 1.
        copies: of the student, those that the trajectory asks for among them.
    """

    process: NoiseProcess
    denoise: Denoise
    cond: Tensor | None
    shape: tuple[int, int, int]
    timesteps: tuple[int, ...]
    sampler: Sampler
    latents: Tensor | None
    random: Keyed
    progress: float = 0.0
    copies: Mapping[CopyKind, Copy] = field(default_factory=dict)

    def draw_index(self, power: float = 0.0) -> int:
        """A position in `timesteps`, with probabilities that go as t^power (0: uniform); the same on every rank, as a
        rank with a shorter rollout would wait."""
        generator = self.random.one("index")
        if power == 0:
            return int(generator.integers(len(self.timesteps)))
        weights = np.asarray([t / max(self.timesteps) for t in self.timesteps]) ** power
        return int(generator.choice(len(weights), p=weights / weights.sum()))


@dataclass(frozen=True)
class Trajectory(ABC):
    """Yields the states of one tick. Send the student's prediction back, and going on costs no network call of its
    own."""

    @property
    def needs_images(self) -> bool:
        """Whether `Start.latents` is read: then the data source must have images, and they are encoded."""
        return False

    @property
    def copies(self) -> Sequence[CopyKind]:
        """Copies of the student that :meth:`walk` looks at, then found in `Start.copies`."""
        return ()

    def grids(self, process: NoiseProcess, grids: Sequence[Sequence[int]]) -> Sequence[Sequence[int]]:
        """The lists of times that the states come from, where the student samples at `grids`.

        Raises:
            ValueError: the trajectory cannot work with these times; names the remedy.
        """
        return grids

    def stage(self, progress: float) -> int:
        """The stage of a curriculum after this share of the student updates, from 0, never falling."""
        return 0

    @abstractmethod
    def walk(self, start: Start) -> States:
        """One or several states, noisiest first."""
