"""Measurements beside the training: the teacher's spread at every student time, and the exposure gap."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from workbench.diffusion import DPMSolverPP, Prediction, Sampler, solve
from workbench.distill.copies import Copy, CopyKind
from workbench.distill.losses import Loss
from workbench.distill.state import Keyed, State
from workbench.distill.targets import Target, TeacherLike
from workbench.distill.trajectories import Backward, Start
from workbench.distill.update import Update

SETTLE = 3  # times that a student is replaced by its target before the target's spread is measured
REFERENCE_STEPS = 25  # of the teacher over [0, T]; from a smaller t, as many fewer


class Diagnostics:
    """Measured on a few fixed samples with fixed noise, the same on every rank and at every call.

    Args:
        teacher: frozen.
        student: (x_t, t, cond) -> Prediction, called without gradient.
        grids: the student's lists of times; a time that several share is measured in the longest.
        sampler: of the rollout.
        cond: (n, L, D) text embeddings of the samples.
        shape: (C, H, W) of a latent.
        random: draws of the n samples.
        copies: of the student, for the targets that look at them.
    """

    def __init__(
        self,
        teacher: TeacherLike,
        student: Callable[[Tensor, Tensor, Tensor | None], Prediction],
        grids: Sequence[Sequence[int]],
        sampler: Sampler,
        cond: Tensor,
        shape: tuple[int, int, int],
        random: Keyed,
        copies: Mapping[CopyKind, Copy] | None = None,
    ) -> None:
        self._teacher = teacher
        self._student = student
        self._grids = sorted((tuple(grid) for grid in grids), key=len, reverse=True)
        self._sampler = sampler
        self._cond = cond
        self._shape = shape
        self._random = random
        self._copies = copies or {}

    @property
    def indices(self) -> tuple[int, ...]:
        """Of the samples in the data source."""
        return self._random.indices

    @property
    def times(self) -> list[int]:
        """All student times, noisiest first."""
        return sorted({t for grid in self._grids for t in grid}, reverse=True)

    @torch.no_grad()
    def states(self) -> dict[int, tuple[State, Prediction]]:
        """The student's own state and prediction at every time, by rolling it out."""
        found: dict[int, tuple[State, Prediction]] = {}
        for grid in self._grids:
            if all(t in found for t in grid):
                continue
            start = Start(
                process=self._teacher.process,
                denoise=lambda x_t, t: self._student(x_t, t, self._cond),
                cond=self._cond,
                shape=self._shape,
                timesteps=grid,
                sampler=self._sampler,
                latents=None,
                random=self._random,
            )
            walk = Backward(states="all").walk(start)
            state = next(walk, None)
            while state is not None:
                state = dataclasses.replace(state, copies=self._copies)
                pred = self._student(state.x_t, state.t, state.cond)
                found.setdefault(state.timestep, (state, pred))
                try:
                    state = walk.send(pred)
                except StopIteration:
                    state = None
        return found

    @torch.no_grad()
    def teacher_std(self, states: dict[int, tuple[State, Prediction]]) -> dict[int, float]:
        """t -> standard deviation of the x0 that the teacher reaches from the student's state in 25 t/T steps."""
        process = self._teacher.process
        found = {}
        for t, (state, _) in states.items():
            steps = math.ceil(REFERENCE_STEPS * t / process.num_train_timesteps)
            denoise = self._teacher.guided().bind(self._cond)
            found[t] = float(solve(process, denoise, state.x_t, t, steps, DPMSolverPP()).x0.std(correction=0))
        return found

    def spread(
        self, states: dict[int, tuple[State, Prediction]], teacher_std: dict[int, float]
    ) -> Callable[[Target, int], float]:
        """(target, t) -> std(target) / std(teacher at 25 steps), for :meth:`Target.calibrate`.

        At a student which has learnt its target: the target at the untrained student is narrower, since that one
        predicts means. So x0S <- target is repeated `SETTLE` times, with the noise that goes with the new x0S at x_t;
        for Gaussian data and gamma = .7 t each repetition leaves .4 of the way or less.
        """

        @torch.no_grad()
        def measure(target: Target, t: int) -> float:
            state, pred = states[t]
            process = self._teacher.process
            alpha, sigma = process.alpha(t, state.x_t), process.sigma(t, state.x_t)
            x0 = target(state, pred, self._teacher)
            for _ in range(SETTLE):
                x0 = target(state, Prediction(x0, (state.x_t - alpha * x0) / sigma), self._teacher)
            return float(x0.std(correction=0)) / teacher_std[t]

        return measure

    @torch.no_grad()
    def exposure_gap(self, losses: dict[str, Loss], latents: Tensor) -> dict[int, dict[str, float]]:
        """t -> {loss name: mean distance on the student's own states - mean distance on noised real images}.

        What backward distillation should close: a student trained on noised images alone never sees its own errors.
        `latents`: (n, C, h, w) of real images with the captions of `cond`. Longest grid only.
        """
        process = self._teacher.process
        found: dict[int, dict[str, float]] = {}
        for t, (own, own_pred) in self.states().items():
            if t not in self._grids[0]:
                continue
            eps = self._random.normal("gap", self._shape)
            x_t = process.add_noise(latents, eps, t)
            real = State(
                x_t=x_t,
                t=own.t,
                timestep=t,
                cond=own.cond,
                noise=eps,
                timesteps=own.timesteps,
                index=own.index,
                random=own.random,
                copies=self._copies,
            )
            real_pred = self._student(x_t, real.t, real.cond)
            for name, loss in losses.items():
                at_own = loss.distances(Update(own, own_pred, self._teacher))
                at_real = loss.distances(Update(real, real_pred, self._teacher))
                if at_own is not None and at_real is not None:
                    found.setdefault(t, {})[name] = float(at_own.mean() - at_real.mean())
        return found
