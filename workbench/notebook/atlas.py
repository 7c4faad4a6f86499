"""What the teacher's target looks like at t = T, and how wide it is: measured, and for Gaussian data in closed form."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from workbench.data import DataSource
from workbench.diffusion import DPMSolverPP, Draws, NoiseProcess, Prediction, Sampler, solve
from workbench.distill.noises import StudentNoise
from workbench.distill.shifts import ScaleShift
from workbench.distill.state import Keyed, State
from workbench.distill.targets import Target, TeacherTarget
from workbench.models import GaussianDenoiser, Teacher

REFERENCE_STEPS = 25  # of the teacher that spreads are compared with
REPEATS = 20  # of student <- target, at most
SETTLED = 0.003  # relative change of the spread below which it stops; the spread is then known to about 3 %


@dataclass(frozen=True)
class Solving:
    """How the teacher solves from gamma down: k steps of a solver."""

    steps: int
    solver: Sampler

    def __str__(self) -> str:
        return f"{type(self.solver).__name__}, k = {self.steps}"


def look(teacher: Teacher, captions: Sequence[str], seed: int = 0, same_noise: bool = False) -> State:
    """The student's first state, x_T ~ N(0, I) at t = T, one row a caption.

    same_noise: every row starts from the same x_T, while fresh noise still differs from row to row.
    """
    T = teacher.process.num_train_timesteps
    draws, rows = Draws(seed), tuple(range(len(captions)))
    x_T = draws.normal("atlas/x_T", 0, [0] * len(rows) if same_noise else rows, teacher.latent_shape, teacher.device)
    return State(
        x_t=x_T,
        t=torch.full((len(rows),), T, device=teacher.device),
        timestep=T,
        cond=teacher.encode_text(captions),
        noise=x_T,
        timesteps=(T,),
        index=0,
        random=Keyed(draws, 0, rows, teacher.device, "atlas/"),
    )


@torch.no_grad()
def untrained(teacher: Teacher, state: State) -> Prediction:
    """What the student says before its first update: it starts as the teacher, and runs unguided."""
    return teacher.denoiser(state.x_t, state.t, state.cond)


def reference(teacher: Teacher, state: State) -> Tensor:
    """x0 of the teacher at 25 DPM-Solver++ steps from the same noise, under its own guidance, (B, C, h, w)."""
    assert state.cond is not None
    denoise = teacher.guided().bind(state.cond)
    return solve(teacher.process, denoise, state.x_t, state.timestep, REFERENCE_STEPS, DPMSolverPP()).x0


def settle(target: Target, state: State, teacher: Teacher, mean: bool = False, repeats: int = REPEATS) -> Tensor:
    """The x0 of a student that has learnt its target at this state: x0S <- target, until its spread stays put.

    mean: average the target over the rows, which must start from one x_T. With fresh noise this is what a squared error
    teaches, E[target | x_T]; without it the rows keep one noise each, drawn anew at every repetition.
    """
    pred, before = untrained(teacher, state), 0.0
    alpha, sigma = (f(state.timestep, state.x_t) for f in (teacher.process.alpha, teacher.process.sigma))
    for repeat in range(repeats):
        x0 = target(dataclasses.replace(state, random=state.random.within(f"repeat{repeat}")), pred, teacher)
        if mean:
            x0 = x0.mean(dim=0, keepdim=True).expand_as(x0)
        pred = Prediction(x0, (state.x_t - alpha * x0) / sigma)
        spread = float(x0.std(correction=0))
        if abs(spread - before) < SETTLED * spread:
            break
        before = spread
    return pred.x0


def measured_ratios(
    teacher: Teacher, captions: Sequence[str], shares: Sequence[float], how: Solving, seed: int = 0
) -> dict[float, float]:
    """share -> std(target) / std(teacher at 25 steps) at t = T for gamma = share x T, over all elements and captions.

    For a student that has learnt its target, with the student's own noise in chi: the quantity of method section 6.
    """
    state = look(teacher, captions, seed)
    own = float(reference(teacher, state).std(correction=0))
    found = {}
    for share in shares:
        target = TeacherTarget(shift=ScaleShift(share), noise=StudentNoise(), steps=how.steps, solver=how.solver)
        found[share] = float(settle(target, state, teacher).std(correction=0)) / own
    return found


# ---- Gaussian data ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gaussian:
    """Normal data along orthogonal directions: mean (D,) and std (D,) along them, directions (D, D) as columns."""

    mean: Tensor
    std: Tensor
    directions: Tensor

    @classmethod
    def unit(cls) -> Gaussian:
        """N(0, 1): the data of the closed form."""
        one = torch.ones(1, dtype=torch.float64)
        return cls(0 * one, one, one.view(1, 1))

    @classmethod
    @torch.no_grad()
    def of_latents(cls, teacher: Teacher, source: DataSource, n: int = 2000) -> Gaussian:
        """Mean and covariance of the latents of the source's first n images, n above the number of their elements."""
        parts = [teacher.encode(_signed(source.images(range(i, min(i + 250, n))))) for i in range(0, n, 250)]
        latents = torch.cat(parts).flatten(1).double().cpu()
        variances, directions = torch.linalg.eigh(torch.cov(latents.T))
        return cls(latents.mean(0) @ directions, variances.clamp(min=0).sqrt(), directions)

    def spread(self, slope: Tensor, offset: Tensor) -> float:
        """Standard deviation over all elements of slope x noise + offset, both (D,) along the directions."""
        level = (self.directions @ offset).mean()
        return float((slope.square().mean() + offset.square().mean() - level**2).sqrt())


def closed_form(process: NoiseProcess, data: Gaussian, shares: Sequence[float], how: Solving) -> list[float]:
    """What `measured_ratios` would find for Gaussian data and its optimal denoiser, at gamma = share x T.

    Every step is affine along each direction of the data, and so is its fixed point: three evaluations give it exactly.
    """
    T = process.num_train_timesteps
    teacher = GaussianDenoiser(process, data.mean, data.std)

    def along(value: float) -> Tensor:  # the same number along every direction
        return torch.full((1, 1, 1, len(data.std)), value, dtype=torch.float64)

    def target(x0: float, x_T: float, gamma: int) -> Tensor:  # (D,)
        pred = process.to_prediction(along(x0), along(x_T), T, "sample")
        chi = process.add_noise(pred.x0, pred.eps, gamma)
        return solve(process, teacher.bind(), chi, gamma, how.steps, how.solver).x0.flatten()

    def many_steps(x_T: float) -> Tensor:  # (D,)
        return solve(process, teacher.bind(), along(x_T), T, REFERENCE_STEPS, DPMSolverPP()).x0.flatten()

    own = data.spread(many_steps(1) - many_steps(0), many_steps(0))
    found = []
    for share in shares:
        gamma = round(share * T)
        offset = target(0, 0, gamma)
        by_student, by_noise = target(1, 0, gamma) - offset, target(0, 1, gamma) - offset
        found.append(data.spread(by_noise / (1 - by_student), offset / (1 - by_student)) / own)
    return found


def exact_gain(process: NoiseProcess, share: float) -> float:
    """sin g / (sin t - sin(t - g)), alpha = cos and sigma = sin: the ratio at T for unit data and an exact solver.

    t and g are the angles of T and of gamma = share x T. Above 1 for 0 < g < t (method section 6).
    """
    T = process.num_train_timesteps
    t, g = (float(torch.atan2(process.sigmas[i], process.alphas[i])) for i in (T, round(share * T)))
    return float(np.sin(g) / (np.sin(t) - np.sin(t - g)))


def plot_ratios(
    process: NoiseProcess, latents: Gaussian, measured: Mapping[Solving, Mapping[float, float]], also: Sequence[Solving]
) -> Figure:
    """Closed forms as lines, for unit data and for data with the latents' covariance; measured ratios as markers.

    measured: how -> gamma / T -> ratio. also: further settings to draw the closed forms of.
    """
    shares = np.linspace(0.2, 1, 17).tolist()
    figure = Figure(figsize=(9.5, 4.8), layout="constrained")
    axes = figure.add_subplot()
    axes.axhline(1, color="black", linewidth=0.8)
    axes.plot(shares, [exact_gain(process, s) for s in shares], color="black", label="unit Gaussian, exact solver")
    settings = list(dict.fromkeys([*measured, *also]))
    for data, name, style in (
        (Gaussian.unit(), "unit Gaussian", "-"),
        (latents, "Gaussian, latents' covariance", "--"),
    ):
        for index, how in enumerate(settings):
            axes.plot(shares, closed_form(process, data, shares, how), style, color=f"C{index}", label=f"{name}, {how}")
    for how, ratios in measured.items():
        colour = f"C{settings.index(how)}"
        axes.plot(
            *zip(*ratios.items(), strict=True), "o", color=colour, markeredgecolor="black", label=f"measured, {how}"
        )
    axes.set(
        xlabel="gamma / T (1: the teacher looks at x_T itself)",
        ylabel="std(target) / std(teacher, 25 steps)",
        title=f"Spread of the settled target at t = T (alpha_T = {process.alpha_T:.3f})",
    )
    figure.legend(fontsize=8, loc="outside right upper")
    return figure


def _signed(images: Tensor) -> Tensor:
    """uint8 -> float in [-1, 1]."""
    return images.float() / 127.5 - 1
