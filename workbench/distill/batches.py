"""Batches: which sample is seen when, its text embedding, and the latents of its real image if somebody needs them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from workbench.diffusion import Draws
from workbench.models import PromptCache, Teacher


class Source(Protocol):
    """What training needs of a data source (workbench.data.DataSource)."""

    def __len__(self) -> int: ...

    def captions(self, indices: list[int]) -> list[str]:
        """One caption an index."""

    def images(self, indices: list[int]) -> Tensor:
        """uint8 (B, 3, H, W)."""


@dataclass(frozen=True)
class Batch:
    """One process' share of the samples of a tick.

    Fields:
        numbers: global sample numbers, tick x batch_size + position; they key the draws.
        indices: which items of the data source they are.
        cond: (B, L, D) text embeddings.
        latents: (B, C, h, w) of the real images, or None.
    """

    numbers: tuple[int, ...]
    indices: tuple[int, ...]
    cond: Tensor
    latents: Tensor | None


class Batches:
    """tick -> Batch, a function of the seed alone: the same samples whatever the world size, after whatever restart.

    Every epoch is a permutation of the source; epochs follow each other without a gap. A text and an image are encoded
    once, and each by itself: rounding depends on the size of a batch, and a resumed run has other things in its caches.

    Args:
        source: captions and images.
        teacher: encodes both.
        draws: the run's randomness.
        batch_size: over all processes.
        images: whether anybody needs latents; without it no image is rendered or read.
        max_latents: latents that are kept in memory; the one unused for longest is dropped first.
    """

    def __init__(
        self,
        source: Source,
        teacher: Teacher,
        draws: Draws,
        batch_size: int,
        images: bool,
        max_latents: int = 50_000,
    ) -> None:
        assert len(source) > 0 and batch_size > 0
        self._source = source
        self._teacher = teacher
        self._draws = draws
        self._batch_size = batch_size
        self._images = images
        self._max_latents = max_latents
        self._prompts = PromptCache(teacher)
        self._latents: OrderedDict[int, Tensor] = OrderedDict()
        self._order: tuple[int, np.ndarray] | None = None

    def share(self, tick: int, rank: int = 0, world_size: int = 1) -> Batch:
        """The samples of one process: a contiguous share of the global batch, which `world_size` must divide."""
        assert self._batch_size % world_size == 0, (self._batch_size, world_size)
        size = self._batch_size // world_size
        first = tick * self._batch_size + rank * size
        numbers = tuple(range(first, first + size))
        indices = tuple(self._index(number) for number in numbers)
        return Batch(numbers, indices, self.cond(indices), self.latents(indices) if self._images else None)

    def cond(self, indices: tuple[int, ...]) -> Tensor:
        """(B, L, D) text embeddings of the captions."""
        return self._prompts(self._source.captions(list(indices)))

    def latents(self, indices: tuple[int, ...]) -> Tensor:
        """(B, C, h, w) float32 latents of the real images, on the teacher's device."""
        return torch.stack([self._encoded(index) for index in indices]).to(self._teacher.device)

    def _index(self, number: int) -> int:
        epoch, position = divmod(number, len(self._source))
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, self._draws.one("order", epoch).permutation(len(self._source)))
        return int(self._order[1][position])

    @torch.no_grad()
    def _encoded(self, index: int) -> Tensor:
        if index not in self._latents:
            images = self._source.images([index]).to(self._teacher.device).float() / 127.5 - 1
            latent = self._teacher.encode(images)[0]
            if latent.shape != self._teacher.latent_shape:
                raise ValueError(
                    f"data: an image of {tuple(images.shape[2:])} pixels gives latents of {tuple(latent.shape)}, but "
                    f"the teacher draws {tuple(self._teacher.latent_shape)}. Choose the size that the teacher draws."
                )
            self._latents[index] = latent
            if len(self._latents) > self._max_latents:
                self._latents.popitem(last=False)
        self._latents.move_to_end(index)
        return self._latents[index]
