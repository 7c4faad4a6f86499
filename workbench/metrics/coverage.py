"""precision, recall and coverage against real images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.metrics.base import Metric, Quantity, Tables
from workbench.metrics.extractors.base import Extractor
from workbench.metrics.features import Features, Reference
from workbench.metrics.manifold import precision_recall


class Coverage(Metric):
    """`precision[extractor]`, `recall[extractor]` and `coverage[extractor]`, shares in [0, 1], higher is better.

    Against the first N real images of the reference, since the figures depend on both numbers. Compare a row with the
    real-against-real row, not with 1.
    """

    def __init__(self, extractor: Extractor, reference: Reference, k: int = 3) -> None:
        self.source = Features(extractor)
        self.reference = reference
        self.extractor = extractor
        self.k = k

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        return (self.source,)

    def compute(self, tables: Tables, records: Sequence[Any]) -> dict[str, float]:
        samples = tables[self.source.key]
        result = precision_recall(samples, self.reference.features[: len(samples)], self.k)
        return {
            self.extractor.metric_name("precision"): result.precision,
            self.extractor.metric_name("recall"): result.recall,
            self.extractor.metric_name("coverage"): result.coverage,
        }
