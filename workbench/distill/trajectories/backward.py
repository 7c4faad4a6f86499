"""The student's own trajectory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from workbench.diffusion import rollout
from workbench.distill.state import State
from workbench.distill.trajectories.base import Start, States, Trajectory, check_power


@dataclass(frozen=True)
class Backward(Trajectory):
    """Backward distillation: the student is rolled out from pure noise with the sampler of inference, x_T ~ N(0, I),
    and trained where it arrives. No real image enters; no gradient flows through the rollout.

    states: "one" draws one of the student's times and stops there; "all" trains on every state of one rollout, at one
    network call a state.
    power: of the one that is drawn, P(t) goes as t^power: 0 is uniform; at 3 steps, 2 trains at T in 64 % of the
    updates, at 2T/3 in 29 % and at T/3 in 7 % (METHOD.md section 4, which t).
    Reference: Kohler et al. 2024, arXiv 2405.05224, backward distillation (METHOD.md section 2).
    ValueError for a power outside [-20, 20], or beside states "all", which draws none.
    """

    states: Literal["one", "all"] = "one"
    power: float = 0.0

    def __post_init__(self) -> None:
        check_power(self.power, "Backward")
        if self.states == "all" and self.power != 0:
            raise ValueError(
                f"Backward power {self.power} says which state is drawn, and states: all draws none. Leave one of them "
                "out."
            )

    def walk(self, start: Start) -> States:
        x_T = start.random.normal("x_T", start.shape)
        moves = start.random.within("moves")

        def noise(move: int) -> Tensor:
            return moves.normal(str(move), start.shape)

        wanted = None if self.states == "all" else start.draw_index(self.power)
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
