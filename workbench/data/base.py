"""The contract of a data source: captions always, real images if it has them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

Index = Sequence[int] | Tensor


def as_list(indices: Index) -> list[int]:
    """The indices as Python integers."""
    return [int(i) for i in (indices.tolist() if isinstance(indices, torch.Tensor) else indices)]


class DataSource(ABC):
    """Captions, and the real images that they describe, addressed by an index in 0 .. len - 1.

    What an index holds depends on nothing but the source's own fields, so a run that resumes, or that is split over
    several processes, sees the same data.
    """

    @abstractmethod
    def __len__(self) -> int:
        """Number of captions."""

    @abstractmethod
    def captions(self, indices: Index) -> list[str]:
        """One caption an index."""

    @property
    def has_images(self) -> bool:
        """False for a source of captions only: backward distillation needs no more than that."""
        return True

    def image_files(self) -> Mapping[str, Path]:
        """Name -> file of every image that lies in a file of its own, so that it can be looked at before anything
        starts; empty for a source that draws its images or has none."""
        return {}

    @abstractmethod
    def images(self, indices: Index) -> Tensor:
        """Real images, uint8 (B, 3, H, W). Raises ValueError if the source has none."""
