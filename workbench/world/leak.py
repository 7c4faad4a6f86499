"""How much of a real image can be read from x_T, the noisiest state that a teacher trains on.

    python -m workbench.world leak

A probe (linear discriminant analysis, closed form) reads the colour of the ground from real latents noised to t = T.
Chance is 1/8. A smaller latent leaks less: this is why the shipped schedule ends above Stable Diffusion's alpha_T.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from workbench.world.teacher import ATTRIBUTES, BETA_END, latent_pool


def alpha_bar_end(beta_end: float, beta_start: float = 0.00085, steps: int = 1000) -> float:
    """alphas_cumprod at T of the scaled-linear schedule."""
    betas = torch.linspace(beta_start**0.5, beta_end**0.5, steps, dtype=torch.float64) ** 2
    return (1 - betas).prod().item()


def discriminant(x: Tensor, y: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Weights (D, classes) and bias (classes,) of linear discriminant analysis; x (N, D) float64, y (N,) long."""
    means = torch.stack([x[y == k].mean(0) for k in range(classes)])  # (classes, D)
    centred = x - means[y]
    covariance = centred.T @ centred / (len(x) - classes) + 1e-6 * torch.eye(x.shape[1], dtype=x.dtype)
    weights = torch.linalg.solve(covariance, means.T)
    return weights, -0.5 * (means.T * weights).sum(0)


def probe(latents: Tensor, labels: Tensor, beta_end: float, repeats: int = 4) -> float:
    """Accuracy of reading `labels` (N,) from alpha_T latents + sigma_T noise, on the last quarter of the images.

    latents: (N, C, h, w), scaled as the UNet sees them. Each training image is noised `repeats` times.
    """
    a = alpha_bar_end(beta_end)
    flat = latents.flatten(1).double()
    cut = 3 * len(flat) // 4
    generator = torch.Generator().manual_seed(0)

    def noised(x: Tensor) -> Tensor:
        return a**0.5 * x + (1 - a) ** 0.5 * torch.randn(x.shape, generator=generator, dtype=x.dtype)

    train_x = noised(flat[:cut].repeat(repeats, 1))
    weights, bias = discriminant(train_x, labels[:cut].repeat(repeats), int(labels.max()) + 1)
    return ((noised(flat[cut:]) @ weights + bias).argmax(1) == labels[cut:]).double().mean().item()


def table(folder: Path, images: int = 12_000) -> dict[str, float]:
    """Accuracy of reading the ground's colour, for several ends of the schedule. The VAE is read from folder/vae."""
    vae = AutoencoderKL.from_pretrained(folder / "vae", local_files_only=True, use_safetensors=True)
    latents, labels = latent_pool(vae, images)
    ground = labels[:, ATTRIBUTES.index("background")].long()
    return {
        f"beta_end {end} (alpha_T {alpha_bar_end(end) ** 0.5:.3f})": round(probe(latents, ground, end), 3)
        for end in (0.0075, 0.0085, BETA_END, 0.0105, 0.012)
    }
