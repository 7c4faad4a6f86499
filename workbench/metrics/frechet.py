"""FD: the Frechet distance to real images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.metrics.base import Metric, Quantity, Tables
from workbench.metrics.extractors.base import Extractor
from workbench.metrics.features import Features, Reference
from workbench.metrics.frechet_solver import frechet_distance


class Frechet(Metric):
    """`FD[extractor]`, lower is better; `FID` on the Inception weights only. Biased upwards at small N, by an
    amount that depends on the model: never compare two N. See `frechet_distance`.
    """

    def __init__(self, extractor: Extractor, reference: Reference) -> None:
        self.source = Features(extractor)
        self.reference = reference
        self.name = extractor.metric_name("FD")

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        return (self.source,)

    def compute(self, tables: Tables, records: Sequence[Any]) -> dict[str, float]:
        samples, real = tables[self.source.key], self.reference
        moments = real.moments if min(len(samples), len(real)) > self.source.width else None
        return {self.name: frechet_distance(samples, real.features, moments)}
