"""Collects what metrics measure, over batches and over ranks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from workbench.metrics.base import Metric, Quantity
from workbench.metrics.batch import Batch


class Measurement:
    """The rows of N images. Fill it with `update`, on every rank its own images; then `compute`, on every rank.

        measurement = Measurement([Colour(), Frechet(judge, reference)], records)
        for batch in batches:  # rank r of w has the images r, r + w, r + 2 w, ...
            measurement.update(batch)
        values = measurement.compute()

    State is one float64 table, zero where this rank has no image, and one all-reduce sums it. Since every row is
    non-zero on one rank only, the sum is exact: values are bit-equal for any number of ranks, any batch size, any
    order. Memory is 8 bytes a number, 82 MB for 5,000 images of 2,048 features. A last column counts: an image that was
    measured twice, or never, is an error and not a bias.
    """

    def __init__(self, metrics: Iterable[Metric], records: Sequence[Any]) -> None:
        """records: the prompts of all N images, the same on every rank."""
        self.metrics = list(metrics)
        self.records = records
        self.quantities: dict[str, Quantity] = {q.key: q for m in self.metrics for q in m.quantities}
        self._table = torch.zeros(len(records), sum(q.width for q in self.quantities.values()) + 1, dtype=torch.float64)
        self._reduced = False

    def update(self, batch: Batch) -> None:
        """Measure the batch. Raises ValueError for an index outside 0 .. N-1, or a NaN or infinity, naming the
        image.
        """
        assert not self._reduced, "update after compute: the ranks' tables have already been summed"
        if len(batch.index) == 0:
            return
        index = batch.index.cpu()
        low, high = int(index.min()), int(index.max())
        if low < 0 or high >= len(self.records):
            raise ValueError(f"Measurement of {len(self.records)} images got an index range {low} .. {high}.")
        rows = []
        for q in self.quantities.values():
            row = q.measure(batch).detach().double().cpu()
            assert row.shape == (len(index), q.width), (q.key, row.shape)
            if not row.isfinite().all():
                bad = index[(~row.isfinite()).any(1)]
                raise ValueError(f"{q.key} is NaN or infinite for {len(bad)} images, the first is image {int(bad[0])}.")
            rows.append(row)
        rows.append(torch.ones(len(index), 1, dtype=torch.float64))
        self._table.index_add_(0, index, torch.cat(rows, 1))

    def tables(self) -> dict[str, Tensor]:
        """key -> (N, width) float64, complete on every rank. The one collective of an evaluation is here."""
        if not self._reduced and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            table = self._table.cuda() if dist.get_backend() == "nccl" else self._table
            dist.all_reduce(table)
            self._table = table.cpu()
        self._reduced = True
        self._check_counts()
        widths = [q.width for q in self.quantities.values()]
        parts = self._table[:, :-1].split(widths, 1)
        return dict(zip(self.quantities, (p.contiguous() for p in parts), strict=True))

    def compute(self) -> dict[str, float]:
        """name -> value of every metric; the same on every rank. Raises ValueError if an image is missing or
        repeated.
        """
        tables = self.tables()
        values: dict[str, float] = {}
        for metric in self.metrics:
            for name, value in metric.compute(tables, self.records).items():
                assert name not in values, f"two metrics are named {name}"
                values[name] = float(value)
        return values

    def _check_counts(self) -> None:
        wrong = (self._table[:, -1] != 1).nonzero().flatten()
        if len(wrong):
            first = int(wrong[0])
            times = int(self._table[first, -1])
            raise ValueError(
                f"{len(wrong)} of {len(self.records)} images were not measured exactly once: image {first}, the first, "
                f"was measured {times} times. Give every rank the images rank, rank + world size, ..."
            )
