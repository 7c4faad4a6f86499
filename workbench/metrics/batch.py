"""What a metric is shown: some of the images of an evaluation, with their prompts and their place in the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """B images of an evaluation of N. Raises ValueError if the parts do not fit together.

    index: (B,) long, which of the N images these are; over all batches and ranks every one of 0 .. N-1 occurs once.
    images: uint8 (B, 3, H, W).
    records: B objects with a `caption`; those of the wardrobe also have `labels`, `named` and `seen`.
    paired: uint8 (B, 3, H, W), the teacher's images of the same noise and prompts, where a metric compares with them.
    """

    index: Tensor
    images: Tensor
    records: Sequence[Any]
    paired: Tensor | None = None

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4 or self.images.shape[1] != 3:
            raise ValueError(
                f"Batch images must be uint8 (B, 3, H, W), but got {self.images.dtype} {tuple(self.images.shape)}. "
                "Use to_uint8 for float images in [-1, 1]."
            )
        if not len(self.index) == len(self.images) == len(self.records):
            raise ValueError(
                f"Batch: {len(self.index)} indices, {len(self.images)} images and {len(self.records)} records differ."
            )
        if self.paired is not None and (self.paired.shape != self.images.shape or self.paired.dtype != torch.uint8):
            raise ValueError(
                f"Batch paired must be uint8 of the images' shape {tuple(self.images.shape)}, "
                f"but got {self.paired.dtype} {tuple(self.paired.shape)}."
            )

    @property
    def captions(self) -> list[str]:
        """The B prompts."""
        return [r.caption for r in self.records]
