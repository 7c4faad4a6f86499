"""The noise process: tables, conversions, refusals."""

from __future__ import annotations

import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    PNDMScheduler,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.diffusion.processes import PROCESSES, sd_process, sd_scheduler, served_types
from workbench.diffusion import PREDICTION_TYPES, NoiseProcess, Prediction

CASES = [(name, kind) for name, process in PROCESSES.items() for kind in served_types(process)]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_vp_tables_are_the_schedulers_shifted_by_one():
    scheduler, process = sd_scheduler(), sd_process()
    assert process.num_train_timesteps == 1000
    torch.testing.assert_close(process.alphas[1:] ** 2, scheduler.alphas_cumprod.double(), rtol=1e-15, atol=0)
    assert process.alphas[0] == 1 and process.sigmas[0] == 0


def test_sigma_near_zero_keeps_the_digits_that_float32_would_cancel():
    process = sd_process()
    beta_1 = 1 - float(sd_scheduler().alphas_cumprod[0])  # a float32 number, subtracted in float64
    assert float(process.sigmas[1] ** 2) == pytest.approx(beta_1, rel=1e-12)


@pytest.mark.parametrize("name", ["sd", "zero_snr"])
def test_vp_preserves_variance(name):
    process = PROCESSES[name]
    torch.testing.assert_close(process.alphas**2 + process.sigmas**2, torch.ones(1001, dtype=torch.float64))


@pytest.mark.parametrize(
    "scheduler",
    [
        FlowMatchEulerDiscreteScheduler(shift=3.0),
        DPMSolverMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0),
    ],
    ids=["euler", "dpm"],
)
def test_flow_is_a_straight_line_whatever_the_schedulers_shift(scheduler):
    process = NoiseProcess.from_scheduler(scheduler)
    t = torch.arange(1001, dtype=torch.float64) / 1000
    assert process.kind == "flow"
    torch.testing.assert_close(process.sigmas, t)
    torch.testing.assert_close(process.alphas, 1 - t)


@pytest.mark.parametrize("scheduler_class", [PNDMScheduler, EulerDiscreteScheduler, DPMSolverMultistepScheduler])
def test_every_vp_scheduler_of_one_config_gives_the_same_process(scheduler_class):
    other = scheduler_class(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    assert torch.equal(NoiseProcess.from_scheduler(other).alphas, sd_process().alphas)


@pytest.mark.parametrize("scheduler_class", [EulerDiscreteScheduler, DPMSolverMultistepScheduler])
def test_zero_terminal_snr_is_zero_although_some_schedulers_store_2_to_the_minus_24(scheduler_class):
    scheduler = scheduler_class(beta_schedule="scaled_linear", rescale_betas_zero_snr=True)
    assert scheduler.alphas_cumprod[-1] > 0
    assert NoiseProcess.from_scheduler(scheduler).alpha_T == 0


def test_the_network_counts_from_zero_for_tables_and_from_one_for_flow():
    t = torch.tensor([1, 1000])
    assert PROCESSES["sd"].network_timestep(t).tolist() == [0, 999]
    assert PROCESSES["flow"].network_timestep(t).tolist() == [1, 1000]


def test_add_noise_is_diffusers_one_step_earlier_in_its_counting():
    x0, eps, t = noise(3, 4, 8, 8).float(), noise(3, 4, 8, 8, seed=1).float(), torch.tensor([1, 500, 1000])
    torch.testing.assert_close(sd_process().add_noise(x0, eps, t), sd_scheduler().add_noise(x0, eps, t - 1))


def test_velocity_is_diffusers_velocity():
    x0, eps, t = noise(3, 4, 8, 8).float(), noise(3, 4, 8, 8, seed=1).float(), torch.tensor([1, 500, 1000])
    process = sd_process()
    ours = process.from_prediction(Prediction(x0, eps), process.add_noise(x0, eps, t), t, "v_prediction")
    torch.testing.assert_close(ours, sd_scheduler().get_velocity(x0, eps, t - 1))


@pytest.mark.parametrize(("name", "prediction_type"), CASES)
@given(t=st.integers(1, 1000), seed=st.integers(0, 2**31))
def test_outputs_of_every_type_recover_x0_and_eps(name, prediction_type, t, seed):
    process = PROCESSES[name]
    x0, eps = noise(2, 1, 2, 2, seed=seed), noise(2, 1, 2, 2, seed=seed + 1)
    x_t = process.add_noise(x0, eps, t)
    output = process.from_prediction(Prediction(x0, eps), x_t, t, prediction_type)
    pred = process.to_prediction(output, x_t, t, prediction_type)
    # float64; x0 = (x - s eps) / a and eps = (x - a x0) / s lose at most 1/a, 1/s <= 1000 of 1e-16
    torch.testing.assert_close(pred.x0, x0, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(pred.eps, eps, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("name", "prediction_type"), CASES)
@given(t=st.integers(1, 1000))
def test_any_output_gives_a_pair_that_adds_up_to_the_state(name, prediction_type, t):
    process = PROCESSES[name]
    x_t, output = noise(2, 1, 2, 2), noise(2, 1, 2, 2, seed=5)
    pred = process.to_prediction(output, x_t, t, prediction_type)
    torch.testing.assert_close(process.add_noise(pred.x0, pred.eps, t), x_t, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(process.from_prediction(pred, x_t, t, prediction_type), output, rtol=1e-10, atol=1e-10)


def test_a_shared_int_and_a_batch_of_times_are_the_same():
    process, x = sd_process(), noise(3, 1, 2, 2)
    assert torch.equal(process.alpha(700, x), process.alpha(torch.tensor([700] * 3), x))
    assert process.sigma(700, x).shape == (3, 1, 1, 1)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)],
)
def test_coefficients_are_never_below_float32(dtype, expected):
    process, x = sd_process(), noise(2, 1, 2, 2).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pred = process.to_prediction(x, x, torch.tensor([1, 1000]), "epsilon")
        assert process.alpha(1000, x).dtype == pred.x0.dtype == pred.eps.dtype == expected
        assert process.add_noise(x, x, 10).dtype == expected
    exact = process.alphas[1000].to(expected)
    assert process.alpha(1000, x)[0].item() == exact.item()


def test_log_snr_falls_from_plus_to_minus_infinity():
    log_snr = PROCESSES["zero_snr"].log_snr(torch.arange(1001))
    assert log_snr[0] == torch.inf and log_snr[-1] == -torch.inf
    assert (log_snr[1:].diff() < 0).all()
    a, s = sd_process().alphas[400], sd_process().sigmas[400]
    assert float(sd_process().log_snr(400)) == pytest.approx(float((a**2 / s**2).log()))


@pytest.mark.parametrize("name", ["zero_snr", "flow"])
def test_epsilon_without_signal_at_T_is_refused_with_its_remedies(name):
    with pytest.raises(ValueError, match=r"alpha_T = 0.*v_prediction.*rescale_betas_zero_snr"):
        PROCESSES[name].check("epsilon")


@pytest.mark.parametrize("name", PROCESSES)
def test_every_other_type_is_accepted(name):
    for prediction_type in PREDICTION_TYPES[1:]:
        PROCESSES[name].check(prediction_type)
    sd_process().check("epsilon")


def test_an_unknown_type_is_refused_by_name():
    with pytest.raises(ValueError, match=r"one of epsilon, sample, v_prediction, flow, got 'velocity'"):
        sd_process().check("velocity")


def test_a_scheduler_without_tables_is_refused():
    with pytest.raises(ValueError, match=r"EDMEulerScheduler has no alphas_cumprod.*DDIMScheduler"):
        NoiseProcess.from_scheduler(EDMEulerScheduler())


@pytest.mark.parametrize(
    ("alphas", "sigmas", "message"),
    [
        ([1.0, 0.5], [0.0, 0.5, 1.0], r"must both be \(T \+ 1,\)"),
        ([0.9, 0.5], [0.1, 0.5], "t = 0 must be clean"),
        ([1.0, 0.5, 0.6], [0.0, 0.5, 0.8], "alpha must fall"),
        ([1.0, 0.5, 0.4], [0.0, 0.5, 0.4], "sigma rise"),
        ([1.0, float("nan")], [0.0, 1.0], "alpha must fall"),
    ],
)
def test_tables_that_are_no_noise_process_are_refused(alphas, sigmas, message):
    with pytest.raises(ValueError, match=message):
        NoiseProcess(torch.tensor(alphas), torch.tensor(sigmas), "vp")
