"""ProgressiveTarget: several teacher steps become one student step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import torch
from torch import Tensor

from workbench.diffusion import DDIM, Prediction, Sampler, advance
from workbench.distill.copies import CopyKind, StageStartKind
from workbench.distill.state import State
from workbench.distill.targets.base import Target, TeacherLike
from workbench.distill.targets.guidance import checked_guidance, guidance_scale
from workbench.distill.trajectories import Staged, Trajectory


@dataclass(frozen=True)
class ProgressiveTarget(Target):
    """The x0 with which one student DDIM step from t lands where `steps` teacher steps land:

        x'' = the teacher's x at t'', the student's next time, after `steps` equal solver steps down from x_t
        x0  = (x'' - (sigma''/sigma_t) x_t) / (alpha'' - (sigma''/sigma_t) alpha_t)

    The teacher is the guided teacher; from the second stage of a Staged trajectory on it is the student of the stage
    before, unguided, since the guidance was distilled in the first.
    Reference: Salimans & Ho 2022, arXiv 2202.00512, appendix; Meng et al. 2023, arXiv 2210.03142 (METHOD.md section 4).

    Raises:
        ValueError: steps < 1, a solver that draws noise or corrects it, a guidance range that is not low <= high; in
            `check_parts`, a student's sampler whose step is not the one that is inverted, or stages that are not
            `steps` times shorter each.
    """

    steps: int = 2  # n, teacher steps for one of the student
    solver: Sampler = field(default_factory=DDIM)
    guidance: float | tuple[float, float] | None = None  # of the first stage

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"ProgressiveTarget steps must be at least 1, but got {self.steps}.")
        if self.solver.stochastic or self.solver.noise_correction:
            raise ValueError(
                f"ProgressiveTarget solver {self.solver!r}: a target must be a function of its state, and noise "
                "correction belongs to the student's sampler. Use DDIM, DPMSolverPP or Heun as they are."
            )
        object.__setattr__(self, "guidance", checked_guidance(self.guidance, "ProgressiveTarget"))

    @property
    def copies(self) -> Sequence[CopyKind]:
        return (StageStartKind(),)

    @torch.no_grad()
    def __call__(self, state: State, pred: Prediction, teacher: TeacherLike) -> Tensor:
        process, t = teacher.process, state.timestep
        below = [time for time in state.timesteps if time < t]
        end = max(below) if below else 0
        before = state.copies.get(StageStartKind())
        guided = before if before and before.is_there else teacher.guided(guidance_scale(self.guidance, state))
        denoise = guided.bind(state.cond)  # type: ignore[arg-type]  # None only for unconditional stand-ins in tests
        times = {round(end + Fraction((t - end) * j, self.steps)) for j in range(1, self.steps + 1)} - {end}
        landed = advance(process, denoise, state.x_t, sorted(times, reverse=True), end, self.solver)
        x_t = state.x_t.to(process.alpha(t, state.x_t).dtype)
        ratio = process.sigma(end, x_t) / process.sigma(t, x_t)
        return (landed - ratio * x_t) / (process.alpha(end, x_t) - ratio * process.alpha(t, x_t))

    def check_parts(self, sampler: Sampler, trajectory: Trajectory) -> None:
        if not isinstance(sampler, DDIM) or sampler.stochastic or sampler.noise_correction:
            raise ValueError(
                f"ProgressiveTarget inverts one DDIM step, but model.sampler is {sampler!r}, whose step lands "
                "elsewhere. Use {class_path: DDIM, eta: 0, noise_correction: off}; evaluation.noise_correction can "
                "still be on."
            )
        if isinstance(trajectory, Staged):
            for more, fewer in zip(trajectory.stages, trajectory.stages[1:], strict=False):
                if more != self.steps * fewer:
                    raise ValueError(
                        f"ProgressiveTarget steps: {self.steps} makes {self.steps} steps of a stage one of the next, "
                        f"but the stages of model.trajectory go from {more} to {fewer}. Use stages that are each "
                        f"{self.steps} times the next."
                    )
