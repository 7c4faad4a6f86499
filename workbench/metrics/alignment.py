"""align: whether the image shows what its caption names, attribute by attribute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from workbench.metrics.base import Metric, Quantity, Tables
from workbench.metrics.batch import Batch
from workbench.metrics.fixed_batches import in_fixed_batches
from workbench.metrics.quantise import to_unit

# Our attribute -> the column of T2I-CompBench that it stands for (arXiv 2307.06350); "background" has none there.
COLUMNS = {
    "colour": "colour",
    "garment": "shape",
    "texture": "texture",
    "position": "spatial",
    "background": "background",
}
COMPLEX_LEAST = 2  # attributes that a caption must name to count as complex


class JudgedLabels(Quantity):
    """What the judge sees: the index of the most likely value of each attribute, in the order of `COLUMNS`."""

    width = len(COLUMNS)

    def __init__(self, judge: Any, device: torch.device | str = "cpu") -> None:
        """judge: a module with `attributes(images in [0, 1]) -> {attribute: logits}` and `sha256`."""
        self.judge = judge
        self.device = torch.device(device)
        self.key = f"labels/judge/{str(judge.sha256)[:16]}"

    @torch.inference_mode()
    def measure(self, batch: Batch) -> Tensor:
        return in_fixed_batches(self._labels, batch.images, size=128)

    def _labels(self, images: Tensor) -> Tensor:
        logits = self.judge.attributes(to_unit(images.to(self.device)))
        return torch.stack([logits[name].argmax(1) for name in COLUMNS], 1)


class Alignment(Metric):
    """Shares in [0, 1] of captions whose words the judge finds in the image; higher is better.

    - `align/colour`, `align/shape` (the garment), `align/texture`, `align/spatial` (the position), `align/background`:
      over the captions that name the attribute.
    - `align/complex`: everything named is right, over the captions that name at least two attributes.
    - `align/binding`: garment colour and ground colour are both right, neither swapped nor merged, over the
      captions that name both. `align/swapped`: each is the other's; lower is better.
    - each again as `.../seen` and `.../unseen`: combinations of garment, colour and texture that training showed or
      not.

    Only as good as the judge: read it beside the row of real images. CompBench's non-spatial column has no
    counterpart here. Left out where no caption qualifies. Raises ValueError for prompts without labels (only the
    wardrobe's have them).
    """

    def __init__(self, judge: Any, device: torch.device | str = "cpu") -> None:
        self.source = JudgedLabels(judge, device)

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        return (self.source,)

    def compute(self, tables: Tables, records: Sequence[Any]) -> dict[str, float]:
        if not all(hasattr(r, "labels") for r in records):
            raise ValueError("align/... needs prompts with labelled attributes, which only the wardrobe's have.")
        judged = tables[self.source.key].long()
        asked = torch.tensor([[r.labels[name] for name in COLUMNS] for r in records]).reshape(-1, len(COLUMNS))
        named = torch.tensor([[name in r.named for name in COLUMNS] for r in records]).reshape(-1, len(COLUMNS))
        seen = torch.tensor([bool(r.seen) for r in records])
        right = judged == asked
        values: dict[str, float] = {}
        for i, column in enumerate(COLUMNS.values()):
            values |= _shares(column, right[:, i], named[:, i], seen)
        values |= _shares("complex", (right | ~named).all(1), named.sum(1) >= COMPLEX_LEAST, seen)
        colour, ground = (list(COLUMNS).index(name) for name in ("colour", "background"))
        both = named[:, colour] & named[:, ground]
        values |= _shares("binding", right[:, colour] & right[:, ground], both, seen)
        swapped = (judged[:, colour] == asked[:, ground]) & (judged[:, ground] == asked[:, colour])
        values |= _shares("swapped", swapped, both, seen)
        return values


def _shares(column: str, right: Tensor, asked: Tensor, seen: Tensor) -> dict[str, float]:
    """Share of `right` among `asked`, over all, seen and unseen; a share of nothing is left out."""
    groups = {"": asked, "/seen": asked & seen, "/unseen": asked & ~seen}
    return {f"align/{column}{end}": float(right[g].double().mean()) for end, g in groups.items() if g.any()}
