"""teacher: how far an image is from the teacher's many-step image of the same noise and prompt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from workbench.metrics.appearance import NAMES, Look
from workbench.metrics.base import Metric, Quantity, Tables
from workbench.metrics.batch import Batch
from workbench.metrics.extractors.base import Extractor
from workbench.metrics.features import Features

LEAST_MSE = (1 / 255) ** 2 / 12  # of rounding to uint8; below it a difference cannot be told from rounding


class SquaredError(Quantity):
    """Mean squared pixel difference to the teacher's image, pixels in [0, 1]."""

    key = "paired/mse"
    width = 1

    def measure(self, batch: Batch) -> Tensor:
        if batch.paired is None:
            raise ValueError("teacher/mse needs Batch.paired, the teacher's images of the same noise.")
        squares = (batch.images.int() - batch.paired.int()).square().flatten(1)
        return squares.sum(1, keepdim=True).double() / (255**2 * squares.shape[1])  # integers: an exact sum


class TeacherDistance(Metric):
    """Against the teacher's images of the same noise and prompts (25 steps unless the evaluation says otherwise).

    - `teacher/mse`: mean over images of the squared pixel error, pixels in [0, 1]; `teacher/psnr`: -10 log10 of it,
      in dB, at most 58.9 (identical up to rounding).
    - `teacher/distance[extractor]`: mean Euclidean distance of the features.
    - `teacher/saturation` and the other figures of `appearance`: mean signed difference, student minus teacher; 0
      is best.

    A student may beat its teacher and be far from it: these say how far, not how good.
    """

    def __init__(self, extractor: Extractor) -> None:
        self.error, self.mine, self.its = SquaredError(), Features(extractor), Features(extractor, "paired")
        self.look, self.its_look = Look(), Look("paired")
        self.name = extractor.metric_name("teacher/distance")

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        return (self.error, self.mine, self.its, self.look, self.its_look)

    def compute(self, tables: Tables, records: Sequence[Any]) -> dict[str, float]:
        if not records:
            raise ValueError("TeacherDistance needs at least 1 image, but got 0.")
        mse = float(tables[self.error.key].mean())
        distance = float((tables[self.mine.key] - tables[self.its.key]).norm(dim=1).mean())
        shift = (tables[self.look.key] - tables[self.its_look.key]).mean(0).tolist()
        return {
            "teacher/mse": mse,
            "teacher/psnr": -10 * math.log10(max(mse, LEAST_MSE)),
            self.name: distance,
            **{f"teacher/{name}": value for name, value in zip(NAMES, shift, strict=True)},
        }
