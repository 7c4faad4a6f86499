"""ConsistencyTarget: what the averaged student says one solver step further down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from workbench.diffusion import DDIM, NoiseProcess, Prediction, Sampler, advance
from workbench.distill.copies import AverageKind, CopyKind
from workbench.distill.state import State
from workbench.distill.targets.base import Target, TeacherLike
from workbench.distill.targets.guidance import checked_guidance, guidance_scale


@dataclass(frozen=True)
class ConsistencyTarget(Target):
    """Consistency distillation with skipping, f_Theta(x_t, t) <- f_average(x_t', t') with t' = t - skip:

        x_t'     = one step of the guided teacher from x_t
        f(x, t)  = c_skip(t) x + c_out(t) x0hat(x, t),   f(x, 0) = x
        c_skip   = d^2 / ((s t)^2 + d^2),  c_out = s t / sqrt((s t)^2 + d^2),  s = timestep_scaling, d = sigma_data

    Given as the x0 at which the student's own f equals f_average: (f_average - c_skip(t) x_t) / c_out(t). At t' = 0 the
    network is not asked. At the times that a student samples at c_out is 1 to seven digits, so that samplers take x0hat
    for f.
    Reference: Luo et al. 2023 (LCM), arXiv 2310.04378, section 4; the boundary is Song et al. 2023, 2303.01469.

    Raises:
        ValueError: a number out of its range, a solver that draws noise or corrects it, a guidance range that is not
            low <= high; in `check`, a skip that rounds to 0.
    """

    skip: float = 0.02  # of T; LCM's k = 20 of 1000
    decay: float = 0.95  # of the averaged student; its horizon is 1 / (1 - decay) updates
    solver: Sampler = field(default_factory=DDIM)
    guidance: float | tuple[float, float] | None = None  # scale; or [low, high] a sample; null = the teacher's
    timestep_scaling: float = 10.0
    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.skip <= 1:
            raise ValueError(f"ConsistencyTarget skip must be above 0 and at most 1 (of T), but got {self.skip}.")
        if not 0 <= self.decay < 1:
            raise ValueError(f"ConsistencyTarget decay must be at least 0 and below 1, but got {self.decay}.")
        if not (self.timestep_scaling > 0 and self.sigma_data > 0):
            raise ValueError(
                "ConsistencyTarget timestep_scaling and sigma_data must be above 0, but got "
                f"{self.timestep_scaling} and {self.sigma_data}."
            )
        if self.solver.stochastic or self.solver.noise_correction:
            raise ValueError(
                f"ConsistencyTarget solver {self.solver!r}: a target must be a function of its state, and noise "
                "correction belongs to the student's sampler. Use DDIM or Heun as they are."
            )
        object.__setattr__(self, "guidance", checked_guidance(self.guidance, "ConsistencyTarget"))

    @property
    def copies(self) -> Sequence[CopyKind]:
        return (AverageKind(self.decay),)

    @torch.no_grad()
    def __call__(self, state: State, pred: Prediction, teacher: TeacherLike) -> Tensor:
        process, t = teacher.process, state.timestep
        end = max(0, t - self._moves(process))
        guided = teacher.guided(guidance_scale(self.guidance, state))
        denoise = guided.bind(state.cond)  # type: ignore[arg-type]  # None only for unconditional stand-ins in tests
        x_end = advance(process, denoise, state.x_t, [t], end, self.solver)
        if end == 0:
            consistent = x_end
        else:
            there = state.copies[AverageKind(self.decay)](x_end, process.as_batch(end, x_end), state.cond)
            skip, out = self.boundary(end)
            consistent = skip * x_end + out * there.x0
        skip, out = self.boundary(t)
        return (consistent - skip * state.x_t) / out

    def boundary(self, t: int) -> tuple[float, float]:
        """(c_skip, c_out) at t: (1, 0) at t = 0."""
        scaled, d = self.timestep_scaling * t, self.sigma_data
        return d**2 / (scaled**2 + d**2), scaled / (scaled**2 + d**2) ** 0.5

    def _moves(self, process: NoiseProcess) -> int:
        return round(self.skip * process.num_train_timesteps)

    def check(self, process: NoiseProcess, grids: Sequence[Sequence[int]]) -> None:
        if self._moves(process) < 1:
            raise ValueError(
                f"ConsistencyTarget skip: {self.skip} of T = {process.num_train_timesteps} rounds to no time at all, "
                f"so that the student would approach itself. Use at least {1 / process.num_train_timesteps}."
            )
