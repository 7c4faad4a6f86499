"""TeacherTarget: the identities of METHOD.md sections 5 and 6."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.distill.analytic import (
    AnalyticTeacher,
    flow_process,
    gaussian,
    predict,
    sd_process,
    state_at,
    zero_snr_process,
)
from tests.distill.every import every
from workbench.diffusion import DDIM, DPMSolverPP, Heun, Renoise, solve
from workbench.distill import (
    FreshNoise,
    IdentityShift,
    InitialNoise,
    MixedNoise,
    OffsetShift,
    ScaleShift,
    StudentNoise,
    TableShift,
    TargetNoise,
    TeacherTarget,
)

TYPES = ["epsilon", "sample", "v_prediction", "flow"]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("t", [1000, 667, 333])
def test_identity_shift_with_the_students_noise_is_plain_distillation(kind: str, steps: int, t: int) -> None:
    process = flow_process() if kind == "flow" else sd_process()
    teacher = AnalyticTeacher(gaussian(process, 0.4, 0.8, kind))
    state = state_at(process, t)
    pred = predict(gaussian(process, -0.2, 1.3, kind), state)  # a student that is not the teacher
    target = TeacherTarget(shift=IdentityShift(), noise=StudentNoise(), steps=steps)(state, pred, teacher)
    plain = solve(process, teacher.denoiser.bind(state.cond), state.x_t, t, steps, DDIM()).x0
    torch.testing.assert_close(target, plain, rtol=0, atol=1e-9)  # float64; chi is x_t up to rounding


def test_four_prediction_types_give_the_same_targets() -> None:
    process = sd_process()
    state = state_at(process, 667)
    targets = []
    for kind in TYPES:
        teacher = AnalyticTeacher(gaussian(process, 0.4, 0.8, kind))
        pred = predict(gaussian(process, -0.2, 1.3, kind), state)
        targets.append(TeacherTarget(noise=MixedNoise(rho=0.5))(state, pred, teacher))
    for other in targets[1:]:
        torch.testing.assert_close(other, targets[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("solver", [DDIM(), DPMSolverPP(), Heun()], ids=repr)
@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("factor", [0.2, 0.7, 1.0])
def test_point_mass_data_is_the_target_whatever_gamma_and_k(solver: Any, steps: int, factor: float) -> None:
    process = sd_process()
    teacher = AnalyticTeacher(gaussian(process, 0.37, 0.0))
    state = state_at(process, 667)
    pred = predict(gaussian(process, -0.2, 1.3), state)
    target = TeacherTarget(shift=ScaleShift(factor=factor), noise=FreshNoise(), steps=steps, solver=solver)
    condition = state.cond.mean(dim=(1, 2)).view(-1, 1, 1, 1)  # type: ignore[union-attr]  # moves the data
    expected = (0.37 + condition).expand_as(state.x_t)
    torch.testing.assert_close(target(state, pred, teacher), expected, rtol=0, atol=1e-9)


def test_one_step_is_one_prediction_at_chi_and_scale_one_is_the_conditional_teacher() -> None:
    process = sd_process()
    teacher = AnalyticTeacher(gaussian(process), guidance_scale=4.0)
    state = state_at(process, 667)
    pred = predict(gaussian(process, -0.2, 1.3), state)
    chi = process.add_noise(pred.x0, pred.eps, 467)
    expected = teacher.denoiser(chi, torch.full((4,), 467), state.cond).x0
    target = TeacherTarget(shift=ScaleShift(factor=0.7), noise=StudentNoise(), steps=1, guidance=1.0)
    assert torch.equal(target(state, pred, teacher), expected)


def test_a_guidance_range_draws_one_scale_a_sample_and_its_ends_are_numbers() -> None:
    process = sd_process()
    teacher = AnalyticTeacher(gaussian(process))
    state = state_at(process, 667)
    pred = predict(gaussian(process, -0.2, 1.3), state)

    def at(guidance: float | tuple[float, float] | None) -> torch.Tensor:
        return TeacherTarget(noise=StudentNoise(), steps=1, guidance=guidance)(state, pred, teacher)

    torch.testing.assert_close(at((3.0, 3.0)), at(3.0))
    # With one step the target is affine in the scale: between the ends, and not at the same place in every sample.
    share = ((at((1.0, 5.0)) - at(1.0)) / (at(5.0) - at(1.0))).flatten(1)
    torch.testing.assert_close(share, share[:, :1].expand_as(share))
    assert ((share > 0) & (share < 1)).all() and share[:, 0].unique().numel() == 4


def test_sub_steps_are_distinct_times_of_the_teacher_and_duplicates_are_dropped() -> None:
    process = sd_process()
    seen: list[int] = []
    inner = gaussian(process)

    class Watching(type(inner)):  # type: ignore[misc]
        def forward(self, x_t: Any, t: Any, cond: Any = None) -> Any:
            seen.append(int(t[0]))
            return super().forward(x_t, t, cond)

    inner.__class__ = Watching
    state = state_at(process, 333)
    pred = predict(gaussian(process, -0.2, 1.3), state)
    TeacherTarget(shift=TableShift(times=(333,), levels=(3,)), steps=25)(state, pred, AnalyticTeacher(inner))
    assert seen == [3, 2, 1]


# METHOD.md section 6: fixed-point std / true std at T for unit Gaussian data on Stable Diffusion's schedule.
FIXED_POINTS = {5: [0.76, 0.88, 1.12, 1.56, 1.93], 25: [0.94, 1.07, 1.32, 1.82, 2.23]}


@pytest.mark.parametrize("steps", FIXED_POINTS)
@pytest.mark.parametrize(("position", "factor"), list(enumerate([1.0, 0.8, 0.6, 0.4, 0.3])))
def test_fixed_point_gain_of_the_students_own_noise(steps: int, position: int, factor: float) -> None:
    """Training to convergence is iterating x0S <- target; for Gaussian data both are multiples of x_T."""
    process = sd_process()
    teacher = AnalyticTeacher(gaussian(process, 0.0, 1.0))
    state = state_at(process, 1000)
    alpha, sigma = process.alpha(1000, state.x_t), process.sigma(1000, state.x_t)
    target = TeacherTarget(shift=ScaleShift(factor=factor), noise=StudentNoise(), steps=steps)
    object.__setattr__(state, "cond", torch.zeros_like(state.cond))  # type: ignore[arg-type]
    x0 = state.x_t.clone()
    for _ in range(60):
        x0 = target(state, type(predict(teacher.denoiser, state))(x0, (state.x_t - alpha * x0) / sigma), teacher)
    gain = (x0 / state.x_t).mean()  # x_T has unit variance
    torch.testing.assert_close(x0, gain * state.x_t)
    assert float(gain) == pytest.approx(FIXED_POINTS[steps][position], abs=0.006)


@pytest.mark.parametrize(("factor", "expected"), [(0.8, 0.16), (0.6, 0.35)])
def test_fresh_noise_shrinks_the_spread_with_every_fit(factor: float, expected: float) -> None:
    """E[target | x0S] = gain x0S with gain far below 1 at k = 5: the collapse of METHOD.md section 6."""
    process = sd_process()
    teacher = AnalyticTeacher(gaussian(process, 0.0, 1.0))
    state = state_at(process, 1000)
    object.__setattr__(state, "cond", torch.zeros_like(state.cond))  # type: ignore[arg-type]
    target = TeacherTarget(shift=ScaleShift(factor=factor), noise=FreshNoise(), steps=5)
    pred = predict(teacher.denoiser, state)
    bumped = type(pred)(pred.x0 + 1, pred.eps)
    gain = target(state, bumped, teacher) - target(state, pred, teacher)  # affine: the same fresh noise cancels
    assert float(gain.mean()) == pytest.approx(expected, abs=0.006)


def test_targets_are_float32_whatever_the_autocast() -> None:
    process = sd_process()
    teacher = AnalyticTeacher(gaussian(process))
    state = state_at(process, 667, dtype=torch.float32)
    pred = predict(gaussian(process, -0.2, 1.3), state)
    plain = TeacherTarget()(state, pred, teacher)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = TeacherTarget()(state, pred, teacher)
    assert cast.dtype == torch.float32 and torch.equal(cast, plain)


class TestRefusals:
    def test_fresh_noise_where_nothing_of_the_student_is_left(self) -> None:
        for noise in (FreshNoise(), MixedNoise(rho=1.0)):
            target = TeacherTarget(shift=IdentityShift(), noise=noise)
            with pytest.raises(ValueError, match="independent of the student"):
                target.check(zero_snr_process(), [(1000, 500)])
            target.check(sd_process(), [(1000, 500)])  # alpha_T > 0: x0S is still in chi
        TeacherTarget(shift=ScaleShift(factor=0.9), noise=FreshNoise()).check(zero_snr_process(), [(1000,)])
        TeacherTarget(shift=IdentityShift(), noise=InitialNoise()).check(zero_snr_process(), [(1000,)])

    def test_gamma_zero(self) -> None:
        with pytest.raises(ValueError, match="the loss is zero"):
            TeacherTarget(shift=OffsetShift(offset=-0.5)).check(sd_process(), [(1000,), (1000, 500)])

    @pytest.mark.parametrize(
        ("arguments", "word"),
        [
            ({"steps": 0}, "steps"), ({"solver": Renoise()}, "draws noise"), ({"guidance": (3.0, 1.0)}, "low, high"),
            ({"solver": DDIM(noise_correction=True)}, "model.sampler"),
        ],
    )  # fmt: skip
    def test_arguments(self, arguments: dict, word: str) -> None:
        with pytest.raises(ValueError, match=word):
            TeacherTarget(**arguments)


class TestNoises:
    @pytest.mark.parametrize("cls", every(TargetNoise), ids=lambda c: c.__name__)
    def test_every_noise_has_the_shape_of_the_state_and_is_keyed(self, cls: type[TargetNoise]) -> None:
        process = sd_process()
        state = state_at(process, 667)
        pred = predict(gaussian(process), state)
        first, second = cls()(state, pred), cls()(state, pred)
        assert first.shape == state.x_t.shape and torch.equal(first, second)

    def test_mixed_noise_goes_from_the_students_own_to_fresh_and_keeps_unit_variance(self) -> None:
        process = sd_process()
        state = state_at(process, 667)
        pred = predict(gaussian(process), state)
        assert torch.equal(MixedNoise(rho=0.0)(state, pred), StudentNoise()(state, pred))
        torch.testing.assert_close(MixedNoise(rho=1.0)(state, pred), FreshNoise()(state, pred).double())
        mixed = MixedNoise(rho=0.6)(state, pred)
        torch.testing.assert_close(mixed, 0.8 * pred.eps + 0.6 * FreshNoise()(state, pred))

    def test_initial_noise_is_the_noise_of_the_trajectory(self) -> None:
        process = sd_process()
        state = state_at(process, 667)
        assert InitialNoise()(state, predict(gaussian(process), state)) is state.noise
