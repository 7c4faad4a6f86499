"""Noise processes for tests, and every concrete sub-class of a family."""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

from workbench.diffusion import NoiseProcess


def sd_scheduler(**changes: Any) -> DDIMScheduler:
    """Stable Diffusion's betas with our conventions: trailing spacing, final alpha = 1."""
    options: dict[str, Any] = {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "clip_sample": False,
        "set_alpha_to_one": True,
        "timestep_spacing": "trailing",
    }
    return DDIMScheduler(**{**options, **changes})


def sd_process() -> NoiseProcess:
    """alpha_T = .0683."""
    return NoiseProcess.from_scheduler(sd_scheduler())


def zero_snr_process() -> NoiseProcess:
    return NoiseProcess.from_scheduler(sd_scheduler(rescale_betas_zero_snr=True, prediction_type="v_prediction"))


def flow_process() -> NoiseProcess:
    return NoiseProcess.from_scheduler(FlowMatchEulerDiscreteScheduler())


def cosine_process(T: int) -> NoiseProcess:
    """alpha = cos, sigma = sin of an angle that is linear in t: smooth, and exact solutions are short. alpha_T = 0."""
    angle = torch.arange(T + 1, dtype=torch.float64) / T * (math.pi / 2)
    alphas = angle.cos()
    alphas[-1] = 0.0
    return NoiseProcess(alphas, angle.sin(), "vp")


PROCESSES = {"sd": sd_process(), "zero_snr": zero_snr_process(), "flow": flow_process()}


def served_types(process: NoiseProcess) -> list[str]:
    """The prediction types that this process accepts."""
    return [name for name in ("epsilon", "sample", "v_prediction", "flow") if name != "epsilon" or process.alpha_T > 0]


def concrete_subclasses(base: Any) -> set[Any]:
    """Every class of workbench that a user could name where `base` is asked for."""
    found: set[Any] = set()
    for child in base.__subclasses__():
        found |= concrete_subclasses(child)
        if not inspect.isabstract(child) and child.__module__.startswith("workbench."):
            found.add(child)
    return found
