"""Reconstruction: the distance of the student's x0 to a target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from workbench.diffusion import Draws, NoiseProcess
from workbench.distill.distances import MSE, Distance
from workbench.distill.losses.base import Loss
from workbench.distill.ranks import mean_over_ranks
from workbench.distill.targets import Target, TeacherTarget
from workbench.distill.update import Update


class Reconstruction(Loss):
    """distance(x0S, target), the mean over the batch; the target is constant.

    Args:
        weight: factor of the loss; > 0.
        target: what the student's x0 is pulled towards.
        distance: how far it is.
        normalise_per_t: divide by a running mean of the distance at the same t, so that every time of the grid pulls
            alike. (A squared x0 error weighs T, 2T/3 and T/3 as 213 : 8.5 : 0.9 on Stable Diffusion's schedule.)
        decay: of that running mean, a visit; its first value is the first distance seen at t.

    Raises:
        ValueError: weight <= 0, decay outside [0, 1), or a distance that normalise_per_t would undo.
    """

    def __init__(
        self,
        weight: float = 1.0,
        target: Target = TeacherTarget(),  # noqa: B008  # frozen
        distance: Distance = MSE(),  # noqa: B008  # frozen
        normalise_per_t: bool = True,
        decay: float = 0.9,
    ) -> None:
        super().__init__()
        if not weight > 0:
            raise ValueError(
                f"Reconstruction weight must be above 0, but got {weight}. Remove the loss with `null` to do without."
            )
        if not 0 <= decay < 1:
            raise ValueError(f"Reconstruction decay must be at least 0 and below 1, but got {decay}.")
        if normalise_per_t and distance.weighs_times:
            raise ValueError(
                f"Reconstruction distance {type(distance).__name__} weighs the times t, and normalise_per_t takes "
                "every such weight away again. Use normalise_per_t: off with it."
            )
        self.weight = weight
        self.target = target
        self.distance = distance
        self.normalise_per_t = normalise_per_t
        self.decay = decay
        self.running_mean: Tensor
        self.register_buffer("running_mean", torch.zeros(0))

    @property
    def targets(self) -> Sequence[Target]:
        return (self.target,)

    def prepare(self, teacher: Any, draws: Draws) -> None:
        self.distance = self.distance.prepare(teacher)
        # (T + 1,), 0 = not seen yet; indexed by t, so that a checkpoint needs no list of times
        self.running_mean = torch.zeros(teacher.process.num_train_timesteps + 1, device=teacher.device)

    def calibrate(self, spread: Callable[[Target, int], float], process: NoiseProcess, times: Sequence[int]) -> None:
        self.target = self.target.calibrate(spread, process, times)

    def distances(self, update: Update) -> Tensor:
        """(B,), before normalisation and weight."""
        x0 = update.pred.x0
        return self.distance(x0.float(), update.target(self.target).float(), update.state.t, update.process)

    def forward(self, update: Update) -> Tensor:
        distances = self.distances(update)
        weights = self.target.weights(update.state, update.process)
        distance = distances.mean()
        loss = distance if weights is None else (weights.to(distances) * distances).mean()
        if not self.normalise_per_t:
            return loss
        # by the distance without the target's weights, so that they stay
        return loss / self._scale(update.state.timestep, mean_over_ranks(distance))

    def _scale(self, t: int, distance: Tensor) -> Tensor:
        """The running mean at t after this visit, (); the mean over the global batch, hence the same on every rank."""
        seen = self.running_mean[t]
        new = torch.where(seen == 0, distance, self.decay * seen + (1 - self.decay) * distance)
        self.running_mean[t] = new
        # A distance of exactly 0 (a student that equals its target) must not become 0 / 0.
        return new.clamp(min=torch.finfo(new.dtype).tiny)
