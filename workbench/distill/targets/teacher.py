"""TeacherTarget: the shifted reconstruction target; plain distillation is its special case."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from workbench.diffusion import DDIM, NoiseProcess, Prediction, Sampler, solve
from workbench.distill.noises import MixedNoise, TargetNoise
from workbench.distill.shifts import ScaleShift, ShiftSchedule, TableShift
from workbench.distill.state import State
from workbench.distill.targets.base import GuidanceScale, Target, TeacherLike
from workbench.distill.targets.guidance import checked_guidance, guidance_scale


@dataclass(frozen=True)
class TeacherTarget(Target):
    """The teacher's x0 after it has looked at the student's own prediction, noised to gamma(t):

        chi    = alpha_gamma x0S + sigma_gamma noise
        target = x0hat(f_Phi^k(chi), gamma / k),      k - 1 solver moves, then one prediction

    With shift = IdentityShift and noise = StudentNoise chi is x_t, and this is plain (backward or forward)
    distillation.
    Reference: Kohler et al. 2024, arXiv 2405.05224 (METHOD.md section 2). The paper does not say which noise or k.

    Raises:
        ValueError: steps < 1, a solver that draws noise or corrects it, or a guidance range that is not low <= high; in
            `check`, a shift that reaches 0, or fresh noise where gamma(t) has no signal left.
    """

    shift: ShiftSchedule = field(default_factory=ScaleShift)
    noise: TargetNoise = field(default_factory=MixedNoise)
    steps: int = 5  # k, solver steps of the teacher; duplicates of rounded times are dropped
    solver: Sampler = field(default_factory=DDIM)
    guidance: float | tuple[float, float] | None = (
        None  # scale; or [low, high], drawn for each sample; null = the teacher's
    )

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"TeacherTarget steps must be at least 1, but got {self.steps}.")
        if self.solver.stochastic:
            raise ValueError(
                f"TeacherTarget solver {self.solver!r} draws noise, but a target must be a function of its state. "
                "Use DDIM with eta: 0, DPMSolverPP or Heun."
            )
        if self.solver.noise_correction:
            raise ValueError(
                "TeacherTarget solver: noise_correction belongs to the student's sampler (model.sampler). At chi the "
                "noise is not the state. Switch it off here."
            )
        object.__setattr__(self, "guidance", checked_guidance(self.guidance, "TeacherTarget"))

    @torch.no_grad()
    def __call__(self, state: State, pred: Prediction, teacher: TeacherLike) -> Tensor:
        process = teacher.process
        gamma = self.shift.at(state, process)
        chi = process.add_noise(pred.x0.detach(), self.noise(state, pred.detach()), gamma)
        guided = teacher.guided(self.scale(state, teacher))
        denoise = guided.bind(state.cond)  # type: ignore[arg-type]  # None only for unconditional stand-ins in tests
        return solve(process, denoise, chi, gamma, self.steps_at(state, process), self.solver).x0

    def steps_at(self, state: State, process: NoiseProcess) -> int:
        """k at this state, the same for the whole batch and on every rank."""
        return self.steps

    def scale(self, state: State, teacher: TeacherLike) -> GuidanceScale | None:
        """The guidance scale at this state: a number, (B,), a function of the teacher's times; None = the teacher's."""
        return guidance_scale(self.guidance, state)

    def check(self, process: NoiseProcess, grids: Sequence[Sequence[int]]) -> None:
        if self.needs_calibration:
            return  # its levels are measured: positive and at most t
        for timesteps in grids:
            for t in timesteps:
                self.shift(t, process, timesteps)  # refuses levels that round to 0
                _, gamma = self.shift.bounds(t, process, timesteps)
                if self.noise.forgets_the_state and process.alphas[gamma] == 0:
                    raise ValueError(
                        f"TeacherTarget: {self.shift!r} gives gamma({t}) = {gamma}, where alpha = 0 and nothing of the "
                        f"student's x0 is left; with {self.noise!r} the target would be a random image, independent of "
                        "the student. Use a shift with gamma(T) < T, or noise: StudentNoise."
                    )

    @property
    def needs_calibration(self) -> bool:
        return self.shift.needs_calibration

    def calibrate(
        self, spread: Callable[[Target, int], float], process: NoiseProcess, times: Sequence[int]
    ) -> TeacherTarget:
        def measure(t: int, gamma: int) -> float:
            return spread(dataclasses.replace(self, shift=TableShift(times=(t,), levels=(gamma,))), t)

        return dataclasses.replace(self, shift=self.shift.calibrate(measure, process, times))
