"""How different the images of one prompt are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from workbench.metrics.base import Metric, Quantity, Tables
from workbench.metrics.extractors.base import Extractor
from workbench.metrics.features import Features
from workbench.metrics.manifold import squared_distances


class Diversity(Metric):
    """`diversity[extractor]`: mean Euclidean distance of two images of the same prompt, averaged over prompts. A
    collapsed student, which draws one image a prompt, has 0; higher is not always better, so compare with the teacher.

    Images belong together if their `caption` is the same text. Raises ValueError if no prompt has two images.
    """

    def __init__(self, extractor: Extractor) -> None:
        self.source = Features(extractor)
        self.name = extractor.metric_name("diversity")

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        return (self.source,)

    def compute(self, tables: Tables, records: Sequence[Any]) -> dict[str, float]:
        features = tables[self.source.key]
        groups: dict[str, list[int]] = {}
        for i, record in enumerate(records):
            groups.setdefault(record.caption, []).append(i)
        means = []
        for rows in groups.values():
            if len(rows) > 1:
                x = features[rows]
                x = x - x.mean(0)  # shifts no distance, and keeps the expanded square from cancelling
                total = squared_distances(x, x).fill_diagonal_(0).sqrt().sum()
                means.append(total / (len(rows) * (len(rows) - 1)))
        if not means:
            raise ValueError(
                f"{self.name} needs at least two images of one prompt, but all {len(records)} prompts differ. "
                "Set images_per_prompt to 2 or more."
            )
        return {self.name: float(torch.stack(means).mean())}
