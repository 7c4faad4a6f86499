"""Noised real images."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.distill.state import State
from workbench.distill.trajectories.base import Start, States, Trajectory, check_power


@dataclass(frozen=True)
class Forward(Trajectory):
    """x_t = q(x_0, eps, t) of a real image, t one of the student's times. The baseline: at alpha_T > 0 the image
    leaks into x_T, and the student never sees its own errors.

    power: P(t) goes as t^power, 0 is uniform, as with Backward. ValueError outside [-20, 20].
    """

    power: float = 0.0

    def __post_init__(self) -> None:
        check_power(self.power, type(self).__name__)

    @property
    def needs_images(self) -> bool:
        return True

    def walk(self, start: Start) -> States:
        assert start.latents is not None, "Forward needs the latents of real images"
        index = start.draw_index(self.power)
        t = start.timesteps[index]
        eps = start.random.normal("eps", start.shape)
        x_t = start.process.add_noise(start.latents, eps, t)
        yield State(
            x_t=x_t,
            t=start.process.as_batch(t, x_t),
            timestep=t,
            cond=start.cond,
            noise=eps,
            timesteps=start.timesteps,
            index=index,
            random=start.random.within(f"state{index}"),
        )
