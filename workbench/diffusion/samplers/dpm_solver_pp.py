"""DPM-Solver++(2M): a multistep solver in x0, two orders for one network call a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.diffusion.process import NoiseProcess, Prediction, Timestep
from workbench.diffusion.samplers.base import Denoise, Sampler


@dataclass(frozen=True)
class DPMSolverPP(Sampler):
    """DPM-Solver++, data prediction, midpoint form; order 2 (2M) or 1 (which is DDIM).

    With lambda = log(alpha / sigma), h = lambda' - lambda, h_last = lambda - lambda_last, D = x0, D_last the x0 before:

        x' = sigma'/sigma x - alpha' (e^-h - 1) (D + h / (2 h_last) (D - D_last))
           = alpha' D + sigma' eps + (alpha' - sigma' alpha / sigma) h / (2 h_last) (D - D_last)

    The second line is how it is computed: the DDIM step plus a difference of predictions. It is finite at alpha_T = 0,
    and noise correction enters through eps as it does in DDIM (at t = T there is no D_last, so that step is DDIM's).
    The step to t = 0 is of order 1 and returns D.
    diffusers' equal: DPMSolverMultistepScheduler with its defaults (midpoint, final_sigmas_type="zero") and
    timestep_spacing="trailing".
    Reference: Lu et al. 2022, arXiv 2211.01095, algorithm 2.

    Raises:
        ValueError: unless order is 1 or 2.
    """

    order: int = 2

    def __post_init__(self) -> None:
        if self.order not in (1, 2):
            raise ValueError(f"DPMSolverPP order must be 1 or 2, got {self.order}.")

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
        x_next = process.add_noise(pred.x0, pred.eps, t_next)  # order 1
        if self.order == 2 and "x0" in memory:
            weight = _second_order_weight(process, memory["t"], t, t_next)
            x_next = x_next + weight.to(x_next.device, x_next.dtype).view(-1, 1, 1, 1) * (pred.x0 - memory["x0"])
        memory["x0"], memory["t"] = pred.x0, t
        return x_next


def _second_order_weight(process: NoiseProcess, t_last: Timestep, t: Timestep, t_next: Timestep) -> Tensor:
    """(alpha' - sigma' alpha / sigma) h / (2 h_last), () or (B,), float64; 0 for the step to t = 0."""
    lam_last, lam, lam_next = (process.log_snr(time) / 2 for time in (t_last, t, t_next))
    index, index_next = torch.as_tensor(t).cpu(), torch.as_tensor(t_next).cpu()
    slope = process.alphas[index_next] - process.sigmas[index_next] * process.alphas[index] / process.sigmas[index]
    weight = slope * (lam_next - lam) / (2 * (lam - lam_last))  # h_last = inf after alpha_T = 0: weight 0, order 1
    # 0 / 0 where a sample of a batch has stood still
    return torch.where((index_next > 0) & (lam != lam_last), weight, 0.0)
