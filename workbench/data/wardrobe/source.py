"""The wardrobe as a data source."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from workbench.data.base import DataSource, Index, as_list
from workbench.data.wardrobe.record import FOLDS, Record, record
from workbench.data.wardrobe.render import render


@dataclass(frozen=True)
class Wardrobe(DataSource):
    """Fashion-MNIST garments, tinted, textured and placed on a coloured ground; the caption says what is there, or part
    of it. Nothing is stored but the garments: image i is drawn when it is asked for, the same every time.

    fold: "teacher" (teacher and students), "judge" or "test"; no garment image is in two folds.
    Raises ValueError for another fold, or a size below 1.
    """

    fold: str = "teacher"
    size: int = 20_000  # number of images; any number: they are drawn, not stored
    seed: int = 0

    def __post_init__(self) -> None:
        if self.fold not in FOLDS:
            raise ValueError(f"Wardrobe fold must be one of {', '.join(FOLDS)}, but got {self.fold!r}.")
        if self.size < 1:
            raise ValueError(f"Wardrobe size must be at least 1 image, but got {self.size}.")

    def __len__(self) -> int:
        return self.size

    def records(self, indices: Index) -> list[Record]:
        """Attributes and captions, without drawing the images."""
        return [record(self.seed, self.fold, i) for i in as_list(indices)]

    def captions(self, indices: Index) -> list[str]:
        return [r.caption for r in self.records(indices)]

    def images(self, indices: Index) -> Tensor:
        return render(self.records(indices), self.fold)

    def batch(self, indices: Index) -> tuple[Tensor, list[Record]]:
        """Images, uint8 (B, 3, 32, 32), and their records."""
        records = self.records(indices)
        return render(records, self.fold), records
