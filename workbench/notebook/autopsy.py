"""The leak autopsy: what is left of a real image in x_T, and what a sampler makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from workbench.data.wardrobe import Record, Wardrobe
from workbench.data.wardrobe.attributes import VALUES
from workbench.diffusion import Draws, sample
from workbench.evaluation.generator import Generator
from workbench.metrics import to_uint8
from workbench.metrics.appearance import NAMES, appearance
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


@dataclass(frozen=True)
class Finding:
    """What n images of one sampler and one start look like; intervals are (low, high) of 95 %."""

    share: float  # of images whose ground the shipped judge takes for the one in question
    share_interval: tuple[float, float]
    saturation: float  # mean over images, in [0, 1] (workbench.metrics.appearance)
    saturation_interval: tuple[float, float]


@torch.no_grad()
def find(images: Tensor, ground: str) -> Finding:
    """The finding of images (n, 3, 32, 32) in [-1, 1], n >= 2."""
    pictures = to_uint8(images)
    seen = load_judge().attributes(pictures.float() / 255)["background"].argmax(dim=1)
    share = float((seen == VALUES["background"].index(ground)).double().mean())
    saturation = appearance(pictures)[:, NAMES.index("saturation")]
    mean, half = float(saturation.mean()), 1.96 * float(saturation.std()) / sqrt(len(images))
    return Finding(share, wilson(share, len(images)), mean, (mean - half, mean + half))


def wilson(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share of n (Wilson 1927): stays inside [0, 1] where the normal one does not."""
    centre, half = share + z**2 / (2 * n), z * sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low, high = ((centre + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
    return max(low, 0.0), min(high, 1.0)  # rounding passes the ends by 1e-17


def plot_findings(findings: Mapping[str, Mapping[str, Finding]], n: int, ground: str) -> Figure:
    """who -> start -> finding of n images. A line an entry, the first at the top; left the ground, right the colour."""
    figure = Figure(figsize=(9.5, 1.5 + 0.4 * len(findings)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for start, style, shift in zip((CLEAN, LEAKY), STYLES, (-0.12, 0.12), strict=True):
        column = [by_start[start] for by_start in findings.values()]
        heights = [height + shift for height in range(len(column))]
        shares, saturations = [f.share for f in column], [f.saturation for f in column]
        _markers(left, heights, shares, [f.share_interval for f in column], style, f"from {start}")
        _markers(right, heights, saturations, [f.saturation_interval for f in column], style, "")
    left.axvline(1 / 8, color="black", linewidth=0.8, linestyle=":", label="one of eight grounds")
    left.set_yticks(range(len(findings)), list(findings))
    left.invert_yaxis()
    left.set(xlim=(-0.02, 1.02), xlabel=f"share of {n} images on {ground}, as the judge sees them")
    right.set(xlabel="mean saturation, 0 to 1")
    figure.suptitle(f"Captions that leave the ground out, images that all have a {ground} one", fontsize=11)
    figure.legend(fontsize=8, loc="outside lower center", ncols=3)
    return figure


def _markers(
    axes: Axes,
    heights: Sequence[float],
    values: Sequence[float],
    intervals: Sequence[tuple[float, float]],
    style: Mapping[str, str],
    label: str,
) -> None:
    """Values as markers, their intervals as bars through them."""
    for height, interval in zip(heights, intervals, strict=True):
        axes.plot(interval, [height, height], color=style["color"], linewidth=2, alpha=0.5)
    axes.plot(values, heights, linestyle="", color=style["color"], marker=style["marker"], label=label)
