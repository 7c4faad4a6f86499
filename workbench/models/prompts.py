"""PromptCache: every caption goes through the text encoder once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor

from workbench.models.teacher import Teacher


class PromptCache:
    """Captions -> (B, L, D) text embeddings; the text encoder runs once a caption.

    A caption is encoded by itself, never in a batch: rounding depends on the batch's size, so that a resumed run, whose
    cache is empty, would not be bit for bit the run that was not interrupted.

    Args:
        teacher: its text encoder and tokenizer.
        max_entries: captions that are kept; the one unused for longest is dropped first.
    """

    def __init__(self, teacher: Teacher, max_entries: int = 20_000) -> None:
        assert max_entries > 0
        self._teacher = teacher
        self._max_entries = max_entries
        self._embeddings: OrderedDict[str, Tensor] = OrderedDict()

    def __call__(self, captions: Sequence[str]) -> Tensor:
        """(B, L, D) float32 on the teacher's device, row i for captions[i]."""
        return torch.stack([self._one(caption) for caption in captions])

    def __len__(self) -> int:
        return len(self._embeddings)

    def _one(self, caption: str) -> Tensor:
        if caption not in self._embeddings:
            self._embeddings[caption] = self._teacher.encode_text([caption])[0]
            if len(self._embeddings) > self._max_entries:
                self._embeddings.popitem(last=False)
        self._embeddings.move_to_end(caption)
        return self._embeddings[caption].to(self._teacher.device)
