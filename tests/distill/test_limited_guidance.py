"""LimitedGuidanceTarget: guidance where the teacher looks, by closed form."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.distill.analytic import AnalyticTeacher, gaussian, predict, sd_process, state_at
from workbench.distill import IdentityShift, LimitedGuidanceTarget, RandomShift, ScaleShift, StudentNoise, TeacherTarget
from workbench.distill.shifts import ShiftSchedule

PROCESS = sd_process()
GUIDANCE = 3.0
STATE = state_at(PROCESS, 667)
STUDENT = predict(gaussian(PROCESS, -0.3, 1.1), STATE)


def target(
    cls: type[TeacherTarget], scale: float = GUIDANCE, shift: ShiftSchedule | None = None, **more: Any
) -> Tensor:
    """The target of a Gaussian teacher, whose mean the condition moves, at t = 667."""
    made = cls(shift=IdentityShift() if shift is None else shift, noise=StudentNoise(), **more)
    return made(STATE, STUDENT, AnalyticTeacher(gaussian(PROCESS), scale))


def test_everywhere_it_is_guidance_and_nowhere_it_is_none() -> None:
    everywhere = target(LimitedGuidanceTarget, interval=(0.0, 1.0))
    nowhere = target(LimitedGuidanceTarget, interval=(0.9, 1.0))
    guided, unguided = target(TeacherTarget), target(TeacherTarget, scale=1.0)
    torch.testing.assert_close(everywhere, guided, rtol=0, atol=1e-12)
    torch.testing.assert_close(nowhere, unguided, rtol=0, atol=1e-12)
    assert (guided - unguided).abs().max() > 0.1


@pytest.mark.parametrize(("interval", "scales"), [((0.5, 1.0), (3.0, 1.0)), ((0.0, 0.5), (1.0, 3.0))], ids=str)
def test_two_teacher_steps_from_667_have_a_scale_each(
    interval: tuple[float, float], scales: tuple[float, float]
) -> None:
    first, second = (gaussian_guided(PROCESS, scale) for scale in scales)  # at 667, and at 334 after a DDIM move
    pred = first(STATE.x_t, 667)
    alpha, sigma = float(PROCESS.alphas[334]), float(PROCESS.sigmas[334])
    eps = (STATE.x_t - float(PROCESS.alphas[667]) * pred) / float(PROCESS.sigmas[667])
    wanted = second(alpha * pred + sigma * eps, 334)
    found = target(LimitedGuidanceTarget, interval=interval, steps=2)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)


def gaussian_guided(process: Any, scale: float) -> Any:
    def x0(x: Tensor, t: int) -> Tensor:
        denoiser, times = gaussian(process), torch.full((len(x),), t)
        assert STATE.cond is not None
        without = denoiser(x, times, torch.zeros_like(STATE.cond)).x0
        return without + scale * (denoiser(x, times, STATE.cond).x0 - without)

    return x0


def test_what_counts_is_the_level_that_the_teacher_looks_at_for_each_sample() -> None:
    shift = RandomShift()  # a level for each sample
    levels = torch.as_tensor(shift.at(STATE, PROCESS))
    middle = float(levels.float().median()) / PROCESS.num_train_timesteps
    found = target(LimitedGuidanceTarget, shift=shift, interval=(0.0, middle), steps=1)
    guided, unguided = (target(TeacherTarget, scale=s, shift=shift, steps=1) for s in (GUIDANCE, 1.0))
    inside = levels <= middle * PROCESS.num_train_timesteps
    assert inside.any() and not inside.all()
    wanted = torch.where(inside.view(-1, 1, 1, 1), guided, unguided)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_a_scale_of_its_own_goes_before_the_teachers() -> None:
    own = target(LimitedGuidanceTarget, guidance=1.7, interval=(0.0, 1.0), shift=ScaleShift(0.5))
    torch.testing.assert_close(own, target(TeacherTarget, guidance=1.7, shift=ScaleShift(0.5)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("bad", [(0.5, 0.2), (-0.1, 0.5), (0.5, 1.1)], ids=str)
def test_refuses_an_interval_outside_the_schedule(bad: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="interval"):
        LimitedGuidanceTarget(interval=bad)
