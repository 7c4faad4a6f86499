"""Colour, contrast and sharpness: what noise correction and blur move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from workbench.metrics.base import Metric, Quantity, Tables
from workbench.metrics.batch import Batch
from workbench.metrics.fixed_batches import in_fixed_batches

NAMES = ("colourfulness", "saturation", "contrast", "brightness", "high_frequency_energy")


def appearance(images: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) -> (B, 5) float64, in the order of `NAMES`.

    - colourfulness: sqrt(s_rg^2 + s_yb^2) + 0.3 sqrt(m_rg^2 + m_yb^2) with rg = R - G, yb = (R + G) / 2 - B in 0 ..
      255, means m and standard deviations s over pixels; 0 for grey, about 100 for vivid. Hasler and Suesstrunk
      2003, eqs. 2-3.
    - saturation: mean over pixels of (max - min) / max of the channels, 0 where black; in [0, 1].
    - contrast: standard deviation of luma (Rec. 601) over pixels; in [0, 1]. brightness: its mean.
    - high_frequency_energy: share of the luma's variance above half of the Nyquist frequency, |f| > 0.25 cycles a
      pixel; in [0, 1], 0 for a constant image, 0.8 for white noise (1 - pi / 16).
    """
    x = images.double()
    r, g, b = x.unbind(1)
    rg, yb = r - g, (r + g) / 2 - b
    spread = (rg.var((1, 2), correction=0) + yb.var((1, 2), correction=0)).sqrt()
    offset = (rg.mean((1, 2)).square() + yb.mean((1, 2)).square()).sqrt()
    top = x.amax(1)
    saturation = ((top - x.amin(1)) / top.clamp(min=1)).mean((1, 2))
    luma = (0.299 * r + 0.587 * g + 0.114 * b) / 255
    return torch.stack(
        [spread + 0.3 * offset, saturation, luma.std((1, 2), correction=0), luma.mean((1, 2)), _high_frequencies(luma)],
        1,
    )


def _high_frequencies(luma: Tensor) -> Tensor:
    """(B,) share of the variance of luma (B, H, W) at more than 0.25 cycles a pixel in radius."""
    h, w = luma.shape[-2:]
    power = torch.fft.fft2(luma - luma.mean((1, 2), keepdim=True)).abs().square()
    fy, fx = (torch.fft.fftfreq(n, dtype=torch.float64, device=luma.device) for n in (h, w))
    high = fy[:, None].square() + fx.square() > 0.25**2
    total = power.sum((1, 2))
    # A constant image leaves rounding noise, which has no spectrum worth naming.
    return torch.where(total > 1e-12 * h * h * w * w, (power * high).sum((1, 2)) / total.clamp(min=1e-300), 0.0)


class Look(Quantity):
    """`appearance` of the images, or of the teacher's images of the same noise."""

    width = len(NAMES)

    def __init__(self, of: Literal["images", "paired"] = "images") -> None:
        self.of = of
        self.key = f"{of}/appearance"

    def measure(self, batch: Batch) -> Tensor:
        images = batch.images if self.of == "images" else batch.paired
        assert images is not None, "appearance of paired images without a pair"
        return in_fixed_batches(appearance, images, size=64)


class Appearance(Metric):
    """Means over the images of the five figures of `appearance`. Neither high nor low is good: compare with real
    images and with the teacher.
    """

    def __init__(self) -> None:
        self.source = Look()

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        return (self.source,)

    def compute(self, tables: Tables, records: Sequence[Any]) -> dict[str, float]:
        if not records:
            raise ValueError("Appearance needs at least 1 image, but got 0.")
        return dict(zip(NAMES, tables[self.source.key].mean(0).tolist(), strict=True))
