"""FixedStepTarget: k by the length of the teacher's path."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.distill.analytic import AnalyticTeacher, gaussian, predict, sd_process, state_at
from workbench.distill import FixedStepTarget, IdentityShift, JitterShift, ScaleShift, StudentNoise, TeacherTarget

PROCESS = sd_process()


def made(cls: type[TeacherTarget], t: int, **arguments: Any) -> torch.Tensor:
    state = state_at(PROCESS, t)
    pred = predict(gaussian(PROCESS, -0.3, 1.1), state)
    arguments = {"shift": IdentityShift(), "noise": StudentNoise()} | arguments
    return cls(**arguments)(state, pred, AnalyticTeacher(gaussian(PROCESS), 3.0))


@pytest.mark.parametrize(
    ("t", "size", "factor", "k"),
    [(1000, 0.2, 1.0, 5), (667, 0.2, 1.0, 4), (333, 0.2, 1.0, 2), (1000, 0.2, 0.6, 3), (333, 0.5, 1.0, 1)],
)
def test_it_is_the_teacher_target_with_k_for_this_t(t: int, size: float, factor: float, k: int) -> None:
    shift = ScaleShift(factor=factor)
    found = made(FixedStepTarget, t, size=size, shift=shift)
    assert torch.equal(found, made(TeacherTarget, t, steps=k, shift=shift))
    assert not torch.allclose(found, made(TeacherTarget, t, steps=k + 1, shift=shift))


def test_steps_is_the_most_of_them() -> None:
    assert torch.equal(made(FixedStepTarget, 1000, size=0.1, steps=3), made(TeacherTarget, 1000, steps=3))


@pytest.mark.parametrize("t", [1000, 667, 333])
def test_no_step_is_longer_than_its_size(t: int) -> None:
    target = FixedStepTarget(shift=IdentityShift(), size=0.07)
    k = target.steps_at(state_at(PROCESS, t), PROCESS)
    assert t / k <= 0.07 * 1000 < t / max(k - 1, 1e-9)


def test_a_gamma_for_each_sample_takes_the_steps_of_the_largest() -> None:
    state, shift = state_at(PROCESS, 667), JitterShift()
    _, high = shift.bounds(667, PROCESS, state.timesteps)
    target = FixedStepTarget(shift=shift, noise=StudentNoise(), size=0.1)
    assert target.steps_at(state, PROCESS) == -(-high // 100)


@pytest.mark.parametrize("size", [0.0, -0.1, 1.1])
def test_a_size_outside_the_schedule_is_refused(size: float) -> None:
    with pytest.raises(ValueError, match="size must be above 0"):
        FixedStepTarget(size=size)
