"""Heun: the trapezoidal rule, two network calls a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.diffusion.process import NoiseProcess, Prediction, Timestep
from workbench.diffusion.samplers.base import Denoise, Sampler


@dataclass(frozen=True)
class Heun(Sampler):
    """Heun's method on the probability-flow ODE dx = x0 d(alpha) + eps d(sigma), order 2; two network calls a step.

    Predictor: DDIM's x' from (x0, eps). Corrector, with (x0', eps') predicted at x':

        x'' = x' + (alpha' - alpha) (x0' - x0) / 2 + (sigma' - sigma) (eps' - eps) / 2

    Integrating against alpha and sigma themselves needs no choice of a time variable, and is finite at alpha_T = 0.
    The step to t = 0 is Euler's (the network is not defined there). Noise correction replaces eps in both lines.
    Not to be confused with EDM's Heun (Karras et al. 2022), the same rule in the variable sigma / alpha, which is
    infinite where alpha_T = 0; nor with diffusers' solver_type="heun", a variant of DPM-Solver++.
    """

    def _move(
        self,
        process: NoiseProcess,
        x_t: Tensor,
        t: Timestep,
        t_next: Timestep,
        pred: Prediction,
        denoise: Denoise,
        memory: dict[str, Any],
        noise: Callable[[], Tensor],
    ) -> Tensor:
        euler = process.add_noise(pred.x0, pred.eps, t_next)
        if isinstance(t_next, int) and t_next == 0:
            return euler
        # A batch of mixed times may hold zeros: those samples are looked at where the network is defined, then masked.
        t_batch = process.as_batch(t_next, x_t)
        there = denoise(euler.to(x_t.dtype), t_batch.clamp(min=1))
        d_alpha = process.alpha(t_next, x_t) - process.alpha(t, x_t)
        d_sigma = process.sigma(t_next, x_t) - process.sigma(t, x_t)
        correction = (d_alpha * (there.x0 - pred.x0) + d_sigma * (there.eps - pred.eps)) / 2
        return euler + torch.where(t_batch.view(-1, 1, 1, 1) > 0, correction, 0.0)
