"""Which prompts an evaluation uses, and which real images it compares with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from torch import Tensor

from workbench.data import DataSource, PromptFile, Wardrobe, prompts

# The first index of the reference in the wardrobe's test fold, beyond both halves of its prompts.
REFERENCE_START = 2_000_000


@dataclass(frozen=True)
class Caption:
    """A prompt of which nothing but the text is known."""

    caption: str


def evaluation_prompts(source: DataSource, name: str, n: int) -> Sequence[Any]:
    """n records with a `caption`. name: "report" or "tune", two disjoint halves, or the path of a text file.

    The wardrobe's halves have labels and never run out. Those of another source are its captions at odd ("report")
    and even ("tune") indices; they, and a file's lines, are repeated if n is larger, each time with other noise.
    Raises ValueError for another name, or a source too small to be halved.
    """
    if n < 1:
        raise ValueError(f"evaluation.num_images must be at least 1, but got {n}.")
    if name not in ("report", "tune"):
        lines = PromptFile(name)
        return [Caption(c) for c in lines.captions([i % len(lines) for i in range(n)])]
    if isinstance(source, Wardrobe):
        return prompts(name, n)
    half = range(1 if name == "report" else 0, len(source), 2)
    if not half:
        raise ValueError(f"evaluation.prompts: {name} is half of {source!r}, which has only {len(source)} caption.")
    return [Caption(c) for c in source.captions([half[i % len(half)] for i in range(n)])]


@lru_cache(maxsize=1)  # a cell scores one student several times, against the same images
def reference_images(source: DataSource, n: int) -> Tensor | None:
    """Real images to compare with, uint8 (M, 3, H, W), M <= n; None for a source that has none.

    The wardrobe: n images of the test fold, disjoint from those of any prompt. Another source: its images at even
    indices, the odd ones being the real-against-real floor.
    """
    if isinstance(source, Wardrobe):
        return Wardrobe("test", size=REFERENCE_START + n, seed=source.seed).images(
            range(REFERENCE_START, REFERENCE_START + n)
        )
    if not source.has_images or len(source) < 4:
        return None
    return source.images(range(0, len(source), 2)[:n])


def real_images(source: DataSource, records: Sequence[Any]) -> tuple[Tensor, Sequence[Any]]:
    """Real images that play the part of samples: the floor of every distance, and the judge's own accuracy.

    The wardrobe: the images that the prompts describe. Another source: its images at odd indices with their
    captions, at most as many as prompts. Raises ValueError for a source without images.
    """
    if isinstance(source, Wardrobe) and all(hasattr(r, "index") for r in records):
        return Wardrobe("test", size=REFERENCE_START).images([r.index for r in records]), records
    if isinstance(source, Wardrobe) or not source.has_images:
        raise ValueError(
            "evaluation.subject: real needs real images of its prompts. "
            "Use prompts: report with a data source that has images."
        )
    odd = range(1, len(source), 2)[: len(records)]
    return source.images(odd), [Caption(c) for c in source.captions(odd)]
