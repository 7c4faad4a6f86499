"""The leak autopsy: what is left of a real image in x_T, and what a sampler makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import torch
from matplotlib.figure import Figure
from torch import Tensor

from workbench.data.wardrobe import Record, Wardrobe
from workbench.data.wardrobe.attributes import VALUES
from workbench.diffusion import Draws, sample
from workbench.evaluation.generator import Generator
from workbench.models import Teacher
from workbench.world.judge import load_judge

CLEAN, LEAKY = "pure noise", "noised image"  # the two starts
STYLES = ({"color": "C0", "marker": "o"}, {"color": "C3", "marker": "s"})


@dataclass(frozen=True)
class Case:
    """Real images whose captions leave out the ground that they all have.

    images: uint8 (n, 3, H, W). x_T: start -> (n, C, h, w), the same noise in both; what LEAKY has of the image it has
    through alpha_T.
    """

    ground: str
    records: Sequence[Record]
    images: Tensor
    x_T: Mapping[str, Tensor]

    @property
    def captions(self) -> list[str]:
        """One an image."""
        return [record.caption for record in self.records]


@torch.no_grad()
def find_case(teacher: Teacher, ground: str, n: int, seed: int = 0, limit: int = 20_000) -> Case:
    """The first n test images on this ground whose captions do not name it, noised to T.

    Raises ValueError for a ground that the wardrobe does not have, or where there are fewer than n such images.
    """
    if ground not in VALUES["background"]:
        raise ValueError(f"find_case: the ground must be one of {', '.join(VALUES['background'])}, but got {ground!r}.")
    source, chosen = Wardrobe("test", limit), []
    for index in range(limit):
        record = source.records([index])[0]
        if record.background == ground and "background" not in record.named:
            chosen.append(record)
        if len(chosen) == n:
            break
    else:
        raise ValueError(f"find_case: only {len(chosen)} of {limit} test images fit, but {n} were asked for.")
    images = source.images([record.index for record in chosen])
    latents = teacher.encode(images.to(teacher.device).float() / 127.5 - 1)
    eps = Draws(seed).normal("autopsy/eps", 0, range(n), teacher.latent_shape, teacher.device)
    noised = teacher.process.add_noise(latents, eps, teacher.process.num_train_timesteps)
    return Case(ground, chosen, images, {CLEAN: eps, LEAKY: noised})


@torch.no_grad()
def draw(generator: Generator, captions: Sequence[str], x_T: Tensor) -> Tensor:
    """Images (n, 3, H, W) float in [-1, 1] from given states at T, one a caption; Generator.images draws its own."""
    teacher, rows = generator.teacher, range(len(captions))

    def noise(step: int) -> Tensor:
        return Draws(generator.seed).normal("autopsy/renoise", step, rows, teacher.latent_shape, teacher.device)

    denoise = generator.network.bind(teacher.encode_text(captions))
    latents = sample(teacher.process, denoise, x_T, generator.timesteps, generator.sampler, noise=noise)
    return teacher.decode(latents).clamp(-1, 1).cpu()


@torch.no_grad()
def ground_share(images: Tensor, ground: str) -> float:
    """Share of images (n, 3, 32, 32) in [-1, 1] whose ground the shipped judge takes for this one."""
    seen = load_judge().attributes((images + 1) / 2)["background"].argmax(dim=1)
    return float((seen == VALUES["background"].index(ground)).float().mean())


def wilson(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share of n (Wilson 1927): stays inside [0, 1] where the normal one does not."""
    centre, half = share + z**2 / (2 * n), z * sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low, high = ((centre + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
    return max(low, 0.0), min(high, 1.0)  # rounding passes the ends by 1e-17


def plot_shares(shares: Mapping[str, Mapping[str, float]], n: int, ground: str) -> Figure:
    """who -> start -> share of images on this ground, with 95 % intervals; the first entry is at the top."""
    figure = Figure(figsize=(8, 1.4 + 0.45 * len(shares)), layout="constrained")
    axes = figure.add_subplot()
    starts = list(next(iter(shares.values())))
    for start, style, shift in zip(starts, STYLES, (-0.1, 0.1), strict=True):
        for height, by_start in enumerate(shares.values()):
            low, high = wilson(by_start[start], n)
            axes.plot([low, high], [height + shift] * 2, color=style["color"], linewidth=2, alpha=0.5)
        values = [by_start[start] for by_start in shares.values()]
        axes.plot(values, [h + shift for h in range(len(values))], linestyle="", **style, label=f"from {start}")
    axes.axvline(1 / 8, color="black", linewidth=0.8, linestyle=":", label="one of eight grounds")
    axes.set_yticks(range(len(shares)), list(shares))
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel(f"share of {n} images whose ground the judge calls {ground} (bars: 95 % intervals)")
    axes.set_title(f"Captions that leave the ground out, images that all have a {ground} one", fontsize=11)
    figure.legend(fontsize=8, loc="outside lower center", ncols=3)
    return figure
