"""Sampler: one step from t to t_next; `rollout`, `sample`, `advance` and `solve` are the only loops over such steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.diffusion.grid import teacher_timesteps
from workbench.diffusion.process import NoiseProcess, Prediction, Timestep

Denoise = Callable[[Tensor, Tensor], Prediction]  # (x_t (B, C, H, W), t (B,) long) -> Prediction
Noise = Callable[[int], Tensor]  # index of the move, 0 for the first -> (B, C, H, W) standard normal


class ExactNoise:
    """Noise correction: at t = T the predicted noise is replaced by the true one, eps := x_T; x0 stays.

    A hook on the prediction, so that it works with any sampler: all of ours are written as alpha' x0 + sigma' eps plus
    terms that vanish at the first step or are differences of predictions, and therefore make the paper's move,
    f(x_T) = alpha' x0 + sigma' x_T. At any other time the prediction passes unchanged.
    Reference: Kohler et al. 2024, arXiv 2405.05224, section 3.4 (METHOD.md section 2).
    """

    def __call__(self, process: NoiseProcess, pred: Prediction, x_t: Tensor, t: Timestep) -> Prediction:
        T = process.num_train_timesteps
        if isinstance(t, int):
            return Prediction(pred.x0, x_t.to(pred.eps.dtype)) if t == T else pred
        at_T = (t == T).view(-1, 1, 1, 1)
        return Prediction(pred.x0, torch.where(at_T, x_t.to(pred.eps.dtype), pred.eps))


@dataclass(frozen=True, kw_only=True)
class Sampler(ABC):
    """Moves a state from t to t_next < t. The same object serves the training rollout and inference.

    Fields:
        noise_correction: replace eps by x_T in a step that starts at t = T (:class:`ExactNoise`).
    """

    noise_correction: bool = False

    @property
    def stochastic(self) -> bool:
        """Whether a step draws noise; then `rollout` and `sample` need their `noise` argument."""
        return False

    def correction_is_inert(self, process: NoiseProcess) -> bool:
        """Whether noise correction is on and cannot change a sample here; callers should say so aloud.

        Where alpha_T = 0 the implied noise already is x_T, whatever the network predicts.
        """
        return self.noise_correction and process.alpha_T == 0

    def step(
        self,
        process: NoiseProcess,
        x_t: Tensor,
        t: Timestep,
        t_next: Timestep,
        pred: Prediction,
        *,
        denoise: Denoise,
        memory: dict[str, Any],
        noise: Callable[[], Tensor],
    ) -> Tensor:
        """x at t_next, (B, C, H, W), dtype of x_t.

        Args:
            x_t: (B, C, H, W), the state at t.
            t, t_next: ints, or (B,) long, 0 <= t_next < t <= T.
            pred: the network's prediction at (x_t, t), before noise correction.
            denoise: for solvers that call the network again within a step (Heun).
            memory: what a multistep solver keeps between the steps of one trajectory; {} at the first step.
            noise: standard normal noise like x_t; each call of one step returns the same tensor.
        """
        if self.noise_correction:
            pred = ExactNoise()(process, pred, x_t, t)
        return self._move(process, x_t, t, t_next, pred, denoise, memory, noise).to(x_t.dtype)

    @abstractmethod
    def _move(
        self,
        process: NoiseProcess,
        x_t: Tensor,
        t: Timestep,
        t_next: Timestep,
        pred: Prediction,
        denoise: Denoise,
        memory: dict[str, Any],
        noise: Callable[[], Tensor],
    ) -> Tensor:
        """The step itself; `pred` is already corrected."""


@dataclass(eq=False)
class Step:
    """One state of a trajectory, before the network has seen it."""

    x_t: Tensor  # (B, C, H, W), carries no gradient
    t: Tensor  # (B,) long
    index: int  # 0 at t = T
    timestep: int  # t as a number
    pred: Prediction | None = None  # set it, and going on to the next state costs no network call of its own


def rollout(
    process: NoiseProcess,
    denoise: Denoise,
    x_T: Tensor,
    timesteps: Sequence[int],
    sampler: Sampler,
    *,
    noise: Noise | None = None,
) -> Generator[Step, None, Tensor]:
    """The states at `timesteps`, one by one; the generator's return value is x at t = 0.

    Lazy: the state at timesteps[0] costs no network call, and each further one costs the move that leads to it. A
    consumer that has computed the prediction at a state sets `step.pred`, and the rollout uses it instead of calling
    `denoise`; so training on every state of one rollout costs no extra pass.
    No gradient flows through a trajectory: states are constants (METHOD.md section 2, stopgrad).

    Args:
        denoise: (x_t, t) -> Prediction, for example ``student.bind(cond)``.
        x_T: (B, C, H, W), the state at timesteps[0].
        timesteps: noisiest first, distinct, in 1..T, without the final 0.
        noise: index of the move -> noise like x_T; needed by stochastic samplers only.

    Raises:
        ValueError: a stochastic sampler without `noise`, or timesteps that do not fall.
    """
    times = [int(t) for t in timesteps]
    if not times or any(a <= b for a, b in zip(times, [*times[1:], 0], strict=True)):
        raise ValueError(f"Timesteps must fall from the noisiest to at least 1, got {times}.")
    if sampler.stochastic and noise is None:
        raise ValueError(f"{sampler!r} draws noise in every step: pass noise=, a function of the move's index.")
    return _rollout(process, denoise, x_T, times, sampler, noise)


def _rollout(
    process: NoiseProcess, denoise: Denoise, x_T: Tensor, times: list[int], sampler: Sampler, noise: Noise | None
) -> Generator[Step, None, Tensor]:
    x_t = x_T.detach()
    memory: dict[str, Any] = {}
    for index, (t, t_next) in enumerate(zip(times, [*times[1:], 0], strict=True)):
        step = Step(x_t, process.as_batch(t, x_t), index, t)
        yield step
        with torch.no_grad():
            pred = step.pred.detach() if step.pred is not None else denoise(x_t, step.t)
            draw = _keyed(noise, index)
            x_t = sampler.step(process, x_t, t, t_next, pred, denoise=denoise, memory=memory, noise=draw)
    return x_t


@torch.no_grad()
def sample(
    process: NoiseProcess,
    denoise: Denoise,
    x_T: Tensor,
    timesteps: Sequence[int],
    sampler: Sampler,
    *,
    noise: Noise | None = None,
    callback: Callable[[Step], None] | None = None,
) -> Tensor:
    """x at t = 0, (B, C, H, W), dtype of x_T: :func:`rollout` run to its end, hence bitwise the states of training.

    The callback receives every Step with its prediction (before noise correction). Arguments and errors as in rollout.
    """
    states = rollout(process, denoise, x_T, timesteps, sampler, noise=noise)
    while True:
        try:
            step = next(states)
        except StopIteration as end:
            return end.value
        if callback is not None:
            step.pred = denoise(step.x_t, step.t)
            callback(step)


@torch.no_grad()
def advance(
    process: NoiseProcess, denoise: Denoise, x_t: Tensor, timesteps: Sequence[int], end: int, sampler: Sampler
) -> Tensor:
    """x at `end`, (B, C, H, W), from x at timesteps[0]: one move a time of `timesteps`, each to the next, the last to
    `end`.

    `end` may be 0. Carries no gradient. ValueError as :func:`rollout`, or for a sampler that draws noise.
    """
    _refuse_noise(sampler, "advance")
    if end == 0:
        return sample(process, denoise, x_t, timesteps, sampler)
    states = rollout(process, denoise, x_t, [*timesteps, end], sampler)
    return next(state for state in states if state.index == len(timesteps)).x_t  # the network never sees it


@torch.no_grad()
def solve(
    process: NoiseProcess, denoise: Denoise, x_t: Tensor, start: Timestep, steps: int, sampler: Sampler
) -> Prediction:
    """The teacher's answer from x at `start`: [0, start] in `steps` equal intervals, solved down to the last.

    steps - 1 moves start -> start/steps, and the Prediction there (METHOD.md section 2, "t/k"); fewer where times round
    to the same value. steps = 1 is one prediction at x_t. Carries no gradient.
    A start for each sample, (B,) long, gives the same answers; times that round to the same value are kept there, since
    samples differ in them, and such a move is the identity.

    Raises:
        ValueError: as :func:`teacher_timesteps`, or a sampler that draws noise.
    """
    _refuse_noise(sampler, "solve")
    if isinstance(start, Tensor):
        return _solve_each(process, denoise, x_t, start, steps, sampler)
    times = teacher_timesteps(process, start, steps)
    states = rollout(process, denoise, x_t, times, sampler)
    last = next(state for state in states if state.index == len(times) - 1)  # stops before the move to t = 0
    return denoise(last.x_t, last.t)


def _solve_each(
    process: NoiseProcess, denoise: Denoise, x_t: Tensor, start: Tensor, steps: int, sampler: Sampler
) -> Prediction:
    fractions = torch.arange(steps, 0, -1, dtype=torch.float64)[:, None]  # (k, 1)
    # halves are exact in float64 and round to even, as in `teacher_timesteps`
    times = (start.cpu().double() * fractions / steps).round().long().clamp(min=1).to(x_t.device)  # (k, B)
    x_t = x_t.detach()
    memory: dict[str, Any] = {}
    for t, t_next in zip(times, times[1:], strict=False):
        pred = denoise(x_t, t)
        x_t = sampler.step(process, x_t, t, t_next, pred, denoise=denoise, memory=memory, noise=_keyed(None, 0))
    return denoise(x_t, times[-1])


def _refuse_noise(sampler: Sampler, who: str) -> None:
    if sampler.stochastic:
        raise ValueError(f"{who}: a target must be a function of its state, but {sampler!r} draws noise.")


def _keyed(noise: Noise | None, index: int) -> Callable[[], Tensor]:
    def draw() -> Tensor:
        assert noise is not None, "a sampler that is not `stochastic` drew noise"
        return noise(index)

    return draw
