"""Features of the images as a quantity, and the real images' features that they are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from torch import Tensor

from workbench.metrics.base import Quantity
from workbench.metrics.batch import Batch
from workbench.metrics.extractors.base import Extractor
from workbench.metrics.frechet_solver import Moments, check_features


class Features(Quantity):
    """An extractor's features, (B, extractor.dim). Metrics on the same extractor share one forward pass.

    of: "images", or "paired" for the teacher's images of the same noise.
    """

    def __init__(self, extractor: Extractor, of: Literal["images", "paired"] = "images") -> None:
        self.extractor = extractor
        self.of = of
        self.key = f"{of}/{extractor.name}/{extractor.fingerprint}"
        self.width = extractor.dim

    def measure(self, batch: Batch) -> Tensor:
        if self.of == "images":
            return self.extractor(batch.images)
        if batch.paired is None:
            raise ValueError("a comparison with the teacher's images needs Batch.paired, but there is none.")
        return self.extractor(batch.paired)


@dataclass(frozen=True)
class Reference:
    """Features (M, d) of real images. Frozen, so that the moments and their root are computed once for many arms."""

    features: Tensor

    def __post_init__(self) -> None:
        check_features(self.features, "Reference")

    def __len__(self) -> int:
        return len(self.features)

    @cached_property
    def moments(self) -> Moments:
        """Mean, covariance and its square root."""
        return Moments.of(self.features)
