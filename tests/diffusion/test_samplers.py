"""What every sampler promises (conformance), and what only one of them does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.diffusion.processes import PROCESSES, concrete_subclasses, cosine_process, sd_process, served_types
from tests.diffusion.samplers import (
    EVERY,
    PROCESS,
    SAMPLERS,
    TIMES,
    Counting,
    mixture,
    move_noise,
    normal,
    one_step,
)
from workbench.diffusion import (
    DDIM,
    DPMSolverPP,
    Heun,
    Prediction,
    Renoise,
    Sampler,
    rollout,
    sample,
)
from workbench.models import GaussianDenoiser


def test_every_sampler_is_tested():
    assert {type(sampler) for sampler in SAMPLERS} == concrete_subclasses(Sampler)


# --- conformance ------------------------------------------------------------------------------------------------------


@EVERY
@PROCESS
@pytest.mark.parametrize("times", [[1000], TIMES, [1000, 999, 2, 1], [640, 320]], ids=str)
def test_samples_are_finite_and_of_the_states_shape_and_dtype(sampler, name, times):
    process = PROCESSES[name]
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        x = sample(process, mixture(process).bind(), normal(4, 2, 2, 2).to(dtype), times, sampler, noise=move_noise)
        assert x.shape == (4, 2, 2, 2) and x.dtype == dtype and x.isfinite().all()


@EVERY
@PROCESS
def test_the_step_to_zero_is_the_predicted_x0(sampler, name):
    process, x = PROCESSES[name], normal(4, 2, 2, 2)
    expected = mixture(process)(x, torch.full((4,), 400)).x0
    torch.testing.assert_close(one_step(sampler, process, x, 400, 0), expected, rtol=1e-12, atol=1e-12)


@EVERY
@PROCESS
def test_point_mass_data_is_found_whatever_the_noise(sampler, name):
    process, mean = PROCESSES[name], normal(2, 2, 2, seed=3)
    denoise = GaussianDenoiser(process, mean, std=0.0).bind()
    x = sample(process, denoise, normal(4, 2, 2, 2), TIMES, sampler, noise=move_noise)
    torch.testing.assert_close(x, mean.expand(4, -1, -1, -1), rtol=1e-10, atol=1e-10)


@EVERY
@PROCESS
def test_prediction_types_around_one_denoiser_give_the_same_trajectory(sampler, name):
    process = PROCESSES[name]
    samples = [
        sample(process, mixture(process, kind).bind(), normal(4, 2, 2, 2), TIMES, sampler, noise=move_noise)
        for kind in served_types(process)
    ]
    for other in samples[1:]:
        torch.testing.assert_close(other, samples[0], rtol=1e-9, atol=1e-9)


@EVERY
@PROCESS
def test_a_batch_of_times_steps_each_sample_by_its_own(sampler, name):
    process, x = PROCESSES[name], normal(4, 2, 2, 2)
    t, t_next = torch.tensor([1000, 1000, 500, 20]), torch.tensor([600, 0, 499, 0])
    together = one_step(sampler, process, x, t, t_next)
    for i in range(4):
        # the same number of samples, so that the drawn noise is the same
        alone = one_step(sampler, process, x, int(t[i]), int(t_next[i]))[i]
        torch.testing.assert_close(together[i], alone, rtol=1e-12, atol=1e-12)


@EVERY
def test_the_memory_of_a_batch_of_times_is_the_memory_of_each(sampler):
    process = sd_process()
    denoise = mixture(process).bind()
    grids = [[1000, 600, 200], [1000, 900, 0], [800, 300, 1], [500, 499, 0]]

    def two_moves(x: Tensor, times: list[Any]) -> Tensor:
        memory: dict[str, Any] = {}
        for index, (t, t_next) in enumerate(zip(times, times[1:], strict=False)):
            pred = denoise(x, process.as_batch(t, x))
            x = sampler.step(
                process, x, t, t_next, pred, denoise=denoise, memory=memory, noise=lambda i=index: move_noise(i)
            )
        return x

    x = normal(4, 2, 2, 2)
    together = two_moves(x, list(torch.tensor(grids).T))
    for i, grid in enumerate(grids):
        torch.testing.assert_close(together[i], two_moves(x, grid)[i], rtol=1e-11, atol=1e-11)


@EVERY
def test_samples_do_not_see_each_other(sampler):
    process, x_T = sd_process(), normal(4, 2, 2, 2)
    denoise = mixture(process).bind()
    together = sample(process, denoise, x_T, TIMES, sampler, noise=move_noise)
    alone = sample(process, denoise, x_T[2:3], TIMES, sampler, noise=lambda index: move_noise(index)[2:3])
    torch.testing.assert_close(together[2:3], alone, rtol=1e-12, atol=1e-12)


@EVERY
def test_noise_is_drawn_by_stochastic_samplers_only_and_by_the_index_of_the_move(sampler):
    drawn: list[int] = []

    def noise(index: int) -> Tensor:
        drawn.append(index)
        return move_noise(index)

    process = sd_process()
    denoise = mixture(process).bind()
    sample(process, denoise, normal(4, 2, 2, 2), TIMES, sampler, noise=noise)
    assert sorted(set(drawn)) == ([0, 1, 2] if sampler.stochastic else [])
    if sampler.stochastic:
        with pytest.raises(ValueError, match=r"draws noise in every step: pass noise="):
            rollout(process, denoise, normal(4, 2, 2, 2), TIMES, sampler)
        other = sample(process, denoise, normal(4, 2, 2, 2), TIMES, sampler, noise=lambda i: move_noise(i + 50))
        same = sample(process, denoise, normal(4, 2, 2, 2), TIMES, sampler, noise=move_noise)
        assert not torch.allclose(same, other)
    else:
        assert sample(process, denoise, normal(4, 2, 2, 2), TIMES, sampler).isfinite().all()


@EVERY
def test_samplers_are_values(sampler):
    twin = type(sampler)(**vars(sampler))
    assert twin == sampler and hash(twin) == hash(sampler) and repr(sampler).startswith(type(sampler).__name__)


# --- one by one -------------------------------------------------------------------------------------------------------


def test_the_deterministic_ends_of_the_families_are_ddim():
    process, x_T = sd_process(), normal(4, 2, 2, 2)
    expected = sample(process, mixture(process).bind(), x_T, TIMES, DDIM())
    for twin in (Renoise(stochasticity=0.0), DPMSolverPP(order=1), DDIM(eta=0.0)):
        actual = sample(process, mixture(process).bind(), x_T, TIMES, twin, noise=move_noise)
        torch.testing.assert_close(actual, expected, rtol=0, atol=0)


def test_full_renoising_keeps_nothing_but_x0():
    process, x = sd_process(), normal(4, 2, 2, 2)
    x0 = mixture(process)(x, torch.full((4,), 700)).x0
    torch.testing.assert_close(one_step(Renoise(), process, x, 700, 300), process.add_noise(x0, move_noise(0), 300))


@PROCESS
@pytest.mark.parametrize("sampler", [DDIM(eta=0.5), DDIM(eta=1.0), Renoise(stochasticity=0.5), Renoise()], ids=repr)
def test_fresh_noise_never_changes_the_noise_level(sampler, name):
    # With x0 = 0 and eps ~ N(0, 1) independent of z, the variance of x' must be sigma'^2.
    process = PROCESSES[name]
    zero, one = torch.zeros(1, 1, 1, 1, dtype=torch.float64), torch.ones(1, 1, 1, 1, dtype=torch.float64)

    def parts(eps: Tensor, z: Tensor) -> float:
        pred = Prediction(zero, eps)
        return sampler.step(
            process, zero, 1000, 500, pred, denoise=lambda x, t: pred, memory={}, noise=lambda: z
        ).item()

    kept, fresh = parts(one, zero), parts(zero, one)
    assert fresh > 0
    if sampler == DDIM(eta=1.0):
        # Ancestral: given x0, x' hangs on x_t as in the Markov chain x_t = alpha_t / alpha' x' + noise,
        # with Cov(x', x_t) / Var(x_t) = (alpha_t / alpha') sigma'^2 / sigma_t^2.
        (a, a_next), (s, s_next) = process.alphas[[1000, 500]].tolist(), process.sigmas[[1000, 500]].tolist()
        assert kept == pytest.approx(a / a_next * s_next**2 / s, rel=1e-9, abs=1e-12)
    assert kept**2 + fresh**2 == pytest.approx(float(process.sigmas[500]) ** 2, rel=1e-12)


def test_the_two_step_solver_reduces_to_first_order_after_an_infinite_step():
    # alpha_T = 0: log-SNR at T is -inf, the extrapolation weight h / (2 h_last) is 0.
    process, x_T = PROCESSES["zero_snr"], normal(4, 2, 2, 2)
    denoise = mixture(process).bind()
    states = [[s.x_t for s in rollout(process, denoise, x_T, [1000, 600, 200], s)] for s in (DPMSolverPP(), DDIM())]
    torch.testing.assert_close(states[0][2], states[1][2], rtol=0, atol=0)
    second, first = (sample(process, denoise, x_T, [1000, 800, 500, 200], s) for s in (DPMSolverPP(), DDIM()))
    assert not torch.allclose(second, first, rtol=1e-4)


def test_the_two_step_solver_is_the_published_formula():
    process, (x, d0, d1) = sd_process(), normal(3, 1, 1, 2, 2)
    t_last, t, t_next = 800, 500, 300
    lam = {u: float(process.log_snr(u)) / 2 for u in (t_last, t, t_next)}
    h, r = lam[t_next] - lam[t], (lam[t] - lam[t_last]) / (lam[t_next] - lam[t])
    D = (1 + 1 / (2 * r)) * d0 - 1 / (2 * r) * d1
    a_next, s_next, s = float(process.alphas[t_next]), float(process.sigmas[t_next]), float(process.sigmas[t])
    expected = s_next / s * x - a_next * (torch.tensor(-h).exp().double() - 1) * D
    pred = Prediction(d0, (x - float(process.alphas[t]) * d0) / s)
    memory = {"x0": d1, "t": t_last}
    actual = DPMSolverPP().step(process, x, t, t_next, pred, denoise=lambda x, t: pred, memory=memory, noise=lambda: x)
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("sampler", "order"), [(DDIM(), 1), (DPMSolverPP(order=1), 1), (DPMSolverPP(), 2), (Heun(), 2)], ids=repr
)
@pytest.mark.parametrize("correction", [False, True])
def test_solvers_converge_with_their_order(sampler, order, correction):
    # Data N(.7, .4^2): the probability-flow ODE carries quantiles, x_t = alpha mu + sqrt(alpha^2 s^2 + sigma^2) z.
    # The last move (to t = 0, of order 1 in all of them) is left out. alpha_T = 0: correction must not cost an order.
    T, t_end, mu, s = 2**14, 2**12, 0.7, 0.4
    process = cosine_process(T)
    sampler = type(sampler)(**{**vars(sampler), "noise_correction": correction})
    x_T = normal(8, 1, 1, 1)

    def spread(t: int) -> float:
        return float((process.alphas[t] ** 2 * s**2 + process.sigmas[t] ** 2).sqrt())

    exact = float(process.alphas[t_end]) * mu + spread(t_end) / spread(T) * x_T
    errors = []
    for steps in (32, 64, 128):
        times = [T - (T - t_end) * j // steps for j in range(steps + 1)]
        *_, last = rollout(process, GaussianDenoiser(process, mu, s).bind(), x_T, times, sampler)
        errors.append(float((last.x_t - exact).abs().max()))
    slopes = torch.tensor(errors).log2().diff().neg()
    assert slopes.tolist() == pytest.approx([order, order], abs=0.15)


@pytest.mark.parametrize("sampler", [DPMSolverPP(), Heun()], ids=repr)
def test_second_order_beats_ddim_on_a_real_schedule(sampler):
    process, x_T = sd_process(), normal(64, 2, 2, 2)
    denoise = mixture(process).bind()
    reference = sample(process, denoise, x_T, list(range(1000, 0, -1)), Heun())

    def error(sampler: Sampler, steps: int) -> float:
        times = [round(1000 * j / steps) for j in range(steps, 0, -1)]
        return float((sample(process, denoise, x_T, times, sampler) - reference).square().mean().sqrt())

    assert error(sampler, 20) < 0.5 * error(DDIM(), 20)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DDIM(eta=1.5), "eta must be between 0 .* got 1.5"),
        (lambda: DDIM(eta=float("nan")), "eta must be between"),
        (lambda: Renoise(stochasticity=-0.1), "stochasticity must be between 0 and 1, got -0.1"),
        (lambda: DPMSolverPP(order=3), "order must be 1 or 2, got 3"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --- the number of network calls --------------------------------------------------------------------------------------


@EVERY
def test_network_calls(sampler):
    process = sd_process()
    counting = Counting(mixture(process).bind())
    sample(process, counting, normal(4, 2, 2, 2), TIMES, sampler, noise=move_noise)
    assert counting.times == ([1000, 667, 667, 333, 333] if isinstance(sampler, Heun) else TIMES)
