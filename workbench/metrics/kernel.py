"""KD: the kernel distance to real images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.metrics.base import Metric, Quantity, Tables
from workbench.metrics.extractors.base import Extractor
from workbench.metrics.features import Features, Reference
from workbench.metrics.kernel_solver import kernel_distance


class Kernel(Metric):
    """`KD[extractor]`, lower is better; `KID` on the Inception weights only. Unbiased at any N, unlike the Frechet
    distance; every pair is used. See `kernel_distance`.
    """

    def __init__(self, extractor: Extractor, reference: Reference) -> None:
        self.source = Features(extractor)
        self.reference = reference
        self.name = extractor.metric_name("KD")

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        return (self.source,)

    def compute(self, tables: Tables, records: Sequence[Any]) -> dict[str, float]:
        return {self.name: kernel_distance(tables[self.source.key], self.reference.features)}
