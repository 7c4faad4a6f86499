"""Classifier-free guidance: conditional and unconditional prediction in one batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from workbench.diffusion import Denoise, NoiseProcess, Prediction
from workbench.models.denoiser import Denoiser

GuidanceScale = float | Tensor | Callable[[Tensor], Tensor]


class GuidedDenoiser:
    """pred = uncond + guidance_scale (cond - uncond), for x0 and eps alike (both are affine in the network's output).

    Same contract as a Denoiser, (x_t, t, cond) -> Prediction, but no module: the network stays where it is registered.

    Args:
        denoiser: the conditional network.
        uncond: (L, D), the embedding of the empty prompt.
        guidance_scale: a number; or (B,), one a sample; or a function of t, (B,) long -> (B,).
            The number 1 is the conditional network itself, in one unduplicated call; 0 the unconditional one.

    Reference: Ho & Salimans 2022, arXiv 2207.12598, with guidance_scale = 1 + w.
    """

    def __init__(self, denoiser: Denoiser, uncond: Tensor, guidance_scale: GuidanceScale) -> None:
        if uncond.ndim != 2:
            raise ValueError(f"GuidedDenoiser: uncond must be one embedding (L, D), got {tuple(uncond.shape)}.")
        self.denoiser = denoiser
        self.uncond = uncond
        self.guidance_scale = guidance_scale

    @property
    def process(self) -> NoiseProcess:
        return self.denoiser.process

    def __call__(self, x_t: Tensor, t: Tensor, cond: Tensor) -> Prediction:
        """(B, C, H, W), (B,) long, (B, L, D) -> Prediction."""
        scale = self.guidance_scale
        if isinstance(scale, (int, float)) and scale == 1:
            return self.denoiser(x_t, t, cond)
        uncond = self.uncond.to(cond).expand_as(cond)
        both = self.denoiser(torch.cat([x_t, x_t]), torch.cat([t, t]), torch.cat([uncond, cond]))
        (x0_u, x0_c), (eps_u, eps_c) = both.x0.chunk(2), both.eps.chunk(2)
        value = scale(t) if callable(scale) else scale
        if isinstance(value, Tensor):
            value = value.to(x0_c).view(-1, 1, 1, 1)
        return Prediction(x0=x0_u + value * (x0_c - x0_u), eps=eps_u + value * (eps_c - eps_u))

    def bind(self, cond: Tensor) -> Denoise:
        """(x_t, t) -> Prediction with the condition (B, L, D) filled in, as samplers want it."""
        return lambda x_t, t: self(x_t, t, cond)
