"""Target: what the student's x0 is pulled towards."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from workbench.diffusion import Denoise, NoiseProcess, Prediction, Sampler
from workbench.distill.copies import CopyKind
from workbench.distill.state import State
from workbench.distill.trajectories import Trajectory

GuidanceScale = float | Tensor | Callable[[Tensor], Tensor]  # a number, (B,), or a function of t, (B,) long -> (B,)


class Bindable(Protocol):
    """A denoiser that waits for its condition."""

    def bind(self, cond: Tensor) -> Denoise:
        """(x_t, t) -> Prediction with the condition (B, L, D) filled in."""


class TeacherLike(Protocol):
    """What a target needs of a teacher: its process, and its denoiser under guidance."""

    @property
    def process(self) -> NoiseProcess:
        """alpha and sigma."""

    @property
    def guidance_scale(self) -> float:
        """Its own."""

    def guided(self, guidance_scale: GuidanceScale | None = None) -> Bindable:
        """The teacher at a scale; None takes its own."""


@dataclass(frozen=True)
class Target(ABC):
    """(state, the student's prediction there, teacher) -> an x0 to approach. Constant: no gradient passes through
    it."""

    @abstractmethod
    def __call__(self, state: State, pred: Prediction, teacher: TeacherLike) -> Tensor:
        """(B, C, H, W), at least float32, detached. `pred` is detached, before noise correction."""

    @property
    def copies(self) -> Sequence[CopyKind]:
        """Copies of the student that are looked at, then found in `State.copies`."""
        return ()

    def weights(self, state: State, process: NoiseProcess) -> Tensor | None:
        """How much each sample's distance to the target counts, (B,); None = all alike."""
        return None

    def check(self, process: NoiseProcess, grids: Sequence[Sequence[int]]) -> None:  # noqa: B027  # most refuse nothing
        """Refuse what cannot work, at construction: ValueError naming the remedy.

        Args:
            grids: each list of student times that training will use.
        """

    def check_parts(self, sampler: Sampler, trajectory: Trajectory) -> None:  # noqa: B027
        """ValueError, naming the remedy, if the target cannot work with this sampler of the student or trajectory."""

    @property
    def needs_calibration(self) -> bool:
        """Whether :meth:`calibrate` must be called before the first use."""
        return False

    def calibrate(self, spread: Callable[[Target, int], float], process: NoiseProcess, times: Sequence[int]) -> Target:
        """The target to train with. spread(target, t) = std(target) / std(teacher at 25 steps) at the student's time
        t."""
        return self
