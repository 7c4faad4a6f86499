"""Noised real images at more times than the student samples at."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

from workbench.diffusion import NoiseProcess, StudentGrid, TrailingGrid
from workbench.distill.trajectories.base import Start, States
from workbench.distill.trajectories.forward import Forward


@dataclass(frozen=True)
class FineForward(Forward):
    """Forward at the times of a finer grid, whatever number of steps the student samples in: consistency models are
    trained along the whole chain (LCM: 50 times, Luo et al. 2023, arXiv 2310.04378).

    ValueError unless times >= 1.
    """

    times: int = 50  # uniform over them
    grid: StudentGrid = field(default_factory=TrailingGrid)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.times < 1:
            raise ValueError(f"FineForward times must be at least 1, but got {self.times}.")

    def grids(self, process: NoiseProcess, grids: Sequence[Sequence[int]]) -> Sequence[Sequence[int]]:
        return [self._grid(process)]

    def walk(self, start: Start) -> States:
        yield from super().walk(dataclasses.replace(start, timesteps=self._grid(start.process)))

    def _grid(self, process: NoiseProcess) -> tuple[int, ...]:
        return tuple(self.grid.timesteps(process, self.times))
