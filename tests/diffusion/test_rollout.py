"""rollout, sample and solve: one code path, lazy, without gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.diffusion.processes import PROCESSES, sd_process
from tests.diffusion.samplers import CORRECTED, SAMPLERS, TIMES, Counting, mixture, move_noise, normal
from workbench.diffusion import DDIM, DPMSolverPP, Heun, Prediction, Renoise, Step, rollout, sample, solve
from workbench.models import GaussianDenoiser

EVERY = pytest.mark.parametrize("sampler", SAMPLERS + CORRECTED, ids=repr)


def steps_of(denoise, sampler, x_T: Tensor) -> list[Step]:
    return list(rollout(sd_process(), denoise, x_T, TIMES, sampler, noise=move_noise))


@EVERY
def test_training_and_inference_see_bitwise_the_same_states(sampler):
    # METHOD.md section 5, 6
    denoise, x_T = mixture(sd_process(), "epsilon").bind(), normal(4, 2, 2, 2).float()
    seen: list[Step] = []
    x_0 = sample(sd_process(), denoise, x_T, TIMES, sampler, noise=move_noise, callback=seen.append)
    without_callback = sample(sd_process(), denoise, x_T, TIMES, sampler, noise=move_noise)
    assert torch.equal(x_0, without_callback)

    trained: list[Tensor] = []
    for step in rollout(sd_process(), denoise, x_T, TIMES, sampler, noise=move_noise):
        step.pred = denoise(step.x_t, step.t)  # as a student would, with gradient
        trained.append(step.x_t)
    assert len(trained) == len(seen) == 3
    for a, b in zip(trained, seen, strict=True):
        assert torch.equal(a, b.x_t)
    assert torch.equal(seen[0].x_t, x_T)


def test_the_state_at_T_costs_no_network_call_and_each_move_one():
    counting = Counting(mixture(sd_process()).bind())
    states = rollout(sd_process(), counting, normal(4, 2, 2, 2), TIMES, DDIM())
    assert counting.times == []
    first = next(states)
    assert counting.times == [] and first.timestep == 1000 and first.index == 0 and first.t.tolist() == [1000] * 4
    second = next(states)
    assert counting.times == [1000] and second.timestep == 667 and second.pred is None


def test_a_prediction_that_is_given_back_is_not_computed_again():
    counting = Counting(mixture(sd_process()).bind())
    x_T = normal(4, 2, 2, 2)
    for step in rollout(sd_process(), counting, x_T, TIMES, DDIM()):
        step.pred = mixture(sd_process())(step.x_t, step.t)
    assert counting.times == []


def test_the_callback_sees_every_prediction_and_costs_nothing():
    counting = Counting(mixture(sd_process()).bind())
    seen: list[Step] = []
    sample(sd_process(), counting, normal(4, 2, 2, 2), TIMES, DDIM(noise_correction=True), callback=seen.append)
    assert counting.times == TIMES
    assert [step.timestep for step in seen] == TIMES and [step.index for step in seen] == [0, 1, 2]
    for step in seen:  # before correction: the pair still adds up to the state
        assert step.pred is not None
        torch.testing.assert_close(sd_process().add_noise(step.pred.x0, step.pred.eps, step.t), step.x_t)


def test_one_step_has_an_empty_rollout():
    # METHOD.md section 5, 5
    counting = Counting(mixture(sd_process()).bind())
    states = rollout(sd_process(), counting, normal(4, 2, 2, 2), [1000], DDIM())
    assert next(states).timestep == 1000 and counting.times == []
    with pytest.raises(StopIteration) as end:
        next(states)
    assert torch.equal(end.value.value, sample(sd_process(), counting, normal(4, 2, 2, 2), [1000], DDIM()))


@EVERY
def test_the_rollout_is_a_constant_for_the_gradient(sampler):
    # METHOD.md section 5, 7: the gradient with the rollout equals that with its result put in by hand.
    student = GaussianDenoiser(sd_process(), mean=0.3, std=0.8, prediction_type="epsilon", learnable=True)
    x_T = normal(4, 2, 2, 2)

    def gradient(x_t: Tensor, t: Tensor) -> list[Tensor]:
        loss = (student(x_t, t).x0 - 1).square().mean()
        return list(torch.autograd.grad(loss, list(student.parameters())))

    step = None
    for step in rollout(sd_process(), student.bind(), x_T, TIMES, sampler, noise=move_noise):
        if step.index == 2:
            break
        step.pred = student(step.x_t, step.t)
    assert step is not None and not step.x_t.requires_grad
    with_rollout = gradient(step.x_t, step.t)
    by_hand = gradient(torch.tensor(step.x_t.tolist(), dtype=torch.float64), torch.full((4,), 333))
    for a, b in zip(with_rollout, by_hand, strict=True):
        assert torch.equal(a, b) and a.abs() > 0


def test_a_rollout_leaves_the_callers_gradient_mode_alone():
    for _ in rollout(sd_process(), mixture(sd_process()).bind(), normal(4, 2, 2, 2), TIMES, DDIM()):
        assert torch.is_grad_enabled()


@pytest.mark.parametrize("times", [[], [500, 500], [300, 600], [500, 0], [500, -1]], ids=str)
def test_times_that_do_not_fall_are_refused_before_the_first_state(times):
    with pytest.raises(ValueError, match="must fall from the noisiest to at least 1"):
        rollout(sd_process(), mixture(sd_process()).bind(), normal(4, 2, 2, 2), times, DDIM())


# --- solve ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [1000, 700, 3])
def test_one_teacher_step_is_one_prediction(start):
    # METHOD.md section 5, 10
    x = normal(4, 2, 2, 2)
    answer = solve(sd_process(), mixture(sd_process()).bind(), x, start, 1, DDIM())
    expected = mixture(sd_process())(x, torch.full((4,), start))
    assert torch.equal(answer.x0, expected.x0) and torch.equal(answer.eps, expected.eps)


@pytest.mark.parametrize(("sampler", "calls"), [(DDIM(), 5), (DPMSolverPP(), 5), (Heun(), 9)], ids=repr)
def test_k_steps_are_k_minus_one_moves_and_a_prediction_at_t_over_k(sampler, calls):
    counting = Counting(mixture(sd_process()).bind())
    x = normal(4, 2, 2, 2)
    answer = solve(sd_process(), counting, x, 700, 5, sampler)
    assert len(counting.times) == calls and counting.times[-1] == 140
    states = list(rollout(sd_process(), mixture(sd_process()).bind(), x, [700, 560, 420, 280, 140], sampler))
    assert torch.equal(answer.x0, mixture(sd_process())(states[-1].x_t, states[-1].t).x0)


def test_more_steps_than_times_drop_the_duplicates():
    # METHOD.md section 5, 11
    counting = Counting(mixture(sd_process()).bind())
    solve(sd_process(), counting, normal(4, 2, 2, 2), 3, 10, DDIM())
    assert counting.times == [3, 2, 1]


def test_the_answer_is_detached():
    # METHOD.md section 5, 7: the teacher receives no gradient
    teacher = GaussianDenoiser(sd_process(), learnable=True)
    x = normal(4, 2, 2, 2).requires_grad_()
    answer = solve(sd_process(), teacher.bind(), x, 700, 4, DDIM())
    assert not answer.x0.requires_grad and not answer.eps.requires_grad


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("sampler", [DDIM(), DPMSolverPP(), Heun()], ids=repr)
def test_a_teacher_of_many_steps_finds_the_exact_quantile(name, sampler):
    # Data N(.7, .4^2): the exact solution sends z standard deviations to z standard deviations.
    process, mu, s = PROCESSES[name], 0.7, 0.4
    start = 800
    spread = float((process.alphas[start] ** 2 * s**2 + process.sigmas[start] ** 2).sqrt())
    z = torch.linspace(-2, 2, 5, dtype=torch.float64).view(-1, 1, 1, 1)
    x = float(process.alphas[start]) * mu + spread * z
    answer = solve(process, GaussianDenoiser(process, mu, s).bind(), x, start, start, sampler)
    # Steps of 1 in t leave DDIM an error of the order of 1/800 a unit of z, here up to 2.
    torch.testing.assert_close(answer.x0, mu + s * z, atol=1e-2, rtol=0)


def test_a_target_that_draws_noise_is_refused():
    with pytest.raises(ValueError, match=r"must be a function of its state, but Renoise"):
        solve(sd_process(), mixture(sd_process()).bind(), normal(4, 2, 2, 2), 700, 4, Renoise())


def test_predictions_detach():
    x = normal(2, 1, 1, 1).requires_grad_()
    pred = Prediction(x * 2, x * 3).detach()
    assert not pred.x0.requires_grad and torch.equal(pred.eps, 3 * x)
