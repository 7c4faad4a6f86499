"""Our samplers against diffusers' schedulers, step by step on a real (tiny, random) UNet, to float32 rounding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler
from torch import Tensor

from tests.diffusion.processes import flow_process, sd_scheduler
from workbench.diffusion import DDIM, DPMSolverPP, NoiseProcess, TrailingGrid, rollout, sample
from workbench.models import Teacher, UNetDenoiser

# Steps that divide 1000: for others DDIMScheduler steps to timestep - 1000 // N, not to the next one of its own list.
DIVISORS = [1, 2, 5, 25]


def inputs(teacher: Teacher) -> tuple[Tensor, Tensor]:
    x_T = torch.randn(2, *teacher.latent_shape, generator=torch.Generator().manual_seed(0))
    return x_T, teacher.encode_text(["a red dress", "a boot"])


@torch.no_grad()
def diffusers_states(scheduler: Any, unet: Any, x: Tensor, cond: Tensor, set_timesteps: dict, **step: Any) -> list:
    """The state before each network call, and the final one."""
    scheduler.set_timesteps(**set_timesteps)
    states = [x]
    for t in scheduler.timesteps:
        out = unet(x, t, encoder_hidden_states=cond).sample
        x = scheduler.step(out, t, x, **step).prev_sample
        states.append(x)
    return states


def ours(
    process: NoiseProcess, unet: Any, prediction_type: str, x: Tensor, cond: Tensor, times: list[int], sampler: Any
):
    denoise = UNetDenoiser(unet, process, prediction_type).bind(cond)
    states = [step.x_t for step in rollout(process, denoise, x, times, sampler)]
    return [*states, sample(process, denoise, x, times, sampler)]


def assert_same_to_rounding(actual: list[Tensor], expected: list[Tensor]) -> None:
    assert len(actual) == len(expected)
    for index, (a, b) in enumerate(zip(actual, expected, strict=True)):
        # A UNet turns a rounding difference of one step into a few in the next, hence the growth with the index.
        # The scale is the state's: at T, x0 = (x - sigma eps) / .068 has cancelled an order of magnitude.
        error = float((a - b).abs().max() / b.abs().max())
        assert error < 2e-6 * (index + 1), (index, error)


@pytest.mark.parametrize("num_steps", DIVISORS)
@pytest.mark.parametrize("prediction_type", ["epsilon", "sample", "v_prediction"])
def test_ddim(tiny_teacher, prediction_type, num_steps):
    x, cond = inputs(tiny_teacher)
    scheduler = sd_scheduler(prediction_type=prediction_type)
    process, unet = NoiseProcess.from_scheduler(scheduler), tiny_teacher.denoiser.unet
    theirs = diffusers_states(scheduler, unet, x, cond, {"num_inference_steps": num_steps})
    times = TrailingGrid().timesteps(process, num_steps)
    assert_same_to_rounding(ours(process, unet, prediction_type, x, cond, times, DDIM()), theirs)


@pytest.mark.parametrize("num_steps", [2, 4, 10])
def test_ddim_with_zero_terminal_snr(tiny_teacher, num_steps):
    x, cond = inputs(tiny_teacher)
    scheduler = sd_scheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True)
    process, unet = NoiseProcess.from_scheduler(scheduler), tiny_teacher.denoiser.unet
    theirs = diffusers_states(scheduler, unet, x, cond, {"num_inference_steps": num_steps})
    times = TrailingGrid().timesteps(process, num_steps)
    assert_same_to_rounding(ours(process, unet, "v_prediction", x, cond, times, DDIM()), theirs)


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_one_stochastic_ddim_step(tiny_teacher, eta):
    x, cond = inputs(tiny_teacher)
    z = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    scheduler = sd_scheduler()
    scheduler.set_timesteps(4)
    process, unet = NoiseProcess.from_scheduler(scheduler), tiny_teacher.denoiser.unet
    with torch.no_grad():
        out = unet(x, 499, encoder_hidden_states=cond).sample
        theirs = scheduler.step(out, 499, x, eta=eta, variance_noise=z).prev_sample
    states = rollout(
        process, UNetDenoiser(unet, process, "epsilon").bind(cond), x, [500, 250], DDIM(eta=eta), noise=lambda _: z
    )
    *_, last = states
    assert_same_to_rounding([last.x_t], [theirs])


@pytest.mark.parametrize(
    ("prediction_type", "num_steps", "order"),
    [(kind, n, 2) for kind in ("epsilon", "sample", "v_prediction") for n in (1, 2, 3, 7, 20)] + [("epsilon", 7, 1)],
)
def test_dpm_solver_pp(tiny_teacher, prediction_type, num_steps, order):
    x, cond = inputs(tiny_teacher)
    scheduler = DPMSolverMultistepScheduler.from_config(
        sd_scheduler(prediction_type=prediction_type).config,
        solver_order=order,
        algorithm_type="dpmsolver++",
        solver_type="midpoint",
        final_sigmas_type="zero",
        lower_order_final=True,
        timestep_spacing="trailing",
    )
    process, unet = NoiseProcess.from_scheduler(scheduler), tiny_teacher.denoiser.unet
    theirs = diffusers_states(scheduler, unet, x, cond, {"num_inference_steps": num_steps})
    times = TrailingGrid().timesteps(process, num_steps)
    assert times == (scheduler.timesteps + 1).tolist()
    assert_same_to_rounding(ours(process, unet, prediction_type, x, cond, times, DPMSolverPP(order=order)), theirs)


@pytest.mark.parametrize("num_steps", [1, 4, 10])
def test_flow_matching_euler_is_ddim(tiny_teacher, num_steps):
    x, cond = inputs(tiny_teacher)
    process, unet = flow_process(), tiny_teacher.denoiser.unet
    times = TrailingGrid().timesteps(process, num_steps)
    theirs = diffusers_states(FlowMatchEulerDiscreteScheduler(), unet, x, cond, {"sigmas": [t / 1000 for t in times]})
    assert_same_to_rounding(ours(process, unet, "flow", x, cond, times, DDIM()), theirs)
