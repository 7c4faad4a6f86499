"""gamma(t) = c t, with c drawn around its mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.diffusion import NoiseProcess, Timestep
from workbench.distill.shifts.base import ShiftSchedule
from workbench.distill.state import State


@dataclass(frozen=True)
class JitterShift(ShiftSchedule):
    """ScaleShift whose factor is uniform in [factor - width, factor + width], drawn for each sample: the teacher looks
    at a band of noise levels below t instead of at one (METHOD.md section 4).

    Where a single number is asked for, as a function of t, it is factor t. Levels below 1 become 1.
    ValueError unless 0 < factor, 0 <= width <= factor and factor + width <= 1.
    """

    factor: float = 0.7
    width: float = 0.2

    def __post_init__(self) -> None:
        if not (self.factor > 0 and 0 <= self.width <= self.factor and self.factor + self.width <= 1 + 1e-9):
            raise ValueError(
                "JitterShift needs 0 <= width <= factor and factor + width <= 1, so that gamma stays between 0 and t, "
                f"but got factor {self.factor} and width {self.width}."
            )

    def level(self, t: int, process: NoiseProcess, timesteps: Sequence[int]) -> float:
        return self.factor * t

    def at(self, state: State, process: NoiseProcess) -> Timestep:
        shares = self.factor + self.width * (2 * state.random.uniform("shift") - 1)  # (B,)
        levels = (shares * state.timestep).round().long()
        return levels.clamp(min=1, max=process.num_train_timesteps).to(state.x_t.device)

    def bounds(self, t: int, process: NoiseProcess, timesteps: Sequence[int]) -> tuple[int, int]:
        return max(1, round((self.factor - self.width) * t)), round((self.factor + self.width) * t)
