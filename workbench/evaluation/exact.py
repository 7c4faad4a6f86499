"""The student that fits its target exactly: what the target asks for, apart from what a training makes of it."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor

from workbench.config import Config
from workbench.diffusion import Denoise, NoiseProcess, Prediction
from workbench.distill.losses import Loss, Reconstruction
from workbench.distill.state import State
from workbench.distill.targets import Target, TeacherLike, TeacherTarget
from workbench.distill.targets.base import Bindable, GuidanceScale
from workbench.evaluation.generator import Generator
from workbench.models import GaussianDenoiser, GuidedDenoiser, Teacher

ITERATIONS = 8  # towards the fixed point, after the first; their cost is counted in workbench/study/cost.py
DAMPING = 3.0  # iteration i goes 1 / (1 + i / DAMPING) of the way, so that nothing swings
SETTLED = 0.5  # of t: a fixed point of a gamma below it is approached in those iterations, and not reached


@dataclass(frozen=True)
class ExactStudent:
    """x0S = target(x_t, x0S) at every state: the minimum of a reconstruction loss, for each sample by itself.

    Where chi is x_t (gamma(t) = t and the student's own noise) that is the target, once computed. Elsewhere the target
    moves with x0S, and x0S <- x0S + w (target - x0S) is repeated `ITERATIONS` times from the teacher's own prediction
    on; eps is what x_t leaves for it. A student's network shares its weights over all samples and is trained for so
    long, hence it lies somewhere else; what it loses to this one is fit, what this one loses to the teacher is bias.
    Other losses, as a discriminator, have no part in it.
    """

    target: Target
    teacher: TeacherLike
    timesteps: tuple[int, ...]
    guidance_scale = None  # of the student, which runs unguided

    @torch.no_grad()
    def x0(self, state: State) -> Tensor:
        """(B, C, H, W), float32 or wider."""
        process = self.teacher.process
        alpha, sigma = process.alpha(state.timestep, state.x_t), process.sigma(state.timestep, state.x_t)
        pred = self.teacher.guided(1.0).bind(state.cond)(state.x_t, state.t)  # type: ignore[arg-type]  # is given here
        x0 = self.target(state, pred, self.teacher)
        if _looks_at_the_state(self.target, state, pred, process):
            return x0
        for i in range(ITERATIONS):
            own = Prediction(x0, (state.x_t - alpha * x0) / sigma)
            x0 = x0 + (self.target(state, own, self.teacher) - x0) / (1 + i / DAMPING)
        return x0

    def denoiser(self, cond: Tensor, x_T: Tensor) -> Denoise:
        """(x_t, t) -> Prediction along one rollout from x_T; t is one of `timesteps`, the same for the whole batch."""
        process = self.teacher.process

        def denoise(x_t: Tensor, t: Tensor) -> Prediction:
            timestep = int(t[0])
            index = self.timesteps.index(timestep)
            x0 = self.x0(State(x_t, t, timestep, cond, x_T, self.timesteps, index, _NO_DRAWS))
            return Prediction(x0, (x_t - process.alpha(t, x_t) * x0) / process.sigma(t, x_t))

        return denoise


@dataclass(frozen=True)
class ExactGenerator(Generator):
    """A :class:`Generator` whose network is an :class:`ExactStudent`."""

    network: ExactStudent  # type: ignore[assignment]  # which needs to know x_T, and not only the captions

    def denoiser(self, cond: Tensor, x_T: Tensor) -> Denoise:
        return self.network.denoiser(cond, x_T)


def exact_generator(
    config: Config, teacher: Teacher, num_inference_steps: int, *, seed: int, noise_correction: bool | None = None
) -> ExactGenerator:
    """The exact student of a configuration, on its grid and with its sampler.

    noise_correction: None keeps the sampler's own. Warns of a gamma so far below t that the fixed point is not reached.
    Raises ValueError as :func:`exact_target`, and for a grid without so many steps.
    """
    process = teacher.process
    timesteps = tuple(config.model.grid.timesteps(process, num_inference_steps))
    target = exact_target(config.model.losses, process, timesteps)
    if isinstance(target, TeacherTarget):
        far = [t for t in timesteps if target.shift(t, process, timesteps) < SETTLED * t]
        if far:
            warnings.warn(
                f"evaluation.subject: target: {target.shift!r} puts the teacher below {SETTLED:g} t at t = {far}, "
                f"where {ITERATIONS} iterations approach the fixed point and do not reach it.",
                stacklevel=2,
            )
    sampler = config.model.sampler
    if noise_correction is not None:
        sampler = dataclasses.replace(sampler, noise_correction=noise_correction)
    scale = config.teacher.guidance_scale
    asked = _Scaled(teacher, teacher.guidance_scale if scale is None else scale)
    return ExactGenerator(teacher, ExactStudent(target, asked, timesteps), timesteps, sampler, seed)


def exact_target(losses: Mapping[str, Loss], process: NoiseProcess, timesteps: Sequence[int]) -> Target:
    """The one target that a student can fit exactly, checked at these times.

    Raises ValueError, saying why, where there is none: losses without exactly one reconstruction, or a target that
    looks at copies of the student, is calibrated by a training or draws random numbers.
    """
    found = [loss.target for loss in losses.values() if isinstance(loss, Reconstruction)]
    if len(found) != 1:
        raise ValueError(
            "evaluation.subject: target needs exactly one Reconstruction in model.losses, but there are "
            f"{len(found)} ({', '.join(losses) or 'no losses'})."
        )
    target = found[0]
    if target.copies:
        raise ValueError(
            f"evaluation.subject: target: {type(target).__name__} looks at copies of the student in training, so that "
            "there is nothing to fit without one. Use it with a TeacherTarget."
        )
    if target.needs_calibration:
        raise ValueError(
            f"evaluation.subject: target: {type(target).__name__} is calibrated by a training. Give the levels that "
            "one measured (calibration.json of a run) as a TableShift."
        )
    target.check(process, [timesteps])
    _try(target, process, tuple(timesteps))
    return target


@dataclass(frozen=True)
class _Scaled:
    """The teacher with the configuration's guidance scale as its own; other parts of an evaluation have the shipped
    one."""

    teacher: Any
    guidance_scale: float

    @property
    def process(self) -> NoiseProcess:
        return self.teacher.process

    def guided(self, guidance_scale: GuidanceScale | None = None) -> Bindable:
        return self.teacher.guided(self.guidance_scale if guidance_scale is None else guidance_scale)


class _NoDraws:
    """In the place of a state's random numbers: a target that asks for one has no exact student."""

    def _refuse(self, stream: str, *_: Any) -> NoReturn:
        raise ValueError(
            f"evaluation.subject: target: the target draws random numbers ({stream}), so that a student approaches a "
            "mean and fits no target exactly. Use StudentNoise (MixedNoise with rho: 0), one guidance scale, and a "
            "shift that is not drawn."
        )

    normal = uniform = one = within = _refuse


_NO_DRAWS: Any = _NoDraws()


def _try(target: Target, process: NoiseProcess, timesteps: tuple[int, ...]) -> None:
    """Ask the target once at each time, at one number and with a teacher of Gaussian data: does it draw?"""

    @dataclass(frozen=True)
    class Stand:
        process: NoiseProcess
        guidance_scale: float = 1.0

        def guided(self, guidance_scale: GuidanceScale | None = None) -> Bindable:
            return GuidedDenoiser(
                GaussianDenoiser(process), torch.zeros(1, 1), 1.0 if guidance_scale is None else guidance_scale
            )

    x, cond = torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1)
    for index, t in enumerate(timesteps):
        state = State(x, torch.tensor([t]), t, cond, x, timesteps, index, _NO_DRAWS)
        target(state, Prediction(x, x), Stand(process))


def _looks_at_the_state(target: Target, state: State, pred: Prediction, process: NoiseProcess) -> bool:
    """Whether chi is x_t, whatever the student says: gamma(t) = t, with the student's own noise."""
    if not isinstance(target, TeacherTarget):
        return False
    levels = target.shift.bounds(state.timestep, process, state.timesteps)
    return levels == (state.timestep, state.timestep) and target.noise(state, pred) is pred.eps
