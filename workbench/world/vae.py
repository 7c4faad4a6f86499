"""Train the VAE of the embedded teacher.

    python -m workbench.world vae

Reconstruction (squared and absolute error) with a small KL term, on images of the teacher's fold. The scaling factor
becomes 1 / the measured standard deviation of the latents, as diffusers' models have it.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from workbench.data import Wardrobe
from workbench.world.loop import WORK, fit

VALIDATION = 10_000_000  # first index of the images that no training step draws


def build(latent_channels: int = 4) -> AutoencoderKL:
    """32 x 32 x 3 images to 16 x 16 x 4 latents. (8 x 8 x 8 lost the dots and the garments' edges.)"""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(24, 48),
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=8,
        sample_size=32,
        scaling_factor=1.0,
        mid_block_add_attention=False,
    )


def to_signed(images: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) -> float in [-1, 1]."""
    return images.float() / 127.5 - 1


@torch.no_grad()
def measure(vae: AutoencoderKL, n: int = 1024) -> dict[str, float]:
    """Standard deviation of the latents and the reconstruction's RMS error in grey levels, on unseen draws."""
    images = Wardrobe("teacher", 2 * VALIDATION).images(range(VALIDATION, VALIDATION + n))
    latents = vae.encode(to_signed(images)).latent_dist.mean
    output = (vae.decode(latents).sample.clamp(-1, 1) + 1) * 127.5
    return {"latent_std": latents.std().item(), "rms": (output - images.float()).square().mean().sqrt().item()}


def train(
    out: Path,
    *,
    steps: int = 800,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
    latent_channels: int = 4,
    work: Path = WORK,
) -> dict[str, float]:
    """Train and write the VAE as a diffusers folder to `out`. Returns what `measure` says."""
    torch.manual_seed(0)
    vae = build(latent_channels).to(memory_format=torch.channels_last)
    data = Wardrobe("teacher", 2 * VALIDATION)

    def loss(step: int) -> dict[str, Tensor]:
        images = to_signed(data.images(range(step * batch_size, (step + 1) * batch_size)))
        images = images.contiguous(memory_format=torch.channels_last)
        posterior = vae.encode(images).latent_dist
        generator = torch.Generator().manual_seed(step)
        output = vae.decode(posterior.sample(generator)).sample
        mse, l1, kl = (
            F.mse_loss(output, images),
            F.l1_loss(output, images),
            posterior.kl().mean() / posterior.mean[0].numel(),
        )
        return {"loss": mse + 0.1 * l1 + 1e-4 * kl, "mse": mse, "kl": kl}

    fit("vae", {"vae": vae}, loss, steps=steps, learning_rate=learning_rate, weight_decay=0.0, ema=0.995, work=work)
    vae.eval()
    result = measure(vae)
    vae.register_to_config(scaling_factor=1 / result["latent_std"])
    vae.to(memory_format=torch.contiguous_format).save_pretrained(out)
    return result
