"""The student's own trajectory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from workbench.diffusion import rollout
from workbench.distill.state import State
from workbench.distill.trajectories.base import Start, States, Trajectory


@dataclass(frozen=True)
class Backward(Trajectory):
    """Backward distillation: the student is rolled out from pure noise with the sampler of inference, x_T ~ N(0, I),
    and trained where it arrives. No real image enters; no gradient flows through the rollout.

    states: "one" draws one of the student's times and stops there; "all" trains on every state of one rollout, at one
    network call a state.
    Reference: Kohler et al. 2024, arXiv 2405.05224, backward distillation (METHOD.md section 2).
    """

    states: Literal["one", "all"] = "one"

    def walk(self, start: Start) -> States:
        x_T = start.random.normal("x_T", start.shape)
        moves = start.random.within("moves")

        def noise(move: int) -> Tensor:
            return moves.normal(str(move), start.shape)

        wanted = None if self.states == "all" else start.draw_index()
        for step in rollout(start.process, start.denoise, x_T, start.timesteps, start.sampler, noise=noise):
            if wanted is not None and step.index != wanted:
                continue
            pred = yield State(
                x_t=step.x_t,
                t=step.t,
                timestep=step.timestep,
                cond=start.cond,
                noise=x_T,
                timesteps=start.timesteps,
                index=step.index,
                random=start.random.within(f"state{step.index}"),
            )
            if wanted is not None:
                return
            step.pred = pred
