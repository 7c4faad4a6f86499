"""Targets of published methods: step distillation, consistency distillation, ADD's weight and random level."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.distill.analytic import PROCESSES, AnalyticTeacher, gaussian, keyed, predict, sd_process, state_at
from workbench.diffusion import DDIM, DPMSolverPP, Heun, NoiseProcess, Prediction, Renoise, Sampler, solve
from workbench.distill import (
    AlphaWeightedTarget,
    Backward,
    ConsistencyTarget,
    Forward,
    FreshNoise,
    JitterShift,
    ProgressiveTarget,
    RandomShift,
    Reconstruction,
    ScaleShift,
    Staged,
    State,
    TeacherTarget,
    Update,
)
from workbench.distill.copies import AverageKind, StageStartKind

MEAN, STD = 0.4, 0.8


def without_cond(state: State) -> State:
    assert state.cond is not None
    return dataclasses.replace(state, cond=torch.zeros_like(state.cond))


def flow(process: NoiseProcess, x_t: Tensor, t: int, end: int) -> Tensor:
    """The probability-flow ODE of N(MEAN, STD^2) from t to `end`: the standardised state is constant."""

    def spread(t: int) -> Tensor:
        return (process.alpha(t, x_t) ** 2 * STD**2 + process.sigma(t, x_t) ** 2).sqrt()

    z = (x_t - process.alpha(t, x_t) * MEAN) / spread(t)
    return process.alpha(end, x_t) * MEAN + spread(end) * z


def one_ddim_step(process: NoiseProcess, state: State, x0: Tensor, end: int) -> Tensor:
    eps = (state.x_t - process.alpha(state.timestep, x0) * x0) / process.sigma(state.timestep, x0)
    return process.alpha(end, x0) * x0 + process.sigma(end, x0) * eps


class OtherStudent:
    """Stands for a copy: an analytic denoiser that counts its calls."""

    is_there = True

    def __init__(self, denoise: Callable[[Tensor, Tensor], Prediction]) -> None:
        self.denoise = denoise
        self.calls = 0

    def __call__(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Prediction:
        self.calls += 1
        return self.denoise(x_t, t)

    def bind(self, cond: Tensor | None = None) -> Any:
        return lambda x_t, t: self(x_t, t, cond)


class TestProgressive:
    @pytest.mark.parametrize("make", PROCESSES.values(), ids=PROCESSES)
    @pytest.mark.parametrize(("t", "end"), [(1000, 667), (667, 333), (333, 0)])
    def test_one_student_step_lands_where_two_guided_teacher_steps_land(self, make: Any, t: int, end: int) -> None:
        process = make()
        teacher = AnalyticTeacher(gaussian(process, MEAN, STD), guidance_scale=3.0)
        state = state_at(process, t)
        x0 = ProgressiveTarget(steps=2)(state, predict(gaussian(process), state), teacher)
        middle = round((t + end) / 2)
        denoise = teacher.guided().bind(state.cond)  # type: ignore[arg-type]
        x = state.x_t
        for now, then in ((t, middle), (middle, end)):
            pred = denoise(x, process.as_batch(now, x))
            x = process.alpha(then, x) * pred.x0 + process.sigma(then, x) * pred.eps
        torch.testing.assert_close(one_ddim_step(process, state, x0, end), x, rtol=0, atol=1e-9)

    @pytest.mark.parametrize(("t", "end"), [(1000, 667), (333, 0)])
    def test_with_many_substeps_it_is_the_flow_of_the_gaussian(self, t: int, end: int) -> None:
        process = sd_process()
        state = without_cond(state_at(process, t))
        teacher = AnalyticTeacher(gaussian(process, MEAN, STD))
        exact = flow(process, state.x_t, t, end)

        def error(steps: int, solver: Sampler) -> float:
            x0 = ProgressiveTarget(steps=steps, solver=solver)(state, predict(teacher.denoiser, state), teacher)
            return float((one_ddim_step(process, state, x0, end) - exact).abs().max())

        assert error(100, Heun()) < 5e-3  # the step to t = 0 is of order 1
        assert error(40, DDIM()) < 0.6 * error(20, DDIM()) < 0.36 * error(10, DDIM())  # order 1

    def test_from_the_second_stage_the_student_of_the_stage_before_teaches_unguided(self) -> None:
        process = sd_process()
        teacher = AnalyticTeacher(gaussian(process, MEAN, STD), guidance_scale=3.0)
        before = OtherStudent(gaussian(process, -1.0, 0.3))
        state = dataclasses.replace(state_at(process, 667), copies={StageStartKind(): before})  # type: ignore[dict-item]
        pred = predict(teacher.denoiser, state)
        target = ProgressiveTarget(steps=2)
        x0 = target(state, pred, teacher)
        plain = dataclasses.replace(state, copies={})
        alone = target(without_cond(plain), pred, AnalyticTeacher(gaussian(process, -1.0, 0.3)))
        torch.testing.assert_close(x0, alone)
        assert before.calls == 2
        before.is_there = False  # the first stage
        torch.testing.assert_close(target(state, pred, teacher), target(plain, pred, teacher))

    @pytest.mark.parametrize(
        "sampler", [Renoise(), DDIM(noise_correction=True), DDIM(eta=0.5), DPMSolverPP()], ids=repr
    )
    def test_refuses_a_student_whose_step_it_does_not_invert(self, sampler: Sampler) -> None:
        with pytest.raises(ValueError, match=r"inverts one DDIM step.*noise_correction: off"):
            ProgressiveTarget().check_parts(sampler, Forward())
        ProgressiveTarget().check_parts(DDIM(), Backward())

    def test_refuses_stages_that_its_steps_do_not_join(self) -> None:
        with pytest.raises(ValueError, match="from 16 to 4"):
            ProgressiveTarget().check_parts(DDIM(), Staged(stages=(16, 4)))
        ProgressiveTarget(steps=4).check_parts(DDIM(), Staged(stages=(16, 4)))


class TestConsistency:
    def test_at_the_end_of_the_chain_it_is_the_solvers_x0_and_asks_no_student(self) -> None:
        process = sd_process()
        teacher = AnalyticTeacher(gaussian(process, MEAN, STD), guidance_scale=3.0)
        state = state_at(process, 333)
        target = ConsistencyTarget(skip=0.4)  # t - 400 < 0: no copy is looked up
        x0 = target(state, predict(gaussian(process), state), teacher)
        skip, out = target.boundary(333)
        solved = teacher.guided()(state.x_t, state.t, state.cond).x0  # type: ignore[arg-type]  # one step to t = 0
        torch.testing.assert_close(skip * state.x_t + out * x0, solved, rtol=0, atol=1e-9)

    def test_the_boundary(self) -> None:
        target = ConsistencyTarget(timestep_scaling=10.0, sigma_data=0.5)
        assert target.boundary(0) == (1.0, 0.0)
        skip, out = target.boundary(1)
        assert skip == pytest.approx(0.25 / 100.25) and out == pytest.approx(10 / 100.25**0.5)
        assert 1 - target.boundary(250)[1] < 1e-7  # what samplers neglect

    @pytest.mark.parametrize("t", [1000, 667, 333])
    def test_the_exact_solution_of_the_flow_is_its_fixed_point(self, t: int) -> None:
        """f = the flow's x at t = 0 gives no loss, up to the solver's error of one step, which is of second order."""
        process = sd_process()
        teacher = AnalyticTeacher(gaussian(process, MEAN, STD))
        state = without_cond(state_at(process, t))

        def error(skip: float) -> float:
            target = ConsistencyTarget(skip=skip)

            def consistent(x_t: Tensor, t: Tensor) -> Prediction:
                now = int(t[0])
                c_skip, c_out = target.boundary(now)
                x0 = (flow(process, x_t, now, 0) - c_skip * x_t) / c_out
                return Prediction(x0, x_t)

            copies: Any = {AverageKind(0.95): OtherStudent(consistent)}
            at = dataclasses.replace(state, copies=copies)
            own = consistent(state.x_t, state.t)
            return float((target(at, own, teacher) - own.x0).abs().max())

        assert error(0.001) < 1e-3
        assert error(0.02) < 0.35 * error(0.04)  # half the step, about a quarter of the error

    def test_one_guided_step_then_the_average(self) -> None:
        process = sd_process()
        teacher = AnalyticTeacher(gaussian(process, MEAN, STD), guidance_scale=4.0)
        average = OtherStudent(gaussian(process, -1.0, 0.3))
        state = dataclasses.replace(state_at(process, 667), copies={AverageKind(0.9): average})  # type: ignore[dict-item]
        target = ConsistencyTarget(skip=0.1, decay=0.9)
        x0 = target(state, predict(gaussian(process), state), teacher)
        pred = teacher.guided()(state.x_t, state.t, state.cond)  # type: ignore[arg-type]
        x_next = process.add_noise(pred.x0, pred.eps, 567)
        skip, out = target.boundary(567)
        there = skip * x_next + out * gaussian(process, -1.0, 0.3)(x_next, process.as_batch(567, x_next)).x0
        skip, out = target.boundary(667)
        torch.testing.assert_close(x0, (there - skip * state.x_t) / out)
        assert average.calls == 1

    def test_refusals(self) -> None:
        bads: list[dict[str, Any]] = [
            {"skip": 0.0}, {"decay": 1.0}, {"sigma_data": 0.0}, {"solver": Renoise()}, {"guidance": (3, 1)},
        ]  # fmt: skip
        for bad in bads:
            with pytest.raises(ValueError, match=f"ConsistencyTarget .*{next(iter(bad))}"):
                ConsistencyTarget(**bad)
        with pytest.raises(ValueError, match="rounds to no time"):
            ConsistencyTarget(skip=0.0004).check(sd_process(), [(1000,)])


class TestJitterShift:
    def test_stays_in_its_band_around_the_scale_and_is_drawn_for_each_sample(self) -> None:
        process, shift = sd_process(), JitterShift(factor=0.7, width=0.2)
        seen = []
        for seed in range(50):
            state = state_at(process, 667, seed=seed)
            levels = shift.at(state, process)
            assert isinstance(levels, Tensor) and torch.equal(levels, shift.at(state, process))  # type: ignore[arg-type]
            seen += levels.tolist()
        assert min(seen) >= 333 and max(seen) <= 600 and len(set(seen)) > 100
        assert 450 < sum(seen) / len(seen) < 484  # uniform in 333 to 600: 467, SD 5.4
        assert shift(667, process, (1000, 667)) == 467 and shift.bounds(667, process, (1000, 667)) == (333, 600)

    def test_without_width_it_is_the_scale(self) -> None:
        process, state = sd_process(), state_at(sd_process(), 667)
        narrow, scale = (TeacherTarget(shift=s) for s in (JitterShift(0.7, 0.0), ScaleShift(0.7)))
        pred, teacher = predict(gaussian(process), state), AnalyticTeacher(gaussian(process, MEAN, STD))
        torch.testing.assert_close(narrow(state, pred, teacher), scale(state, pred, teacher), rtol=0, atol=1e-12)

    @pytest.mark.parametrize("bad", [{"factor": 0.9}, {"width": 0.8}, {"factor": 0.0, "width": 0.0}], ids=str)
    def test_refuses_a_band_outside_the_schedule(self, bad: dict) -> None:
        with pytest.raises(ValueError, match="JitterShift"):
            JitterShift(**bad)


class TestRandomShift:
    def test_draws_in_its_range_and_alike_at_every_call(self) -> None:
        process = sd_process()
        shift = RandomShift(low=0.3, high=0.5)
        seen = []
        for seed in range(50):
            state = state_at(process, 667, seed=seed)
            first, second = shift.at(state, process), shift.at(state, process)
            assert (
                isinstance(first, Tensor)
                and isinstance(second, Tensor)
                and torch.equal(first, second)
                and first.shape == (4,)
            )
            seen += first.tolist()
        assert min(seen) >= 300 and max(seen) <= 500
        assert 390 < sum(seen) / len(seen) < 410  # uniform: 400, SD 4.1
        assert shift.bounds(667, process, (1000, 667)) == (300, 500)

    def test_does_not_depend_on_how_the_batch_is_split(self) -> None:
        process = sd_process()
        state = state_at(process, 667)
        halves = [
            dataclasses.replace(
                state,
                x_t=state.x_t[rows],
                random=dataclasses.replace(state.random, indices=state.random.indices[rows]),
            )
            for rows in (slice(0, 2), slice(2, 4))
        ]
        whole = RandomShift().at(state, process)
        assert isinstance(whole, Tensor)
        assert torch.equal(whole, torch.cat([RandomShift().at(half, process) for half in halves]))  # type: ignore[misc]
        batch = RandomShift(per="batch")
        assert len({batch.at(part, process) for part in (state, *halves)}) == 1
        assert len({batch.at(dataclasses.replace(state, random=keyed(tick)), process) for tick in range(9)}) > 5

    @pytest.mark.parametrize("solver", [DDIM(), DPMSolverPP(), Heun()], ids=repr)
    @pytest.mark.parametrize("steps", [1, 4])
    def test_a_level_for_each_sample_gives_each_sample_its_own_answer(self, solver: Sampler, steps: int) -> None:
        process = sd_process()
        denoise = gaussian(process, MEAN, STD)
        x = keyed().normal("x", (2, 3, 3)).double()
        start = torch.tensor([1000, 333, 7, 2])  # the last has fewer times than steps
        together = solve(process, denoise, x, start, steps, solver).x0
        for row, t in enumerate(start.tolist()):
            alone = solve(process, denoise, x[row : row + 1], t, steps, solver).x0
            torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-9)

    def test_is_refused_where_fresh_noise_would_leave_nothing(self) -> None:
        process = PROCESSES["zero_snr"]()
        target = TeacherTarget(shift=RandomShift(low=0.0, high=1.0), noise=FreshNoise())
        with pytest.raises(ValueError, match="independent of the student"):
            target.check(process, [(1000,)])
        TeacherTarget(shift=RandomShift(), noise=FreshNoise()).check(process, [(1000,)])

    @pytest.mark.parametrize("bad", [{"low": 0.6, "high": 0.5}, {"high": 1.1}, {"low": 0.0, "high": 0.0}], ids=str)
    def test_refuses_a_range_outside_the_schedule(self, bad: dict) -> None:
        with pytest.raises(ValueError, match="RandomShift"):
            RandomShift(**bad)


@pytest.mark.parametrize("shift", [RandomShift(low=0.0, high=1.0), RandomShift(per="batch"), ScaleShift()], ids=repr)
@pytest.mark.parametrize("normalise", [False, True])
def test_adds_weight_is_alpha_at_the_level_of_each_sample(shift: Any, normalise: bool) -> None:
    process = sd_process()
    teacher: Any = AnalyticTeacher(gaussian(process, MEAN, STD))
    teacher.device = torch.device("cpu")
    state = state_at(process, 667)
    pred = predict(gaussian(process, -0.2, 1.3), state)
    update = Update(state, Prediction(pred.x0.requires_grad_(), pred.eps), teacher)
    arguments: Any = {"shift": shift, "noise": FreshNoise(), "steps": 1}
    loss = Reconstruction(target=AlphaWeightedTarget(**arguments), normalise_per_t=normalise)
    loss.prepare(teacher, None)  # type: ignore[arg-type]  # draws nothing
    value = loss(update)
    plain = TeacherTarget(**arguments)(state, pred.detach(), teacher)
    squares = (pred.x0 - plain).square().flatten(1).mean(1)
    gamma = torch.as_tensor(shift.at(state, process)).expand(4)
    expected = (process.alphas[gamma] * squares).mean()
    if normalise:  # a running mean of the distances as they are: the weights stay
        expected = expected / squares.mean()
    torch.testing.assert_close(value, expected.to(value), rtol=1e-6, atol=0)
