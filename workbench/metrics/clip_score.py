"""CLIP: how well images agree with their captions, in the eyes of a CLIP model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from workbench.metrics.base import Metric, Quantity, Tables
from workbench.metrics.extractors.clip import ClipImages, ClipModel
from workbench.metrics.features import Features


class ClipScore(Metric):
    """`CLIP[model]`: 100 x mean max(cos(image, caption), 0), 0 .. 100, higher is better; and
    `CLIP[model]/shuffled`, the same images with the next prompt's caption: what a model that ignores its prompt
    scores. Only differences above that floor mean anything, and only within one CLIP model.

    The caption is used as it stands, without "a photo of". Reference: Hessel et al. 2021, arXiv 2104.08718, whose own
    scale is 2.5 instead of 100.
    """

    def __init__(self, clip: ClipModel) -> None:
        self.clip = clip
        self.source = Features(ClipImages(clip))
        self.name = f"CLIP[{clip.name}]"

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        return (self.source,)

    def compute(self, tables: Tables, records: Sequence[Any]) -> dict[str, float]:
        if not records:
            raise ValueError(f"{self.name} needs at least 1 image, but got 0.")
        images = tables[self.source.key]
        texts = self.clip.texts([r.caption for r in records]).double()
        values = {self.name: _score(images, texts)}
        floor = _next_other_caption([r.caption for r in records])
        if floor is not None:
            values[self.name + "/shuffled"] = _score(images, texts[floor])
        return values


def _score(images: Tensor, texts: Tensor) -> float:
    return 100 * float((images * texts).sum(1).clamp(min=0).mean())


def _next_other_caption(captions: list[str]) -> Tensor | None:
    """For each image the next one, cyclically, with another caption; None if all captions are equal."""
    n = len(captions)
    if len(set(captions)) < 2:
        return None
    other = [next(j % n for j in range(i + 1, i + n) if captions[j % n] != captions[i]) for i in range(n)]
    return torch.tensor(other)
