"""The contract of a metric, and of the per-image quantities that metrics are made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from workbench.metrics.batch import Batch

Tables = Mapping[str, Tensor]  # a quantity's key -> (N, width) float64, one row an image


class Quantity(ABC):
    """What is measured on one image alone: a row of numbers. Row i depends on image i and its prompt, on nothing else.

    That is what makes a metric independent of batches and ranks: the rows are put in the order of the images, and only
    then is anything averaged, sorted or decomposed.
    """

    key: str  # unique; metrics that name the same key share one measurement
    width: int  # numbers an image

    @abstractmethod
    def measure(self, batch: Batch) -> Tensor:
        """(B, width), any float dtype, finite."""


class Metric(ABC):
    """Figures of merit of N images, from quantities measured one image at a time.

    A metric holds no state: `Measurement` collects the rows, sums them over the ranks and hands them back.
    """

    @property
    @abstractmethod
    def quantities(self) -> tuple[Quantity, ...]:
        """What has to be measured on every image."""

    @abstractmethod
    def compute(self, tables: Tables, records: Sequence[Any]) -> dict[str, float]:
        """name -> value. `tables[q.key]` is (N, q.width) for every q in `quantities`; `records` are the N prompts.

        Raises ValueError if N is too small for the metric, with the least N that it needs.
        """
