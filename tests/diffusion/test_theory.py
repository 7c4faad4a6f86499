"""The closed forms of the method: what shifting, the noise in chi and the loss's weights do (METHOD.md, 5 and 6)."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.diffusion.processes import PROCESSES, cosine_process, sd_process, served_types
from tests.diffusion.samplers import mixture, normal
from workbench.diffusion import DDIM, DPMSolverPP, Heun, NoiseProcess, Prediction, solve
from workbench.models import AnalyticDenoiser, GaussianDenoiser, GaussianMixtureDenoiser

ONE = torch.ones(1, 1, 1, 1, dtype=torch.float64)
UNIT = pytest.mark.parametrize("steps", [1, 4, 5])


def shifted_target(
    process: NoiseProcess, teacher: AnalyticDenoiser, student: Prediction, eps: Tensor, gamma: int, steps: int
) -> Tensor:
    """SRL's target written out: the teacher's answer at chi = q(x0S, eps, gamma)."""
    chi = process.add_noise(student.x0, eps, gamma)
    return solve(process, teacher.bind(), chi, gamma, steps, DDIM()).x0


@UNIT
@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("t", [1000, 667, 333])
def test_identity_shift_with_the_students_noise_is_backward_distillation(name, t, steps):
    # 5.1, for every prediction type of the student: alpha x0 + sigma eps gives x_t back.
    process, x_t = PROCESSES[name], normal(4, 2, 2, 2)
    teacher = mixture(process)
    for kind in served_types(process):
        student = GaussianDenoiser(process, 0.2, 0.9, kind)(x_t, torch.full((4,), t))
        srl = shifted_target(process, teacher, student, student.eps, t, steps)
        backward = solve(process, teacher.bind(), x_t, t, steps, DDIM()).x0
        torch.testing.assert_close(srl, backward, rtol=1e-9, atol=1e-9)


def test_fresh_noise_at_T_without_signal_forgets_the_student():
    # 5.4: why gamma(T) = T with fresh noise is refused where alpha_T = 0.
    process, eps = PROCESSES["zero_snr"], normal(4, 2, 2, 2)
    answers = [
        shifted_target(process, mixture(process), Prediction(x0, x0), eps, 1000, 4)
        for x0 in (normal(4, 2, 2, 2, seed=1), normal(4, 2, 2, 2, seed=2))
    ]
    assert torch.equal(*answers)


def test_gamma_zero_makes_the_loss_zero():
    # 5.4: chi = x0S exactly, so there is nothing to learn; solve() refuses to start there.
    process, x0 = sd_process(), normal(4, 2, 2, 2)
    assert torch.equal(process.add_noise(x0, normal(4, 2, 2, 2, seed=9), 0), x0)
    with pytest.raises(ValueError, match=r"must start in 1..1000, got t = 0"):
        solve(process, mixture(process).bind(), x0, 0, 4, DDIM())


@UNIT
@pytest.mark.parametrize("gamma", [1000, 700, 50])
@pytest.mark.parametrize("solver", [DDIM(), DPMSolverPP(), Heun()], ids=repr)
def test_for_a_point_mass_the_target_is_the_point(gamma, steps, solver):
    # 5.8
    process, mean = sd_process(), normal(2, 2, 2)
    teacher = GaussianDenoiser(process, mean, 0.0, "epsilon")
    answer = solve(process, teacher.bind(), normal(4, 2, 2, 2, seed=1), gamma, steps, solver)
    torch.testing.assert_close(answer.x0, mean.expand(4, -1, -1, -1), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", PROCESSES)
def test_prediction_types_around_one_teacher_give_the_same_target(name):
    # 5.9
    process, x = PROCESSES[name], normal(4, 2, 2, 2)
    answers = [
        solve(process, mixture(process, kind).bind(), x, 700, 5, DPMSolverPP()) for kind in served_types(process)
    ]
    for answer in answers[1:]:
        torch.testing.assert_close(answer.x0, answers[0].x0, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(answer.eps, answers[0].eps, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("gamma", [900, 500, 100])
def test_fresh_noise_is_score_distillation(gamma):
    # 6: E[target] - x0S = (sigma^2 / alpha) E[grad log p_gamma(chi)], k = 1; here for a mixture in one dimension, with
    # the expectation over eps as a sum over a fine grid.
    process = sd_process()
    teacher = mixture_1d(process)
    x0S = 0.3 * ONE
    eps = torch.linspace(-8, 8, 4001, dtype=torch.float64).view(-1, 1, 1, 1)
    weight = torch.exp(-(eps**2) / 2)
    weight = weight / weight.sum()
    chi = process.add_noise(x0S.expand_as(eps), eps, gamma).requires_grad_()
    t = torch.full((len(chi),), gamma)
    target = (weight * solve(process, teacher.bind(), chi, gamma, 1, DDIM()).x0).sum()
    (score,) = torch.autograd.grad(teacher.log_prob(chi, t).sum(), chi)
    alpha, sigma = float(process.alphas[gamma]), float(process.sigmas[gamma])
    expected = sigma**2 / alpha * float((weight * score).sum())
    assert abs(expected) > 1e-3
    assert float(target) - 0.3 == pytest.approx(expected, rel=1e-9)


def mixture_1d(process: NoiseProcess) -> GaussianMixtureDenoiser:
    means = torch.tensor([-1.0, 0.5, 2.0]).view(3, 1, 1, 1)
    return GaussianMixtureDenoiser(process, torch.tensor([0.2, 0.5, 0.3]), means, torch.tensor([0.3, 0.2, 0.6]))


@pytest.mark.parametrize(("share", "factor"), [(0.8, 0.16), (0.6, 0.35)])
def test_fresh_noise_collapses_the_students_spread(share, factor):
    # 6: unit Gaussian data, k = 5: after a full fit the student is E[target | x0S], linear in x0S.
    process, gamma = sd_process(), round(1000 * share)
    teacher = GaussianDenoiser(process)
    slope = shifted_target(process, teacher, Prediction(ONE, ONE), 0 * ONE, gamma, 5)
    assert slope.item() == pytest.approx(factor, abs=0.005)


def fixed_point(process: NoiseProcess, gamma: int, steps: int) -> float:
    """The spread c at which x0S = c x_T equals its own target at t = T, for unit Gaussian data; the true spread is 1.

    Everything is linear in x_T, and the target is linear in c: two evaluations give slope and intercept.
    """
    T = process.num_train_timesteps
    teacher = GaussianDenoiser(process)

    def target(c: float) -> float:
        x_T = ONE
        student = process.to_prediction(c * x_T, x_T, T, "sample")
        return shifted_target(process, teacher, student, student.eps, gamma, steps).item()

    intercept = target(0.0)
    return intercept / (1 - (target(1.0) - intercept))


@pytest.mark.parametrize(
    ("steps", "row"),
    [(5, [0.76, 0.88, 1.12, 1.56, 1.93]), (25, [0.94, 1.07, 1.32, 1.82, 2.23])],
)
def test_the_students_own_noise_changes_the_spread_as_the_table_says(steps, row):
    # 6: gamma = t, .8 t, .6 t, .4 t, .3 t at t = T of Stable Diffusion's schedule.
    ours = [fixed_point(sd_process(), round(1000 * share), steps) for share in (1.0, 0.8, 0.6, 0.4, 0.3)]
    assert ours == pytest.approx(row, abs=0.005)


@pytest.mark.parametrize("share", [0.9, 0.6, 0.3])
def test_with_an_exact_solver_the_gain_is_the_closed_form(share):
    # 6: sin g / (sin t - sin(t - g)) with alpha = cos, sigma = sin; at t = T that is sin g / (1 - cos g).
    T = 2**12
    gamma = round(share * T)
    angle = gamma / T * math.pi / 2
    expected = math.sin(angle) / (math.sin(math.pi / 2) - math.sin(math.pi / 2 - angle))
    assert expected > 1
    # DDIM with steps of one time: its shrinkage is 1 - O(1 / steps), and the fixed point amplifies it.
    assert fixed_point(cosine_process(T), gamma, gamma) == pytest.approx(expected, rel=5e-3)


def test_coarse_ddim_shrinks_by_the_cosines_of_its_steps():
    # 6, the reason for the controls with k = 25 or a better solver: unit data, a step turns by d, and shrinks by cos d.
    process = cosine_process(1000)
    answer = solve(process, GaussianDenoiser(process).bind(), ONE, 800, 4, DDIM())
    assert answer.x0.item() == pytest.approx(math.cos(0.2 * math.pi / 2) ** 4, rel=1e-12)
    for better in (DPMSolverPP(), Heun()):
        x0 = solve(process, GaussianDenoiser(process).bind(), ONE, 800, 4, better).x0.item()
        assert abs(1 - x0) < abs(1 - answer.x0.item())


def test_the_weights_of_an_x0_loss_on_stable_diffusions_schedule():
    # 6: errors of eps count sigma^2 / alpha^2; at T they are amplified 14.6 times in x0.
    process = sd_process()
    weights = [float((-process.log_snr(t)).exp()) for t in (1000, 667, 333)]
    assert [round(weights[0]), round(weights[1], 1), round(weights[2], 1)] == [214, 8.5, 0.9]
    error = 1e-3 * ONE
    x_T = normal(1, 1, 1, 1)
    a, b = (process.to_prediction(out, x_T, 1000, "epsilon").x0 for out in (x_T, x_T + error))
    assert float((a - b) / error) == pytest.approx(14.6, abs=0.05)
