"""A curriculum over the number of steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

from workbench.diffusion import NoiseProcess, StudentGrid, TrailingGrid
from workbench.distill.copies import CopyKind
from workbench.distill.trajectories.base import Start, States, Trajectory
from workbench.distill.trajectories.forward import Forward


@dataclass(frozen=True)
class Staged(Trajectory):
    """Stages of equal length, each with fewer student steps than the one before; the last is the number that is
    sampled with. With ProgressiveTarget this is progressive distillation, whose stages halve.

    The trajectory itself is that of `trajectory`, on the grid of the stage.
    Reference: Salimans & Ho 2022, arXiv 2202.00512, algorithm 2.

    Raises:
        ValueError: the numbers do not fall; in `grids`, the last is none that the student samples with.
    """

    trajectory: Trajectory = field(default_factory=Forward)
    stages: tuple[int, ...] = (16, 8, 4)  # student steps
    grid: StudentGrid = field(default_factory=TrailingGrid)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))  # YAML gives a list
        if not self.stages or any(a <= b for a, b in zip(self.stages, (*self.stages[1:], 0), strict=True)):
            raise ValueError(f"Staged stages must fall to at least 1 student step, but got {list(self.stages)}.")

    @property
    def needs_images(self) -> bool:
        return self.trajectory.needs_images

    @property
    def copies(self) -> Sequence[CopyKind]:
        return self.trajectory.copies

    def grids(self, process: NoiseProcess, grids: Sequence[Sequence[int]]) -> Sequence[Sequence[int]]:
        own = [tuple(self.grid.timesteps(process, steps)) for steps in self.stages]
        if any(tuple(grid) != own[-1] for grid in grids):
            raise ValueError(
                f"Staged ends with {self.stages[-1]} steps at {list(own[-1])}, but the student samples at "
                f"{[list(grid) for grid in grids]}. Set model.num_steps to [{self.stages[-1]}], or end the stages "
                "there, and give both the same grid."
            )
        return [times for grid in own for times in self.trajectory.grids(process, [grid])]

    def stage(self, progress: float) -> int:
        # a little more, since 1/3 of the updates times 3 stages may round to below 1
        return min(int(progress * len(self.stages) + 1e-9), len(self.stages) - 1)

    def walk(self, start: Start) -> States:
        steps = self.stages[self.stage(start.progress)]
        grid = tuple(self.grid.timesteps(start.process, steps))
        yield from self.trajectory.walk(dataclasses.replace(start, timesteps=grid))
