"""The student that fits its target exactly: what a recipe could reach, apart from what a training makes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.config import Config
from workbench.diffusion import Denoise, Draws, NoiseProcess, Prediction
from workbench.distill.losses import Loss, Reconstruction
from workbench.distill.state import Keyed, State
from workbench.distill.targets import Target, TeacherLike, TeacherTarget
from workbench.distill.targets.base import Bindable, GuidanceScale
from workbench.evaluation.generator import Generator
from workbench.models import Teacher

ITERATIONS = 8  # towards the fixed point, after the first; their cost is counted in workbench/study/cost.py
DAMPING = 3.0  # iteration i goes 1 / (1 + i / DAMPING) of the way: chi's fresh noise averages out, and nothing swings


@dataclass(frozen=True)
class ExactStudent:
    """x0S = target(x_t, x0S) at every state: the minimum of the reconstruction loss, for each sample by itself.

    Where chi is x_t (gamma(t) = t and the student's own noise) that is the target, once computed. Elsewhere the target
    moves with x0S, and x0S <- x0S + w (target - x0S) is repeated `ITERATIONS` times from the teacher's own prediction
    on; eps is what x_t leaves for it. A student's network shares its weights over all samples and is trained for so
    long, hence it lies somewhere else; what it loses to this one is fit, what this one loses to the teacher is bias.

    Raises:
        ValueError: in `check`, losses without exactly one reconstruction, or a target that is no function of state and
            x0S alone.
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

        def answer(pred: Prediction, draw: int) -> Tensor:
            at = _with_draw(state, draw)
            return self.target(at, pred, self.teacher)

        pred = self.teacher.guided(1.0).bind(state.cond)(state.x_t, state.t)  # type: ignore[arg-type]  # is given here
        x0 = answer(pred, 0)
        if _looks_at_the_state(self.target, state, pred, self.teacher):
            return x0
        for i in range(ITERATIONS):
            own = Prediction(x0, (state.x_t - alpha * x0) / sigma)
            x0 = x0 + (answer(own, i + 1) - x0) / (1 + i / DAMPING)
        return x0

    def denoiser(self, cond: Tensor, x_T: Tensor, random: Keyed) -> Denoise:
        """(x_t, t) -> Prediction along one rollout from x_T; t is one of `timesteps`, the same for the whole batch."""
        process = self.teacher.process

        def denoise(x_t: Tensor, t: Tensor) -> Prediction:
            timestep = int(t[0])
            index = self.timesteps.index(timestep)
            state = State(x_t, t, timestep, cond, x_T, self.timesteps, index, random.within(f"state{index}"))
            x0 = self.x0(state)
            return Prediction(x0, (x_t - process.alpha(t, x_t) * x0) / process.sigma(t, x_t))

        return denoise


@dataclass(frozen=True)
class ExactGenerator(Generator):
    """A :class:`Generator` whose network is an :class:`ExactStudent`. Image i depends on (seed, stream, i) alone."""

    network: ExactStudent  # type: ignore[assignment]  # which needs to know the samples, and not only their captions

    def denoiser(self, cond: Tensor, x_T: Tensor, indices: Sequence[int], stream: str) -> Denoise:
        random = Keyed(Draws(self.seed), 0, tuple(indices), x_T.device, f"{stream}/exact/")
        return self.network.denoiser(cond, x_T, random)


def exact_generator(
    config: Config, teacher: Teacher, num_inference_steps: int, *, seed: int, noise_correction: bool | None = None
) -> ExactGenerator:
    """The exact student of a configuration, on its grid and with its sampler.

    noise_correction: None keeps the sampler's own. Raises ValueError as :class:`ExactStudent`, and for a
    grid without so many steps.
    """
    timesteps = tuple(config.model.grid.timesteps(teacher.process, num_inference_steps))
    target = exact_target(config.model.losses)
    target.check(teacher.process, [timesteps])
    sampler = config.model.sampler
    if noise_correction is not None:
        sampler = dataclasses.replace(sampler, noise_correction=noise_correction)
    scale = config.teacher.guidance_scale
    asked = _Scaled(teacher, teacher.guidance_scale if scale is None else scale)
    return ExactGenerator(teacher, ExactStudent(target, asked, timesteps), timesteps, sampler, seed)


def exact_target(losses: Mapping[str, Loss]) -> Target:
    """The one target that a student can fit exactly. ValueError, saying why, where there is none."""
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
    return target


@dataclass(frozen=True)
class _Scaled:
    """The teacher with the configuration's guidance scale as its own; other parts of an evaluation have the shipped
    one."""

    teacher: Teacher
    guidance_scale: float

    @property
    def process(self) -> NoiseProcess:
        return self.teacher.process

    def guided(self, guidance_scale: GuidanceScale | None = None) -> Bindable:
        return self.teacher.guided(self.guidance_scale if guidance_scale is None else guidance_scale)


def _looks_at_the_state(target: Target, state: State, pred: Prediction, teacher: TeacherLike) -> bool:
    """Whether chi is x_t, whatever the student says: gamma(t) = t, with the student's own noise."""
    if not isinstance(target, TeacherTarget):
        return False
    levels = target.shift.bounds(state.timestep, teacher.process, state.timesteps)
    return levels == (state.timestep, state.timestep) and target.noise(state, pred) is pred.eps


def _with_draw(state: State, draw: int) -> State:
    """The state with other fresh noise for each draw, so that a fixed point is one of the mean."""
    return dataclasses.replace(state, random=state.random.within(f"draw{draw}"))
