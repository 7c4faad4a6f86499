"""Images from noise and prompts: the one loop that evaluation and sampling share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.diffusion import Denoise, DPMSolverPP, Draws, Sampler, TrailingGrid
from workbench.diffusion import sample as run_sampler
from workbench.metrics import to_uint8
from workbench.models import GuidedDenoiser, Teacher, UNetDenoiser


@dataclass(frozen=True)
class Generator:
    """A network with the way it is sampled. Image i depends on (seed, stream, i) and its caption, not on the batch.

    teacher: lends its text encoder and VAE, to a student too. network: the student, or the teacher under guidance.
    timesteps: noisiest first, without the final 0; one network call each, two under guidance.
    """

    teacher: Teacher
    network: UNetDenoiser | GuidedDenoiser
    timesteps: tuple[int, ...]
    sampler: Sampler
    seed: int

    @torch.no_grad()
    def images(self, captions: Sequence[str], indices: Sequence[int], stream: str = "evaluation") -> Tensor:
        """uint8 (B, 3, H, W) on the CPU. indices: one a caption; equal indices start from the same noise.

        Raises ValueError if the network gives NaN.
        """
        assert len(captions) == len(indices), (len(captions), len(indices))
        teacher, draws = self.teacher, Draws(self.seed)
        cond = teacher.encode_text(captions)
        x_T = draws.normal(f"{stream}/x_T", 0, list(indices), teacher.latent_shape, teacher.device)

        def noise(step: int) -> Tensor:
            return draws.normal(f"{stream}/renoise", step, list(indices), teacher.latent_shape, teacher.device)

        denoise = self.denoiser(cond, x_T)
        latents = run_sampler(teacher.process, denoise, x_T, self.timesteps, self.sampler, noise=noise)
        return to_uint8(teacher.decode(latents)).cpu()

    def denoiser(self, cond: Tensor, x_T: Tensor) -> Denoise:
        """(x_t, t) -> Prediction, from x_T on under these conditions."""
        return self.network.bind(cond)


def teacher_generator(
    teacher: Teacher,
    num_inference_steps: int,
    *,
    seed: int,
    sampler: Sampler | None = None,
    guidance_scale: float | None = None,
) -> Generator:
    """The teacher on trailing timesteps. sampler: DPM-Solver++(2M) if None; guidance_scale: the teacher's own if
    None.
    """
    sampler = DPMSolverPP() if sampler is None else sampler
    timesteps = TrailingGrid().timesteps(teacher.process, num_inference_steps)
    return Generator(teacher, teacher.guided(guidance_scale), tuple(timesteps), sampler, seed)
