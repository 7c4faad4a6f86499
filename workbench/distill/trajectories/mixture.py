"""Forward and backward by turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from workbench.diffusion import NoiseProcess
from workbench.distill.copies import CopyKind
from workbench.distill.trajectories.backward import Backward
from workbench.distill.trajectories.base import Start, States, Trajectory
from workbench.distill.trajectories.forward import Forward


@dataclass(frozen=True)
class Mixture(Trajectory):
    """Each tick follows `first` with a probability that goes linearly from `share_start` to `share_end` over the share
    `until` of the student updates, and stays there; otherwise `second`. Equal shares are a mixture without a
    curriculum.

    ValueError unless the shares are in [0, 1] and 0 < until <= 1.
    """

    first: Trajectory = field(default_factory=Forward)
    second: Trajectory = field(default_factory=Backward)
    share_start: float = 0.5
    share_end: float = 0.0
    until: float = 0.5  # of the student updates

    def __post_init__(self) -> None:
        if not (0 <= self.share_start <= 1 and 0 <= self.share_end <= 1 and 0 < self.until <= 1):
            raise ValueError(
                "Mixture needs share_start and share_end between 0 and 1 and until above 0 and at most 1, but got "
                f"{self.share_start}, {self.share_end} and {self.until}."
            )

    @property
    def needs_images(self) -> bool:
        return self.first.needs_images or self.second.needs_images

    @property
    def copies(self) -> Sequence[CopyKind]:
        return [*self.first.copies, *self.second.copies]

    def grids(self, process: NoiseProcess, grids: Sequence[Sequence[int]]) -> Sequence[Sequence[int]]:
        return [*self.first.grids(process, grids), *self.second.grids(process, grids)]

    def stage(self, progress: float) -> int:
        return max(self.first.stage(progress), self.second.stage(progress))

    def share(self, progress: float) -> float:
        """Probability of `first` after this share of the student updates."""
        return self.share_start + (self.share_end - self.share_start) * min(progress / self.until, 1.0)

    def walk(self, start: Start) -> States:
        is_first = start.random.one("mixture").random() < self.share(start.progress)
        yield from (self.first if is_first else self.second).walk(start)
